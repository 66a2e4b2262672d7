package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/manager"
)

const (
	streamLimit = 15 * time.Second // how long a follower may take to be seen streaming
	asideMode   = 0o600
)

// Follow makes this server's PostgreSQL read-only and has it follow the other one. What it
// accepted beside the other one is kept aside in a dump before it is undone, and its file is
// returned. Where the histories parted it is rewound, and where that does not work it gets a
// fresh copy. Done is what was seen to stream; where the other server accepts no writes, it is
// what stands ready.
func (p Place) Follow(ctx context.Context) (f manager.Followed, err error) {
	l, err := p.own()
	if err != nil || l == nil {
		return f, err
	}
	free, err := l.lock(ctx)
	if err != nil {
		return f, err
	}
	defer free()
	note, err := l.secure()
	if note != "" {
		f.Notes = append(f.Notes, note)
	}
	if err != nil {
		return f, err
	}
	err = l.follow(ctx, &f)
	return f, err
}

func (l *local) follow(ctx context.Context, f *manager.Followed) error {
	if err := l.finishCopy(ctx); err != nil {
		return err
	}
	if l.has(l.file(rewindFile)) {
		return l.replace(ctx, f, "a rewind of its own was interrupted")
	}
	if err := l.signal(true); err != nil {
		return err
	}
	if err := l.setSync(ctx, false); err != nil {
		return err
	}
	writes, err := l.acceptsWrites(ctx)
	if err == nil && writes {
		if err := l.stop(ctx); err != nil {
			return err
		}
	}
	if err := l.start(ctx); err != nil {
		return err
	}
	if err := l.dropSlots(ctx); err != nil {
		return err
	}
	up, err := l.away(ctx)
	if err != nil {
		return nil //nolint:nilerr // it follows once the other one answers
	}
	defer up.end()
	there, err := up.standing(ctx)
	if err != nil || !there.Writes {
		return err
	}
	if err := l.makeSlot(ctx, up); err != nil {
		return err
	}
	fork, parted, err := l.parted(ctx, up, there)
	if err != nil {
		return err
	}
	if parted {
		if f.Aside, err = l.keepAside(ctx, fork); err != nil {
			return err
		}
		if err = l.rewind(ctx); err == nil {
			err = l.start(ctx)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return l.replace(ctx, f, "they could not be rewound: "+plain(err))
		}
	}
	gone, err := l.streams(ctx, up, there.Position.Timeline)
	if gone {
		return l.replace(ctx, f, "the log that it needed is gone there")
	}
	return err
}

// replace has a fresh copy of the other server's data follow that.
func (l *local) replace(ctx context.Context, f *manager.Followed, why string) error {
	up, err := l.away(ctx)
	if err != nil {
		return err
	}
	defer up.end()
	there, err := up.standing(ctx)
	if err != nil {
		return err
	}
	if !there.Writes {
		return fmt.Errorf("%s accepts no writes yet", l.Peer)
	}
	if err := l.copy(ctx); err != nil {
		return err
	}
	if err := l.start(ctx); err != nil {
		return err
	}
	f.Notes = append(f.Notes, fmt.Sprintf("the data on %s are a fresh copy of those of %s: %s", l.Server, l.Peer, why))
	_, err = l.streams(ctx, up, there.Position.Timeline)
	return err
}

