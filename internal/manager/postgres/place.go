package postgres

import (
	"bytes"
	"context"
	"encoding/json"
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

// slot is the name of the replication slot that a server follows by.
func slot(server string) string { return "mxcluster_" + plainName(server) }

// copySlot is the name of the one by which the log is kept while a server copies.
func copySlot(server string) string { return "mxcopy_" + plainName(server) }

func plainName(server string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(server))
}

// Place is the half of the pair that is on this server.
type Place struct {
	ConfRoot string // such as DefaultConfRoot
	Folder   string // of files of ours, which the user that PostgreSQL runs as can read
}

// Files of ours, in the folder.
const (
	pairFile     = "pair.json"
	settingsFile = "postgresql.conf"
	passFile     = "passfile"
	lockFile     = "lock"
	rewindFile   = "rewinding" // there while data are rewound: interrupted, they are good for nothing
	dumpPrefix   = "kept-aside-"
)

// passMode is that of the passfile: PostgreSQL takes no other.
const passMode = 0o600

// signalFile, in the data folder, has PostgreSQL start read-only.
const signalFile = "standby.signal"

// Names beside the data folder.
const (
	copyBegun = ".mxcluster-copy"  // a copy that is being made
	copyDone  = ".mxcluster-ready" // a whole one
	replaced  = ".mxcluster-old"   // what a copy has taken the place of
)

// markBegin and markEnd enclose lines of ours in files of others.
const (
	markBegin = "# mxcluster: begin of the lines for the redundancy of the management system"
	markEnd   = "# mxcluster: end"
)

// Read returns what is kept of the pair; nil: nothing is set up here.
func (p Place) Read() (*manager.Half, error) {
	raw, err := os.ReadFile(filepath.Join(p.Folder, pairFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var pair manager.Half
	if err := json.Unmarshal(raw, &pair); err != nil {
		return nil, fmt.Errorf("reading %s: %w", filepath.Join(p.Folder, pairFile), err)
	}
	return &pair, nil
}

// local is the PostgreSQL of this server, with what is kept of the pair.
type local struct {
	Place
	manager.Half
	conf  string // folder of its configuration
	data  string // folder of its data
	major int
	uid   int // whom it runs as
	gid   int
}

// open finds the PostgreSQL of a pair.
func (p Place) open(half manager.Half) (*local, error) {
	l := &local{Place: p, Half: half, conf: filepath.Join(p.ConfRoot, filepath.FromSlash(half.Instance))}
	text, err := os.ReadFile(filepath.Join(l.conf, "postgresql.conf"))
	if err != nil {
		return nil, err
	}
	version, _, _ := strings.Cut(half.Instance, "/")
	if l.major, err = strconv.Atoi(version); err != nil {
		return nil, fmt.Errorf("%q is not the name of a PostgreSQL", half.Instance)
	}
	if l.data = setting(text, "data_directory"); l.data == "" {
		return nil, fmt.Errorf("the configuration of %s names no data_directory", half.Instance)
	}
	// As the kernel names it: processes are found by the folder that they work in.
	l.data = filepath.Clean(l.data)
	if real, err := filepath.EvalSymlinks(l.data); err == nil {
		l.data = real
	} else if above, err := filepath.EvalSymlinks(filepath.Dir(l.data)); err == nil {
		l.data = filepath.Join(above, filepath.Base(l.data))
	}
	var st unix.Stat_t
	for _, dir := range []string{l.data, l.data + copyDone, l.data + replaced} { // there may be a copy on its way
		if err = unix.Stat(dir, &st); err == nil {
			break
		}
	}
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: l.data, Err: err}
	}
	l.uid, l.gid = int(st.Uid), int(st.Gid)
	return l, nil
}

// own opens the PostgreSQL of the pair that is set up here; nil: none is.
func (p Place) own() (*local, error) {
	pair, err := p.Read()
	if err != nil || pair == nil {
		return nil, err
	}
	return p.open(*pair)
}

// file is the path of a file of ours.
func (l *local) file(name string) string { return filepath.Join(l.Folder, name) }

// conninfo is how the other server is reached. Under another name than that of a follower no
// commit waits for it.
func (l *local) conninfo(name string) string {
	return fmt.Sprintf("host=%s port=%d user=%s passfile=%s application_name=%s connect_timeout=2 sslmode=prefer gssencmode=disable",
		l.Host, l.Port, l.User, l.file(passFile), name)
}

