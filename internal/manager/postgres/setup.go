package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"mxcluster/internal/fault"
	"mxcluster/internal/manager"
)

// setup sets this server's half of the pair up, step by step. What is done shows by itself:
// nothing is remembered, and it may be ended anywhere.
type setup struct {
	Place
	manager.Setup
}

// Look tells what of a set-up is there, and refuses what stands in its way, before anything is
// changed.
func (p Place) Look(ctx context.Context, s manager.Setup) (manager.Prepared, error) {
	return (&setup{p, s}).look(ctx)
}

// Do carries one step of a set-up out.
func (p Place) Do(ctx context.Context, s manager.Setup, step manager.StepID) error {
	return (&setup{p, s}).do(ctx, step)
}

// refused is an error of what stands in the way.
func refused(remedy, format string, args ...any) error {
	return fault.New(fault.Refused, remedy, format, args...)
}

func (s *setup) look(ctx context.Context) (manager.Prepared, error) {
	var p manager.Prepared
	l, err := s.open(s.Half)
	if err != nil {
		return p, err
	}
	hba, err := l.confFile("pg_hba.conf", "hba_file")
	if err != nil {
		return p, err
	}
	conf, err := l.confFile("postgresql.conf", "")
	if err != nil {
		return p, err
	}
	included, err1 := blocked(conf, l.include(), false)
	p.Access, err = blocked(hba, l.access(), true)
	if err := errors.Join(err, err1); err != nil {
		return p, err
	}
	kept, err := s.Read()
	if err != nil {
		return p, err
	}
	if err := l.reachable(ctx); err != nil {
		return p, err
	}
	p.Secret = l.secured() && same(l.file(passFile), passLine(l.User, s.Password))
	p.Settings = included && kept != nil && equalHalves(*kept, s.Half) && (same(l.file(settingsFile), l.settings(false)) || same(l.file(settingsFile), l.settings(true)))
	p.Sync = same(l.file(settingsFile), l.settings(true))
	p.Signal = l.signalled()
	if db, err := l.super(ctx); err == nil {
		defer db.end()
		if err := s.lookInside(ctx, l, db, &p); err != nil {
			return p, err
		}
	}
	if s.Role == manager.Standby {
		return p, s.lookAbove(ctx, l, &p)
	}
	return p, nil
}

// reachable refuses a folder for files of ours that the user that PostgreSQL runs as would not reach.
func (l *local) reachable(ctx context.Context) error {
	if l.secured() || os.Geteuid() != 0 {
		return nil
	}
	at := l.Folder
	for !l.has(at) && at != filepath.Dir(at) {
		at = filepath.Dir(at)
	}
	if _, err := run(ctx, "/usr/bin/test", l.uid, l.gid, nil, nil, "-x", at); err != nil {
		return refused("let every user enter the folders above it: chmod a+x", "the user that PostgreSQL runs as cannot enter %s", at)
	}
	return nil
}

// equalHalves reports whether two halves are the same.
func equalHalves(a, b manager.Half) bool {
	from := strings.Join(a.From, " ") == strings.Join(b.From, " ")
	a.From, b.From = nil, nil
	return from && a.Instance == b.Instance && a.Server == b.Server && a.Peer == b.Peer && a.Host == b.Host && a.Port == b.Port && a.User == b.User
}

// lookInside asks this server's PostgreSQL.
func (s *setup) lookInside(ctx context.Context, l *local, db *session, p *manager.Prepared) error {
	r, err := db.standing(ctx)
	if err != nil {
		return err
	}
	p.Running, p.Writes, p.Streaming = true, r.Writes, r.Followed
	var level string
	var spaces int
	err = db.QueryRow(ctx, `select current_setting('wal_level'), (select count(*) from pg_tablespace where spcname not in ('pg_default', 'pg_global')),
		current_setting('wal_log_hints') = 'on' and current_setting('listen_addresses') = '*' and current_setting('primary_slot_name') = $1
			and not exists (select from pg_settings where pending_restart)`, slot(l.Server)).Scan(&level, &spaces, &p.InForce)
	if err != nil {
		return err
	}
	switch {
	case level == "minimal":
		return refused("set wal_level to replica, and restart PostgreSQL", "wal_level of PostgreSQL on %s is minimal: nothing can follow it", l.Server)
	case spaces > 0:
		return refused("move what is in them to the data folder", "PostgreSQL on %s has %d tablespaces of its own: a copy would not have them apart", l.Server, spaces)
	}
	if s.Role == manager.Master {
		if err := db.QueryRow(ctx, "select exists (select from pg_replication_slots where slot_name = $1)", slot(l.Peer)).Scan(&p.Slot); err != nil {
			return err
		}
		if err := s.lookAtRole(ctx, db, p); err != nil {
			return err
		}
		if !p.Writes && !p.Role {
			return refused("mxcluster manager fallback, which makes it the active one again", "PostgreSQL on %s accepts no writes", l.Server)
		}
		return nil
	}
	if p.Writes && p.Signal {
		return refused("mxcluster manager fallback, on "+l.Peer, "the management system is active on %s", l.Server)
	}
	return nil
}

