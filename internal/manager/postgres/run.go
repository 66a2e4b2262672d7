package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	lookEvery = 2 * time.Millisecond  // at what is waited for by a client
	waitEvery = 20 * time.Millisecond // at what takes longer
	stopLimit = 60 * time.Second
	runGrace  = 5 * time.Second // from SIGTERM to SIGKILL of a program that is ended
)

// program runs one of PostgreSQL's own programs as its user, and returns what it prints. It
// inherits nothing: what it starts is no software of a LIM.
func (l *local) program(ctx context.Context, name string, args ...string) (string, error) {
	return run(ctx, filepath.Join("/usr/lib/postgresql", strconv.Itoa(l.major), "bin", name), l.uid, l.gid, nil, nil, args...)
}

// maxPrinted bounds what is read of what a program prints, in bytes.
const maxPrinted = 64 << 10

// run runs a program as a user. It is killed with this process: nobody else would know of it, and a
// copy would go on into the folder of the next one.
func run(ctx context.Context, path string, uid, gid int, env []string, out *os.File, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = "/"
	cmd.Env = append([]string{"LANG=C.UTF-8", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	cmd.WaitDelay = runGrace
	cmd.SysProcAttr = attributes()
	if os.Geteuid() == 0 && uid != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	said, err := os.CreateTemp("", "mxcluster-postgres") // a file: what PostgreSQL leaves running does not hold it open for us
	if err != nil {
		return "", err
	}
	defer said.Close()
	if err := os.Remove(said.Name()); err != nil {
		return "", err
	}
	cmd.Stdout, cmd.Stderr = said, said
	if out != nil {
		cmd.Stdout = out
	}
	runtime.LockOSThread() // the program would be killed with the thread that has started it
	defer runtime.UnlockOSThread()
	err = cmd.Run()
	text := make([]byte, maxPrinted)
	n, _ := said.ReadAt(text, 0) // what there is
	printed := string(text[:n])
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return printed, fmt.Errorf("%s: %w: %s", filepath.Base(path), err, telling(printed))
	}
	return printed, nil
}

// telling returns the line of what a program printed that says what went wrong: the first that
// names an error, else the last.
func telling(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for _, line := range lines {
		if strings.Contains(line, "error:") || strings.Contains(line, "FATAL:") {
			return strings.TrimSpace(line)
		}
	}
	return strings.TrimSpace(lines[len(lines)-1])
}

// control has postgresql-common start or restart PostgreSQL: where systemd runs the server,
// by its unit.
func (l *local) control(ctx context.Context, verb string, more ...string) error {
	name := strings.SplitN(l.Instance, "/", 2)
	args := append([]string{name[0], name[1], verb}, more...)
	printed, err := run(ctx, "/usr/bin/pg_ctlcluster", 0, 0, []string{"PG_CLUSTER_CONF_ROOT=" + l.ConfRoot}, nil, args...)
	if err != nil && strings.Contains(printed, "already running") {
		return nil
	}
	return err
}

// start starts PostgreSQL, if it does not run, and returns when it takes connections.
func (l *local) start(ctx context.Context) error {
	pid, err := l.pid()
	if err != nil {
		return err
	}
	if pid == 0 {
		if err := l.clearLock(ctx); err != nil {
			return err
		}
		if err := l.control(ctx, "start"); err != nil {
			// One that was under way already, of a process that was killed, has come first.
			if now, wrong := l.pid(); wrong != nil || now == 0 {
				return fmt.Errorf("starting PostgreSQL: %w", errors.Join(err, wrong))
			}
		}
	}
	for {
		s, err := l.super(ctx)
		if err == nil {
			s.end()
			return nil
		}
		if !sleep(ctx, waitEvery) {
			return fmt.Errorf("PostgreSQL does not come up: %w", err)
		}
	}
}

// restart restarts PostgreSQL.
func (l *local) restart(ctx context.Context) error {
	if err := l.control(ctx, "restart", "--mode", "fast"); err != nil {
		return fmt.Errorf("restarting PostgreSQL: %w", err)
	}
	return l.start(ctx)
}

// reload has PostgreSQL read its configuration again.
func (l *local) reload(ctx context.Context) error {
	s, err := l.super(ctx)
	if err != nil {
		return err
	}
	defer s.end()
	return s.do(ctx, "select pg_reload_conf()")
}

// stop ends PostgreSQL fast, and returns when it has ended; one that does not run is left so.
func (l *local) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	pid, err := l.pid()
	if err != nil {
		return err
	}
	if pid == 0 {
		return nil
	}
	if err := unix.Kill(pid, unix.SIGINT); err != nil && !errors.Is(err, unix.ESRCH) {
		return os.NewSyscallError("kill", err)
	}
	for {
		if now, err := l.pid(); err != nil || now != pid {
			return err
		}
		if !sleep(ctx, lookEvery) {
			return fmt.Errorf("PostgreSQL (process %d) does not end: %w", pid, context.Cause(ctx))
		}
	}
}