// copyName is the name under which data are copied.
const copyName = "mxcluster-copy"

// settings are the contents of our settings file. The first are for both roles: the servers
// change places. Commits wait for the other server only while it was seen to stream.
func (l *local) settings(synchronous bool) []byte {
	names := ""
	if synchronous {
		names = slot(l.Peer)
	}
	return fmt.Appendf(nil, `# Written by mxcluster; changes are lost.
listen_addresses = '*'
hot_standby = on
wal_log_hints = on
max_slot_wal_keep_size = '2GB'
wal_sender_timeout = '5s'
wal_receiver_timeout = '5s'
wal_retrieve_retry_interval = '200ms'
recovery_target_timeline = 'latest'
primary_conninfo = '%s'
primary_slot_name = '%s'
synchronous_standby_names = '%s'
`, l.conninfo(slot(l.Server)), slot(l.Server), names)
}

// access are the lines of ours in pg_hba.conf: the other server may log in as the
// replication role, this server by the socket, nobody else as that role.
func (l *local) access() []string {
	lines := []string{fmt.Sprintf("local postgres %s scram-sha-256", l.User), fmt.Sprintf("local all %s reject", l.User)}
	for _, from := range l.From {
		bits := 32
		if strings.Contains(from, ":") {
			bits = 128
		}
		lines = append(lines, fmt.Sprintf("host replication,postgres %s %s/%d scram-sha-256", l.User, from, bits))
	}
	return append(lines, fmt.Sprintf("host replication,all %s all reject", l.User))
}

// include are the lines of ours in postgresql.conf.
func (l *local) include() []string {
	return []string{"include_if_exists = '" + l.file(settingsFile) + "'"}
}

// withBlock returns a file's text with lines of ours in it, at the beginning or at the end;
// without lines, as it was before.
func withBlock(text string, lines []string, first bool) string {
	if before, rest, found := strings.Cut(text, markBegin+"\n"); found {
		if _, after, found := strings.Cut(rest, markEnd+"\n"); found {
			text = before + after
		}
	}
	if len(lines) == 0 {
		return text
	}
	block := markBegin + "\n" + strings.Join(lines, "\n") + "\n" + markEnd + "\n"
	if first {
		return block + text
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text + block
}

// confFile returns the path of a configuration file: where the configuration says, or beside it.
func (l *local) confFile(name, key string) (string, error) {
	if key == "" {
		return filepath.Join(l.conf, name), nil
	}
	text, err := os.ReadFile(filepath.Join(l.conf, "postgresql.conf"))
	if err != nil {
		return "", err
	}
	if path := setting(text, key); path != "" {
		return path, nil
	}
	return filepath.Join(l.data, name), nil
}

// blocked reports whether a configuration file has exactly these lines of ours.
func blocked(path string, lines []string, first bool) (bool, error) {
	text, err := os.ReadFile(path)
	return err == nil && withBlock(string(text), lines, first) == string(text), err
}

// setBlock gives a configuration file lines of ours, or takes them out.
func setBlock(path string, lines []string, first bool) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	next := withBlock(string(text), lines, first)
	if next == string(text) {
		return nil
	}
	return replaceLike(path, []byte(next))
}

// replaceLike replaces a file of another user's folder, durable and by rename, and keeps its
// mode and owner. No link is followed: a new file takes the place of the name.
func replaceLike(path string, text []byte) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return fmt.Errorf("%s is not a plain file", path)
	}
	return write(path, text, fs.FileMode(st.Mode&0o777), int(st.Uid), int(st.Gid))
}

