// Package postgres finds the PostgreSQL of this server and asks it how it stands, as its own
// superuser over its Unix socket. It finds what Debian's postgresql-common has set up.
package postgres

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"mxcluster/internal/manager"
)

// DefaultConfRoot is where postgresql-common has the configuration of every instance, in
// VERSION/NAME.
const DefaultConfRoot = "/etc/postgresql"

// Host is where the PostgreSQL of a server is.
type Host struct {
	ConfRoot string // such as DefaultConfRoot
}

// Look tells what is on this server, and asks what runs. What could not be seen says why.
func (h Host) Look(ctx context.Context, server string) (*manager.Node, error) {
	files, err := filepath.Glob(filepath.Join(h.ConfRoot, "*", "*", "postgresql.conf"))
	if err != nil {
		return nil, err
	}
	node := &manager.Node{Server: server, Instances: []manager.Instance{}}
	for _, file := range files {
		dir := filepath.Dir(file)
		major, err := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
		if err != nil {
			continue // before 10 versions had two numbers
		}
		i := manager.Instance{Name: fmt.Sprintf("%d/%s", major, filepath.Base(dir)), Major: major}
		look(ctx, file, &i)
		node.Instances = append(node.Instances, i)
	}
	slices.SortFunc(node.Instances, func(a, b manager.Instance) int {
		return cmp.Or(cmp.Compare(a.Major, b.Major), strings.Compare(a.Name, b.Name))
	})
	return node, nil
}

// look fills in what is found about the instance with this configuration.
func look(ctx context.Context, file string, i *manager.Instance) {
	text, err := os.ReadFile(file)
	if err != nil {
		i.Problem = plain(err)
		return
	}
	if i.DataDir = setting(text, "data_directory"); i.DataDir == "" {
		i.Problem = "its configuration names no data_directory"
		return
	}
	i.FreeBytes = free(i.DataDir)
	m, err := findPostmaster(i.DataDir)
	if err != nil {
		i.Problem = plain(err)
		return
	}
	i.Port = m.port
	if i.Database, err = ask(ctx, m); err != nil {
		i.Problem = "it does not answer: " + plain(err)
	}
}

// plain leaves out the path and the operation of a file that is not there or not readable:
// they are in what is said around it.
func plain(err error) string {
	if errors.Is(err, fs.ErrPermission) {
		return "not permitted: run the command as root"
	}
	return err.Error()
}

// setting reads a setting from a configuration file of PostgreSQL; of several the last counts,
// as for PostgreSQL.
func setting(text []byte, name string) (value string) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		key, rest, ok := strings.Cut(strings.TrimSpace(lines.Text()), "=")
		if !ok || !strings.EqualFold(strings.TrimSpace(key), name) {
			continue
		}
		rest = strings.TrimSpace(rest)
		if quoted, ok := strings.CutPrefix(rest, "'"); ok {
			value, _, _ = strings.Cut(quoted, "'")
			continue
		}
		value, _, _ = strings.Cut(rest, "#")
		value = strings.TrimSpace(value)
	}
	return value
}

// free returns how many bytes there is room for where a folder is; nil: not known.
func free(dir string) *int64 {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return nil
	}
	n := int64(st.Bavail) * int64(st.Bsize) //nolint:unconvert // it has another type where this is not Linux
	return &n
}

// postmaster is a PostgreSQL that runs, as its lock file says.
type postmaster struct {
	socket string // its path
	port   int
	uid    int // whom it runs as
	gid    int
}

// worksIn reports whether a process runs in a folder, as PostgreSQL does in that of its data: the
// number of one that was killed may be somebody else's by now. Who may not see that takes it for
// PostgreSQL.
func worksIn(pid int, dir string) bool {
	if errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
		return false
	}
	at, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "cwd"))
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist) // of a dead one that nobody has waited for
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	return at == dir
}

// findPostmaster reads the lock file in a data folder: process, folder, start, port, folder of
// the socket, each on a line of its own.
func findPostmaster(dataDir string) (postmaster, error) {
	file := filepath.Join(dataDir, "postmaster.pid")
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return postmaster{}, errors.New("it is not running")
	}
	if err != nil {
		return postmaster{}, err
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) < 5 {
		return postmaster{}, fmt.Errorf("it is starting: %s is not complete", file)
	}
	pid, err1 := strconv.Atoi(strings.TrimSpace(lines[0]))
	port, err2 := strconv.Atoi(strings.TrimSpace(lines[3]))
	socketDir := strings.TrimSpace(lines[4])
	if err := errors.Join(err1, err2); err != nil || pid <= 0 {
		return postmaster{}, fmt.Errorf("%s is damaged", file)
	}
	if !worksIn(pid, dataDir) {
		return postmaster{}, fmt.Errorf("it is not running: %s is left over from process %d", file, pid)
	}
	if socketDir == "" {
		return postmaster{}, errors.New("it has no Unix socket: set unix_socket_directories")
	}
	var st unix.Stat_t
	if err := unix.Stat(dataDir, &st); err != nil {
		return postmaster{}, err
	}
	return postmaster{socket: filepath.Join(socketDir, ".s.PGSQL."+strconv.Itoa(port)), port: port, uid: int(st.Uid), gid: int(st.Gid)}, nil
}