// lookAtRole looks at the replication role.
func (s *setup) lookAtRole(ctx context.Context, db *session, p *manager.Prepared) error {
	var verifier string
	var super, may bool
	err := db.QueryRow(ctx, "select coalesce(rolpassword, ''), rolsuper, rolcanlogin and rolreplication from pg_authid where rolname = $1", s.User).Scan(&verifier, &super, &may)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return err
	case super:
		return refused("choose another name by --replication-user", "role %s is a superuser", s.User)
	case verifies(verifier, s.Password):
		var granted bool
		err := db.QueryRow(ctx, "select pg_has_role($1, 'pg_monitor', 'member') and has_function_privilege($1, 'pg_promote(boolean, integer)', 'execute')", s.User).Scan(&granted)
		p.Role = may && granted
		return err
	case !s.Change && verifier != "":
		return refused("give its password, or change it: mxcluster manager reconfigure", "role %s is there on %s, and has another password", s.User, s.Server)
	}
	return nil
}

// lookAbove asks the master, from its standby.
func (s *setup) lookAbove(ctx context.Context, l *local, p *manager.Prepared) error {
	up, err := login(ctx, hostPort(l.Host, l.Port), l.User, s.Password)
	switch {
	case wrongPassword(err):
		return refused("give the user and the password that the master was set up with; and that one comes first: mxcluster manager setup --role master",
			"%s does not let %s in as role %s: %s", l.Peer, l.Server, l.User, plain(err))
	case err != nil:
		return refused("open port "+strconv.Itoa(l.Port)+" there for "+l.Server+"; and the master comes first: mxcluster manager setup --role master",
			"PostgreSQL on %s is not reached at %s port %d: %s", l.Peer, l.Host, l.Port, plain(err))
	}
	defer up.end()
	there, err := up.standing(ctx)
	if err != nil {
		return err
	}
	p.Login = true
	var system, major string
	if err := up.QueryRow(ctx, "select (select system_identifier from pg_control_system())::text, current_setting('server_version_num')").Scan(&system, &major); err != nil {
		return err
	}
	if n, err := strconv.Atoi(major); err != nil || n/10000 != l.major {
		return refused("install the same major version on both servers", "PostgreSQL %d on %s, %d on %s", n/10000, l.Peer, l.major, l.Server)
	}
	printed, err := l.program(ctx, "pg_controldata", l.data)
	if err == nil {
		p.Copy = strings.Contains(spaced(printed), " Database system identifier: "+system+" ")
	}
	if !p.Copy {
		if err := errors.Join(l.nothingOfItsOwn(ctx), l.roomForCopy(ctx, up)); err != nil {
			return err
		}
	}
	p.Streaming = false
	if db, err := l.super(ctx); err == nil {
		here, err := db.standing(ctx)
		db.end()
		p.Streaming = err == nil && here.Streams && there.Followed
	}
	return nil
}

// nothingOfItsOwn refuses data that a copy would take the place of, as far as PostgreSQL runs.
func (l *local) nothingOfItsOwn(ctx context.Context) error {
	db, err := l.super(ctx)
	if err != nil {
		return nil //nolint:nilerr // it was asked before the set-up began
	}
	defer db.end()
	var d manager.Database
	if err := askDatabases(ctx, db.Conn, &d); err != nil {
		return err
	}
	if len(d.Databases) > 0 {
		return refused("save and remove them there, or choose another PostgreSQL by manager.postgres", "databases on %s would be replaced by those of %s: %s", l.Server, l.Peer, strings.Join(d.Databases, ", "))
	}
	return nil
}

// spaced puts everything on one line, with one space between words.
func spaced(text string) string { return " " + strings.Join(strings.Fields(text), " ") + " " }

func (s *setup) do(ctx context.Context, step manager.StepID) error {
	l, err := s.open(s.Half)
	if err != nil {
		return err
	}
	switch step {
	case manager.StepSecret:
		if err := l.makeFolder(); err != nil {
			return err
		}
		return write(l.file(passFile), passLine(l.User, s.Password), passMode, l.uid, l.gid)
	case manager.StepSettings:
		return s.configure(ctx, l)
	case manager.StepRestart:
		return l.restart(ctx)
	case manager.StepRole:
		return s.makeRole(ctx, l)
	case manager.StepAccess:
		hba, err := l.confFile("pg_hba.conf", "hba_file")
		if err == nil {
			err = setBlock(hba, l.access(), true)
		}
		if err == nil {
			if pid, running := l.pid(); running == nil && pid != 0 {
				err = l.reload(ctx)
			}
		}
		return err
	case manager.StepSlot:
		return l.keepLog(ctx)
	case manager.StepSignal:
		return l.signal(true)
	case manager.StepSync:
		return s.Settle(ctx, true)
	case manager.StepClone:
		free, err := l.lock(ctx)
		if err != nil {
			return err
		}
		defer free()
		if _, err := os.Lstat(l.data + copyDone); err == nil {
			return l.finishCopy(ctx) // an earlier run had made it
		}
		return l.copy(ctx)
	case manager.StepFollow, manager.StepStreaming:
		_, err := s.Follow(ctx)
		return err
	}
	return fmt.Errorf("step %s is none of PostgreSQL", step)
}