// pid is the process of PostgreSQL; 0: it does not run.
func (l *local) pid() (int, error) {
	text, err := os.ReadFile(filepath.Join(l.data, "postmaster.pid"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || pid <= 0 {
		if left, wrong := l.processes(); wrong != nil || left {
			return 0, errors.Join(fmt.Errorf("%s is damaged", filepath.Join(l.data, "postmaster.pid")), wrong)
		}
		return 0, nil // a loss of power has left it so
	}
	if !worksIn(pid, l.data) {
		return 0, nil
	}
	return pid, nil
}

// processes reports whether any process works in the folder of the data.
func (l *local) processes() (bool, error) {
	all, err := filepath.Glob("/proc/[0-9]*/cwd")
	return slices.ContainsFunc(all, func(link string) bool { at, err := os.Readlink(link); return err == nil && at == l.data }), err
}

// clearLock removes the lock file of a PostgreSQL that was killed: a process that has its
// number by now would keep it from starting. What that PostgreSQL left running ends by itself
// first.
func (l *local) clearLock(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	for {
		left, err := l.processes()
		if err != nil {
			return err
		}
		if !left {
			break
		}
		if !sleep(ctx, waitEvery) {
			return errors.New("processes of the PostgreSQL that was killed do not end")
		}
	}
	path := filepath.Join(l.data, "postmaster.pid")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	// The socket has a lock file of its own.
	lock, err := l.socketLock(string(text))
	if err == nil && lock != "" {
		err = os.Remove(lock)
	}
	return errors.Join(err, os.Remove(path))
}

// socketLock returns the lock file that PostgreSQL with these data has beside its socket, by what its
// own lock file says, or, where that is damaged, its configuration; "": there is none.
func (l *local) socketLock(own string) (string, error) {
	text, err := os.ReadFile(filepath.Join(l.conf, "postgresql.conf"))
	if err != nil {
		return "", err
	}
	folder, _, _ := strings.Cut(setting(text, "unix_socket_directories"), ",")
	port := setting(text, "port")
	if lines := strings.Split(own, "\n"); len(lines) > 4 && lines[4] != "" {
		folder, port = lines[4], strings.TrimSpace(lines[3])
	}
	path := filepath.Join(folder, ".s.PGSQL."+port+".lock")
	text, err = os.ReadFile(path)
	lines := strings.Split(string(text), "\n") // a process, and its data
	if err != nil || len(lines) < 2 {
		return "", nil //nolint:nilerr // nothing of this PostgreSQL
	}
	if at, err := filepath.EvalSymlinks(lines[1]); err != nil || at != l.data {
		return "", nil //nolint:nilerr // it is another's
	}
	return path, nil
}

// super logs in as the superuser, by the socket.
func (l *local) super(ctx context.Context) (*session, error) {
	m, err := findPostmaster(l.data)
	if err != nil {
		return nil, err
	}
	conn, err := connect(ctx, m)
	if err != nil {
		return nil, err
	}
	return &session{conn}, nil
}

// sleep waits; false: the context ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
