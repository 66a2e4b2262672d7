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

// listenerFD is the descriptor of a server's socket, which the host created.
const listenerFD = 3

// machine is one server, seen from inside: the first process of its namespaces, in the role of an
// operating system.
type machine struct {
	name     string
	dir      string // of this server, below the lab folder
	children *processes
	booted   chan struct{} // closed when the network is up
}

// RunServer is the first process of a server's namespaces: it configures the base address, runs the
// commands that arrive at its socket, and reaps orphans. It starts nothing by itself. It ends with
// ctx; a power cut is its death by SIGKILL.
func RunServer(ctx context.Context, dir, name string) error {
	if os.Getpid() != 1 {
		return fault.New(fault.Usage, "use 'mxcluster lab demo' or 'mxcluster lab up'", "running lab server %s: only the lab itself starts one", name)
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

// mountProc mounts /proc for this process namespace.
func mountProc() error {
	err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	if errors.Is(err, unix.EINVAL) { // in a chroot the root is no mount of its own; all that is mounted here is below /proc
		err = unix.Mount("", "/proc", "", unix.MS_REC|unix.MS_PRIVATE, "")
	}
	if err == nil {
		err = unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	}
	if err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	return nil
}

// newBoot gives this namespace a boot ID of its own, by mounting a file. All servers share one
// kernel, and could not notice a reboot otherwise.
func newBoot(file string) error {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
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
				// The caller may be gone.
				_ = send(conn, reply{Error: err.Error()})
			}
		}()
	}
}

// serve handles one connection.
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

// bringUp configures the network like an operating system at boot: loopback and base address.
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

// run starts a command, and sends its process ID and then its exit code. If the caller goes away,
// the command is killed; daemons in sessions of their own stay.
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
		Sys:   &syscall.SysProcAttr{Setsid: true, Setctty: req.Terminal}, // as an operating system starts its services
	})
	if err != nil {
		return err
	}
	// Only the caller may hold the streams, so that it sees when they are closed.
	closeAll(stdio)
	if err := send(conn, reply{PID: child.pid}); err != nil {
		return errors.Join(err, child.kill(unix.SIGKILL, true))
	}
	go relaySignals(conn, child)
	<-child.ended
	code := child.exitCode()
	return send(conn, reply{Exit: &code})
}

// relaySignals forwards the caller's signals, and ends the command when the caller is gone.
func relaySignals(conn *net.UnixConn, child *process) {
	for {
		var req request
		files, err := receive(conn, &req)
		closeAll(files)
		if err != nil {
			// The command may have just ended by itself.
			_ = child.kill(unix.SIGKILL, true)
			return
		}
		_ = child.kill(syscall.Signal(req.Signal), false)
	}
}

// environment returns the environment of a login on this server: mxcluster, the server's own if it
// has one, is in PATH and finds this server's folders.
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

// lookPath finds argv[0] in the PATH of env.
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
