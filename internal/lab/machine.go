//go:build linux

package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
	"mxcluster/internal/netns"
)

// listenerFD is where a server process finds the socket that the host made.
const listenerFD = 3

// machine is the inside of one server: the first process of its namespaces,
// what an operating system would be.
type machine struct {
	name     string
	dir      string // of this server, below the lab folder
	children *processes
	booted   chan struct{} // closed when the network is up
}

// RunServer is the first process of a server's namespaces: it brings the
// server's base address up, runs the commands that come in on its socket and
// takes care of orphans. It starts nothing by itself. It ends with ctx; a power
// cut is its death by SIGKILL.
func RunServer(ctx context.Context, dir, name string) error {
	if os.Getpid() != 1 {
		return fault.New(fault.Usage, "use 'mxcluster lab demo'", "running lab server %s: only the lab itself starts one", name)
	}
	f := os.NewFile(listenerFD, "listener")
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return fmt.Errorf("running lab server %s: taking the socket over: %w", name, err)
	}
	listener, ok := l.(*net.UnixListener)
	if !ok {
		return fmt.Errorf("running lab server %s: %s is no Unix socket", name, l.Addr())
	}
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	if err := unix.Sethostname([]byte(name)); err != nil {
		return fmt.Errorf("running lab server %s: setting the host name: %w", name, err)
	}
	if err := mountProc(); err != nil {
		return fmt.Errorf("running lab server %s: %w", name, err)
	}
	if err := newBoot(filepath.Join(dir, name, "run", "boot_id")); err != nil {
		return fmt.Errorf("running lab server %s: %w", name, err)
	}
	m := &machine{name: name, dir: filepath.Join(dir, name), children: newProcesses(), booted: make(chan struct{})}
	go m.children.reap(ctx)
	return m.accept(ctx, listener)
}

// mountProc shows the processes of this namespace at /proc, for this namespace
// alone.
func mountProc() error {
	err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	if err == nil {
		err = unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	}
	if err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	return nil
}

// newBoot has this namespace show a boot of its own, by a file that it makes. All servers
// share one kernel, and after a power cut none would know that it was down.
func newBoot(file string) error {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // it never fails
	text := fmt.Sprintf("%x-%x-%x-%x-%x\n", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
	if err := os.WriteFile(file, []byte(text), 0o444); err != nil {
		return err
	}
	if err := unix.Mount(file, "/proc/sys/kernel/random/boot_id", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("showing a new boot: %w", err)
	}
	return nil
}

func (m *machine) accept(ctx context.Context, listener *net.UnixListener) error {
	for {
		conn, err := listener.AcceptUnix()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("running lab server %s: %w", m.name, err)
		}
		go func() {
			defer conn.Close()
			if err := m.serve(ctx, conn); err != nil {
				// The caller may be gone; then nobody is left to tell.
				_ = send(conn, reply{Error: err.Error()})
			}
		}()
	}
}

// serve answers one connection.
func (m *machine) serve(ctx context.Context, conn *net.UnixConn) error {
	var req request
	stdio, err := receive(conn, &req)
	if err != nil {
		return err
	}
	defer closeAll(stdio)
	if req.Boot != nil {
		if err := m.bringUp(*req.Boot); err != nil {
			return err
		}
		close(m.booted)
		return send(conn, reply{Booted: true})
	}
	select {
	case <-m.booted:
	case <-ctx.Done():
		return ctx.Err()
	}
	return m.run(conn, req, stdio)
}

// bringUp configures the network as an operating system does at boot: the
// loopback and the base address.
func (m *machine) bringUp(b bootRequest) error {
	base, err := netip.ParsePrefix(b.Address)
	if err != nil {
		return fmt.Errorf("booting %s: %w", m.name, err)
	}
	ns, err := netns.Current()
	if err == nil {
		err = errors.Join(ns.SetUp("lo"), ns.AddAddress(b.Interface, base), ns.SetUp(b.Interface), ns.Close())
	}
	if err != nil {
		return fmt.Errorf("booting %s: %w", m.name, err)
	}
	return nil
}

// run starts a command and tells its process number, then its exit code. A
// caller that goes away takes its command along; what the command left in
// sessions of its own, a daemon, stays.
func (m *machine) run(conn *net.UnixConn, req request, stdio []*os.File) error {
	if len(req.Argv) == 0 || len(stdio) != 3 {
		return errors.New("no command, or no standard streams")
	}
	env := m.environment(req.Env)
	argv, err := lookPath(req.Argv, env)
	if err != nil {
		return err
	}
	child, err := m.children.start(argv, &syscall.ProcAttr{
		Dir:   m.dir,
		Env:   env,
		Files: []uintptr{stdio[0].Fd(), stdio[1].Fd(), stdio[2].Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true}, // as an operating system starts its services
	})
	if err != nil {
		return err
	}
	// The caller alone must hold the streams: it sees their end by that.
	closeAll(stdio)
	if err := send(conn, reply{PID: child.pid}); err != nil {
		return errors.Join(err, child.kill(unix.SIGKILL, true))
	}
	go relaySignals(conn, child)
	<-child.ended
	code := child.exitCode()
	return send(conn, reply{Exit: &code})
}

// relaySignals passes the caller's signals on, and ends the command when the
// caller is gone.
func relaySignals(conn *net.UnixConn, child *process) {
	for {
		var req request
		files, err := receive(conn, &req)
		closeAll(files)
		if err != nil {
			// The command may just have ended by itself: nothing to tell.
			_ = child.kill(unix.SIGKILL, true)
			return
		}
		_ = child.kill(syscall.Signal(req.Signal), false)
	}
}

// environment is that of a login on this server: mxcluster is found, the server's own
// where it has one, and finds this server's folders.
func (m *machine) environment(extra []string) []string {
	env := []string{
		"PATH=" + filepath.Join(m.dir, "bin") + ":" + filepath.Join(filepath.Dir(m.dir), "bin") + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=" + m.dir,
		"HOSTNAME=" + m.name,
		"MXCLUSTER_CONFIG_DIR=" + filepath.Join(m.dir, "etc"),
		"MXCLUSTER_STATE_DIR=" + filepath.Join(m.dir, "state"),
		"MXCLUSTER_RUN_DIR=" + filepath.Join(m.dir, "run"),
	}
	return append(env, extra...)
}

// lookPath finds argv[0] in env's PATH.
func lookPath(argv, env []string) ([]string, error) {
	if strings.Contains(argv[0], "/") {
		return argv, nil
	}
	for _, v := range env {
		path, ok := strings.CutPrefix(v, "PATH=")
		if !ok {
			continue
		}
		for _, dir := range filepath.SplitList(path) {
			candidate := filepath.Join(dir, argv[0])
			if unix.Access(candidate, unix.X_OK) == nil {
				return append([]string{candidate}, argv[1:]...), nil
			}
		}
	}
	return nil, fmt.Errorf("%s: command not found", argv[0])
}