// configure writes the settings that make the pair.
func (s *setup) configure(ctx context.Context, l *local) error {
	if err := l.makeFolder(); err != nil {
		return err
	}
	if !same(l.file(settingsFile), l.settings(true)) {
		if err := write(l.file(settingsFile), l.settings(false), 0o644, 0, 0); err != nil {
			return err
		}
	}
	conf, err := l.confFile("postgresql.conf", "")
	if err != nil {
		return err
	}
	if err := setBlock(conf, l.include(), false); err != nil {
		return err
	}
	raw, err := encode(s.Half)
	if err != nil {
		return err
	}
	if err := write(l.file(pairFile), raw, 0o600, 0, 0); err != nil {
		return err
	}
	if pid, err := l.pid(); err != nil || pid == 0 {
		return err
	}
	return l.reload(ctx)
}

// keepLog has PostgreSQL keep the log for the other server.
func (l *local) keepLog(ctx context.Context) error {
	db, err := l.super(ctx)
	if err != nil {
		return err
	}
	defer db.end()
	return db.keepLog(ctx, slot(l.Peer))
}

// makeRole makes the replication role, with what pg_rewind and the agent need, and no more.
func (s *setup) makeRole(ctx context.Context, l *local) error {
	db, err := l.super(ctx)
	if err != nil {
		return err
	}
	defer db.end()
	secret, err := newVerifier(s.Password)
	if err != nil {
		return err
	}
	name := pgx.Identifier{s.User}.Sanitize()
	var there bool
	if err := db.QueryRow(ctx, "select exists (select from pg_roles where rolname = $1)", s.User).Scan(&there); err != nil {
		return err
	}
	verb := "create"
	if there {
		verb = "alter"
	}
	return db.do(ctx,
		fmt.Sprintf("%s role %s with login replication nosuperuser password '%s'", verb, name, secret),
		fmt.Sprintf("grant pg_monitor to %s", name),
		fmt.Sprintf("grant execute on function pg_ls_dir(text, boolean, boolean), pg_stat_file(text, boolean), pg_read_binary_file(text), "+
			"pg_read_binary_file(text, bigint, bigint, boolean), pg_promote(boolean, integer) to %s", name))
}

// Remove takes this server out of the pair: each keeps the data that it has, and is a PostgreSQL of
// its own. One that accepts writes, as the master does, stays as it is; else it is restarted to
// accept them. It may be ended anywhere, and goes on when it is called again.
func (p Place) Remove(ctx context.Context) error {
	l, err := p.own()
	if err != nil || l == nil {
		return err
	}
	free, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer free()
	if err := l.finishCopy(ctx); err != nil {
		return err
	}
	if err := l.setSync(ctx, false); err != nil {
		return err
	}
	hba, err := l.confFile("pg_hba.conf", "hba_file")
	if err != nil {
		return err
	}
	conf, err := l.confFile("postgresql.conf", "")
	if err != nil {
		return err
	}
	if err := errors.Join(setBlock(hba, nil, true), setBlock(conf, nil, false), l.signal(false)); err != nil {
		return err
	}
	if err := l.start(ctx); err != nil {
		return err
	}
	writes, err := l.acceptsWrites(ctx)
	switch {
	case err != nil:
		return err
	case writes:
		err = l.reload(ctx)
	default:
		err = l.restart(ctx)
	}
	if err != nil {
		return err
	}
	if err := l.unsettle(ctx); err != nil {
		return err
	}
	for _, name := range []string{settingsFile, passFile, lockFile, rewindFile, pairFile} { // the last one says that there is something
		if err := os.Remove(filepath.Join(p.Folder, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// unsettle removes what a PostgreSQL that accepts writes has for the pair.
func (l *local) unsettle(ctx context.Context) error {
	db, err := l.super(ctx)
	if err != nil {
		return err
	}
	defer db.end()
	r, err := db.standing(ctx)
	if err != nil {
		return err
	}
	if !r.Writes {
		return refused("mxcluster manager status", "PostgreSQL on %s accepts no writes", l.Server)
	}
	name := pgx.Identifier{l.User}.Sanitize()
	var there bool
	if err := db.QueryRow(ctx, "select exists (select from pg_roles where rolname = $1)", l.User).Scan(&there); err != nil {
		return err
	}
	if there {
		if err := db.do(ctx, "drop owned by "+name, "drop role "+name); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	for {
		names := []string{slot(l.Peer), copySlot(l.Peer)}
		if _, err := db.Exec(ctx, "select pg_terminate_backend(active_pid) from pg_replication_slots where active and slot_name = any($1)", names); err != nil {
			return err
		}
		_, err := db.Exec(ctx, "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = any($1)", names)
		if err == nil || !sleep(ctx, waitEvery) { // it is in use for a moment yet
			return err
		}
	}
}