// lock keeps two, as a command and the agent, from working on one PostgreSQL at a time. It is
// free when its holder has ended.
func (l *local) lock(ctx context.Context) (free func(), err error) {
	f, err := os.OpenFile(l.file(lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil // which frees it
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || !sleep(ctx, waitEvery) {
			return nil, errors.Join(fmt.Errorf("locking %s: %w", f.Name(), err), f.Close())
		}
	}
}

// acceptsWrites asks this server's PostgreSQL.
func (l *local) acceptsWrites(ctx context.Context) (bool, error) {
	s, err := l.super(ctx)
	if err != nil {
		return false, err
	}
	defer s.end()
	r, err := s.standing(ctx)
	return r.Writes, err
}

// setSync has commits wait for the other server, or not.
func (l *local) setSync(ctx context.Context, on bool) error {
	if same(l.file(settingsFile), l.settings(on)) {
		return nil
	}
	if err := write(l.file(settingsFile), l.settings(on), 0o644, 0, 0); err != nil {
		return err
	}
	if err := l.reload(ctx); err != nil && on {
		return err // else it counts from its next start
	}
	return nil
}

// dropSlots removes the slots that a follower has from the time when it was followed: they
// would keep the log for ever.
func (l *local) dropSlots(ctx context.Context) error {
	s, err := l.super(ctx)
	if err != nil {
		return err
	}
	defer s.end()
	return s.do(ctx, `select pg_drop_replication_slot(slot_name) from pg_replication_slots
		where pg_is_in_recovery() and not active and (slot_name like 'mxcluster\_%' or slot_name like 'mxcopy\_%')`)
}

// makeSlot has the other server keep the log for this one. A slot past its bound is made anew.
func (l *local) makeSlot(ctx context.Context, up *session) error {
	_, err := up.Exec(ctx, "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1 and not active and wal_status = 'lost'", slot(l.Server))
	if err == nil {
		err = up.keepLog(ctx, slot(l.Server))
	}
	if err != nil {
		return fmt.Errorf("making the replication slot on %s: %w", l.Peer, err)
	}
	return nil
}

// parted reports whether the data here have something that the other server's do not, and
// from where on.
func (l *local) parted(ctx context.Context, up *session, there manager.Report) (fork manager.Position, parted bool, err error) {
	s, err := l.super(ctx)
	if err != nil {
		return fork, false, err
	}
	defer s.end()
	here, err := s.standing(ctx)
	if err != nil {
		return fork, false, err
	}
	switch {
	case here.Position.Timeline == there.Position.Timeline:
		same, err := sameHistory(ctx, s, up, here.Position.Timeline)
		switch {
		case err != nil:
			return fork, false, fmt.Errorf("comparing the history with that of %s: %w", l.Peer, err)
		case !same:
			return manager.Position{}, true, nil
		}
		return there.Position, here.Position.LSN > there.Position.LSN && !here.Streams, nil
	case here.Position.Timeline > there.Position.Timeline:
		return manager.Position{}, true, nil
	}
	var history []byte
	if err := up.QueryRow(ctx, "select pg_read_binary_file($1)", historyFile(there.Position.Timeline)).Scan(&history); err != nil {
		return fork, false, fmt.Errorf("reading the history of %s: %w", l.Peer, err)
	}
	at, found := leaves(string(history), here.Position.Timeline)
	fork = manager.Position{Timeline: here.Position.Timeline, LSN: at}
	return fork, !found || here.Position.LSN > at, nil
}

// sameHistory reports whether a timeline is one on both servers: two that were promoted apart number
// theirs alike. The log does not tell, since a follower is sent it from the beginning of a file on.
// Two that left the former timeline at the same position are taken for one.
func sameHistory(ctx context.Context, here, there *session, timeline uint32) (bool, error) {
	var texts [2][]byte
	for i, s := range []*session{here, there} {
		if err := s.QueryRow(ctx, "select pg_read_binary_file($1, 0, 65536, true)", historyFile(timeline)).Scan(&texts[i]); err != nil {
			return false, err
		}
	}
	return bytes.Equal(texts[0], texts[1]), nil
}

// historyFile tells from where a timeline goes on.
func historyFile(timeline uint32) string { return fmt.Sprintf("pg_wal/%08X.history", timeline) }

// recycled reports whether the other server has removed the log that this one needs next. What is
// here is read to its end first.
func recycled(ctx context.Context, s, up *session, here manager.Report) (gone bool, err error) {
	var waits bool
	err = s.QueryRow(ctx, "select exists (select from pg_stat_activity where backend_type = 'startup' and wait_event in ('RecoveryRetrieveRetryInterval', 'RecoveryWalStream'))").Scan(&waits)
	if err != nil || !waits {
		return false, err
	}
	err = up.QueryRow(ctx, `select coalesce(min(('x' || substr(name, 9, 8))::bit(32)::bigint * (4294967296 / pg_size_bytes(current_setting('wal_segment_size')))
		+ ('x' || substr(name, 17, 8))::bit(32)::bigint) > ($1::text::pg_lsn - '0/0') / pg_size_bytes(current_setting('wal_segment_size')), false)
		from pg_ls_waldir() where name ~ '^[0-9A-F]{24}$'`, here.Position.LSN.String()).Scan(&gone)
	return gone, err
}

// leaves returns where a history leaves a timeline.
func leaves(history string, timeline uint32) (manager.LSN, bool) {
	for line := range strings.Lines(history) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != strconv.FormatUint(uint64(timeline), 10) {
			continue
		}
		if at, err := manager.ParseLSN(f[1]); err == nil {
			return at, true
		}
	}
	return 0, false
}