// write writes a file of another user's folder in the same way.
func write(path string, text []byte, mode fs.FileMode, uid, gid int) (err error) {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer root.Close()
	name := filepath.Base(path)
	temp := "." + name + ".mxcluster"
	if err := root.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := root.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, own(f, uid, gid), f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return errors.Join(err, root.Remove(temp))
	}
	if err := root.Rename(temp, name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// own gives a file to a user, where it is not theirs.
func own(f *os.File, uid, gid int) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return f.Chown(uid, gid)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// same reports whether a file has these contents.
func same(path string, text []byte) bool {
	there, err := os.ReadFile(path)
	return err == nil && bytes.Equal(there, text)
}

// passLine is the line of a passfile: for all servers, since the two have the same password.
func passLine(user, password string) []byte {
	quote := strings.NewReplacer(`\`, `\\`, ":", `\:`)
	return []byte("*:*:*:" + quote.Replace(user) + ":" + quote.Replace(password) + "\n")
}

// password reads the password of the replication role.
func (l *local) password() (string, error) {
	text, err := os.ReadFile(l.file(passFile))
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	word, found := strings.CutPrefix(line, "*:*:*:"+l.User+":")
	if !found {
		return "", fmt.Errorf("%s is damaged", l.file(passFile))
	}
	var out strings.Builder
	for i := 0; i < len(word); i++ {
		if word[i] == '\\' && i+1 < len(word) {
			i++
		}
		out.WriteByte(word[i])
	}
	return out.String(), nil
}

// secure gives the passfile back to PostgreSQL's user alone: else that does not read it, and others
// may. The note says so.
func (l *local) secure() (note string, err error) {
	path := l.file(passFile)
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return "", &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&0o777 == passMode && int(st.Uid) == l.uid {
		return "", nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if err := write(path, text, passMode, l.uid, l.gid); err != nil {
		return "", err
	}
	note = fmt.Sprintf("the mode of %s was %#o, and its owner user %d: it is for the user of PostgreSQL alone again", path, st.Mode&0o777, st.Uid)
	if st.Mode&0o077 != 0 {
		note += "; others could read the password: mxcluster manager reconfigure changes it"
	}
	return note, nil
}

// secured reports whether the passfile is there and for PostgreSQL's user alone.
func (l *local) secured() bool {
	var st unix.Stat_t
	err := unix.Lstat(l.file(passFile), &st)
	return err == nil && st.Mode&(unix.S_IFMT|0o777) == unix.S_IFREG|passMode && int(st.Uid) == l.uid
}

// makeFolder makes the folder of our files, which PostgreSQL's user can enter.
func (l *local) makeFolder() error {
	if err := os.MkdirAll(l.Folder, 0o755); err != nil {
		return err
	}
	return os.Chmod(l.Folder, 0o755)
}

// signal has PostgreSQL start read-only from now on, whoever starts it, or no more.
func (l *local) signal(on bool) error {
	path := filepath.Join(l.data, signalFile)
	if _, err := os.Lstat(path); (err == nil) == on {
		return nil
	}
	if on {
		return write(path, nil, 0o600, l.uid, l.gid)
	}
	return errors.Join(os.Remove(path), syncDir(l.data))
}

// signalled reports whether it starts read-only, as does a copy that is about to take its place.
func (l *local) signalled() bool {
	if _, err := os.Lstat(l.data); errors.Is(err, fs.ErrNotExist) {
		return l.has(l.data + copyDone)
	}
	return l.has(filepath.Join(l.data, signalFile))
}

// unfit tells why the data are not to accept writes; nil: they may. A copy that is whole goes
// further than they do, and data of which a rewind did not come to its end are no data.
func (l *local) unfit() error {
	switch {
	case l.has(l.data + copyDone):
		return errors.New("a fresh copy of the data has yet to take their place")
	case l.has(l.file(rewindFile)):
		return fmt.Errorf("a rewind of the data was interrupted: they need a fresh copy of %s", l.Peer)
	}
	return nil
}

// has reports whether there is a file.
func (l *local) has(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// forget strips what a copy has of its source's own settings: a server would follow itself.
func (l *local) forget(data string) error {
	path := filepath.Join(data, "postgresql.auto.conf")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var kept strings.Builder
	for line := range strings.Lines(string(text)) {
		key, _, _ := strings.Cut(line, "=")
		key = strings.ToLower(strings.TrimSpace(key))
		if strings.HasPrefix(key, "primary_") || key == "synchronous_standby_names" {
			continue
		}
		kept.WriteString(line)
	}
	if kept.String() == string(text) {
		return nil
	}
	return replaceLike(path, []byte(kept.String()))
}

// reachLimit is how long the other server may take to answer a login.
const reachLimit = 3 * time.Second

// away returns how the other server is asked by the replication role.
func (l *local) away(ctx context.Context) (*session, error) {
	password, err := l.password()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, reachLimit)
	defer cancel()
	return login(ctx, hostPort(l.Host, l.Port), l.User, password)
}