// keepAside writes a dump of all data where transactions were committed here that the other
// server does not have; "": there were none.
func (l *local) keepAside(ctx context.Context, fork manager.Position) (string, error) {
	if fork.LSN != 0 {
		committed, err := l.commits(ctx, fork)
		if err != nil || !committed {
			return "", err
		}
	}
	m, err := findPostmaster(l.data)
	if err != nil {
		return "", err
	}
	parts, err := filepath.Glob(l.file(dumpPrefix + "*.part")) // of a dump that was killed
	for _, part := range parts {
		err = errors.Join(err, os.Remove(part))
	}
	if err != nil {
		return "", err
	}
	path := l.file(dumpPrefix + time.Now().UTC().Format("20060102T150405Z") + ".sql")
	f, err := os.OpenFile(path+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, asideMode)
	if err != nil {
		return "", err
	}
	_, err = run(ctx, filepath.Join("/usr/lib/postgresql", strconv.Itoa(l.major), "bin", "pg_dumpall"), l.uid, l.gid, nil, f,
		"--host", filepath.Dir(m.socket), "--port", strconv.Itoa(m.port), "--no-role-passwords")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", fmt.Errorf("keeping aside what was written here: %w", errors.Join(err, os.Remove(path+".part")))
	}
	return path, errors.Join(os.Rename(path+".part", path), syncDir(l.Folder))
}

// commits reports whether the log has a commit after a position. Where the log cannot be read
// it may have.
func (l *local) commits(ctx context.Context, after manager.Position) (bool, error) {
	printed, err := l.program(ctx, "pg_waldump", "--path", filepath.Join(l.data, "pg_wal"), "--timeline", strconv.FormatUint(uint64(after.Timeline), 10),
		"--start", after.LSN.String(), "--rmgr", "Transaction")
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if strings.Contains(printed, "COMMIT") || len(printed) >= maxPrinted {
		return true, nil
	}
	return err != nil && !strings.Contains(printed, "error in WAL record at"), nil // which is the end of the log
}

// rewind undoes what the other server does not have.
func (l *local) rewind(ctx context.Context) error {
	if err := l.stop(ctx); err != nil {
		return err
	}
	if err := write(l.file(rewindFile), nil, 0o600, 0, 0); err != nil {
		return err
	}
	args := []string{"--target-pgdata", l.data, "--source-server", l.conninfo(copyName) + " dbname=postgres"}
	if l.major >= 15 {
		args = append(args, "--config-file", filepath.Join(l.conf, "postgresql.conf"))
	}
	printed, err := l.program(ctx, "pg_rewind", args...)
	if err != nil {
		return err
	}
	if strings.Contains(printed, "no rewind required") {
		return errors.New("pg_rewind sees nothing to rewind")
	}
	if err := errors.Join(l.forget(l.data), l.signal(true)); err != nil {
		return err
	}
	return os.Remove(l.file(rewindFile))
}

// copy replaces the data by a fresh copy of the other server's. Each step is one that another
// call goes on from: a copy is made beside, then it takes the place. The log is kept for it by a
// slot of its own, which moves on with it, and which stays until the copy streams.
func (l *local) copy(ctx context.Context) error {
	begun := l.data + copyBegun
	if err := os.RemoveAll(begun); err != nil {
		return err
	}
	up, err := l.away(ctx)
	if err != nil {
		return err
	}
	defer up.end()
	if err := l.roomForCopy(ctx, up); err != nil {
		return err
	}
	if err := endCopies(ctx, up); err != nil {
		return err
	}
	if err := errors.Join(dropSlot(ctx, up, copySlot(l.Server)), up.keepLog(ctx, copySlot(l.Server))); err != nil {
		return fmt.Errorf("making the replication slot of a copy on %s: %w", l.Peer, err)
	}
	if err := os.Mkdir(begun, 0o700); err != nil {
		return err
	}
	if err := os.Chown(begun, l.uid, l.gid); err != nil {
		return err
	}
	printed, err := l.program(ctx, "pg_basebackup", "--pgdata", begun, "--dbname", l.conninfo(copyName), "--slot", copySlot(l.Server), "--wal-method", "stream", "--checkpoint", "fast")
	if err != nil {
		if strings.Contains(printed, "No space left on device") {
			err = l.noRoom(ctx, up, begun)
		}
		return errors.Join(fmt.Errorf("copying the data of %s: %w", l.Peer, err), os.RemoveAll(begun), endCopies(ctx, up), dropSlot(ctx, up, copySlot(l.Server)))
	}
	if err := l.makeSlot(ctx, up); err != nil { // it may be past its bound by now
		return err
	}
	if err := errors.Join(l.forget(begun), write(filepath.Join(begun, signalFile), nil, 0o600, l.uid, l.gid)); err != nil {
		return err
	}
	if err := os.Rename(begun, l.data+copyDone); err != nil {
		return err
	}
	return l.finishCopy(ctx)
}

// endCopies ends what an earlier copy, whose process was killed, has left on the other server: it
// has the slot for a moment yet.
func endCopies(ctx context.Context, up *session) error {
	for {
		var left int
		err := up.QueryRow(ctx, "select count(pg_terminate_backend(pid)) from pg_stat_replication where application_name = $1 and usename = current_user", copyName).Scan(&left)
		if err != nil || left == 0 {
			return err
		}
		if !sleep(ctx, waitEvery) {
			return fmt.Errorf("waiting for the end of an earlier copy: %w", context.Cause(ctx))
		}
	}
}

// finishCopy puts a whole copy in the place of the data, and removes those. Data of the pair that
// accepted writes since it was made go further: the copy is removed.
func (l *local) finishCopy(ctx context.Context) error {
	if l.has(l.data+copyDone) && l.signalled() {
		if writes, err := l.acceptsWrites(ctx); err == nil && writes {
			return os.RemoveAll(l.data + copyDone)
		}
	}
	if _, err := os.Lstat(l.data + copyDone); err == nil {
		if _, err := os.Lstat(l.data); err == nil {
			if err := l.stop(ctx); err != nil {
				return err
			}
			if err := errors.Join(os.RemoveAll(l.data+replaced), os.Rename(l.data, l.data+replaced)); err != nil {
				return err
			}
		}
		if err := os.Rename(l.data+copyDone, l.data); err != nil {
			return err
		}
		if err := syncDir(filepath.Dir(l.data)); err != nil {
			return err
		}
		if err := os.Remove(l.file(rewindFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(l.data + replaced)
}

// roomForCopy refuses data folders whose name cannot be given to another one, and those beside
// which a copy of the other server's data does not fit.
func (l *local) roomForCopy(ctx context.Context, up *session) error {
	var data, above unix.Stat_t
	if err := errors.Join(unix.Stat(l.data, &data), unix.Stat(filepath.Dir(l.data), &above)); err != nil {
		return err
	}
	if data.Dev != above.Dev {
		return refused("have it be a folder of the file system above it", "%s is a file system of its own: a copy cannot take its place", l.data)
	}
	needed, err := roomNeeded(ctx, up)
	if err != nil {
		return fmt.Errorf("asking %s for the size of its data: %w", l.Peer, err)
	}
	if there := free(filepath.Dir(l.data)); there != nil && *there < needed {
		return tooSmall(filepath.Dir(l.data), *there, needed)
	}
	return nil
}

func roomNeeded(ctx context.Context, up *session) (int64, error) {
	var bytes int64
	err := up.QueryRow(ctx, "select coalesce(sum(pg_database_size(oid)), 0)::bigint from pg_database").Scan(&bytes)
	return manager.RoomFor(bytes), err
}

func tooSmall(folder string, there, needed int64) error {
	return refused("make room in the file system of "+folder, "there is no room in %s for a copy of the data: %d MB are free, %d and the log are needed", folder, manager.MB(there), manager.MB(needed))
}

// noRoom tells of a copy that filled its disk, and removes it.
func (l *local) noRoom(ctx context.Context, up *session, begun string) error {
	if err := os.RemoveAll(begun); err != nil {
		return err
	}
	needed, err := roomNeeded(ctx, up)
	if err != nil {
		return err
	}
	folder := filepath.Dir(l.data)
	there := free(folder)
	if there == nil {
		return fmt.Errorf("%s: %w", folder, unix.ENOSPC)
	}
	return tooSmall(folder, *there, needed)
}

// streams waits until both servers see this one receive, on the timeline of the other one. Gone: the
// log for it is not there any more. A slow beginning alone says nothing of that.
func (l *local) streams(ctx context.Context, up *session, timeline uint32) (gone bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, streamLimit)
	defer cancel()
	s, err := l.super(ctx)
	if err != nil {
		return false, err
	}
	defer s.end()
	for {
		here, err := s.standing(ctx)
		if err != nil {
			return false, err
		}
		there, err := up.standing(ctx)
		if err != nil {
			return false, err
		}
		if here.Streams && there.Followed && here.Position.Timeline >= timeline {
			return false, dropSlot(ctx, up, copySlot(l.Server))
		}
		if gone, err := recycled(ctx, s, up, here); err != nil || gone {
			return gone, err
		}
		if !sleep(ctx, waitEvery) {
			return false, fmt.Errorf("it does not stream from %s", l.Peer)
		}
	}
}

// dropSlot removes a slot that nobody uses, if it is there.
func dropSlot(ctx context.Context, s *session, name string) error {
	_, err := s.Exec(ctx, "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1 and not active", name)
	return err
}

// Settle does, after PostgreSQL has begun to accept writes, what need not be waited for: a
// checkpoint, by which a follower sees that the histories parted, and a slot for the other
// server. Commits wait for that one, where they are to, once it was seen to stream.
func (p Place) Settle(ctx context.Context, synchronous bool) error {
	l, err := p.own()
	if err != nil || l == nil {
		return err
	}
	free, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer free()
	s, err := l.super(ctx)
	if err != nil {
		return err
	}
	defer s.end()
	r, err := s.standing(ctx)
	if err != nil || !r.Writes {
		return err
	}
	if err := l.signal(true); err != nil {
		return err
	}
	if err := s.keepLog(ctx, slot(l.Peer)); err != nil {
		return err
	}
	var behind bool
	err = s.QueryRow(ctx, "select timeline_id <> $1 from pg_control_checkpoint()", int64(r.Position.Timeline)).Scan(&behind)
	if err == nil && behind {
		err = s.do(ctx, "checkpoint")
	}
	if err != nil {
		return err
	}
	if synchronous && !r.Followed && !same(l.file(settingsFile), l.settings(true)) {
		return nil
	}
	return l.setSync(ctx, synchronous)
}

// Release ends PostgreSQL in order, and returns how far its data go: the other server may
// accept writes once it has all of that.
func (p Place) Release(ctx context.Context) (manager.Position, error) {
	l, err := p.own()
	if err != nil || l == nil {
		return manager.Position{}, err
	}
	free, err := l.lock(ctx)
	if err != nil {
		return manager.Position{}, err
	}
	defer free()
	if err := l.signal(true); err != nil {
		return manager.Position{}, err
	}
	if s, err := l.super(ctx); err == nil {
		err = s.do(ctx, "checkpoint") // what is left for the stop is little then
		s.end()
		if err != nil {
			return manager.Position{}, err
		}
	}
	if err := l.stop(ctx); err != nil {
		return manager.Position{}, err
	}
	printed, err := l.program(ctx, "pg_controldata", l.data)
	if err != nil {
		return manager.Position{}, err
	}
	return controlled(printed)
}

// controlled reads the position of the last checkpoint in what pg_controldata prints.
func controlled(printed string) (p manager.Position, err error) {
	for line := range strings.Lines(printed) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch key {
		case "Latest checkpoint location":
			p.LSN, err = manager.ParseLSN(value)
		case "Latest checkpoint's TimeLineID":
			n, wrong := strconv.ParseUint(value, 10, 32)
			if wrong != nil {
				return p, wrong
			}
			p.Timeline = uint32(n)
		}
		if err != nil {
			return p, err
		}
	}
	if p.LSN == 0 || p.Timeline == 0 {
		return p, errors.New("pg_controldata names no checkpoint")
	}
	return p, nil
}
