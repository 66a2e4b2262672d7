//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

// Server is one server of the lab, seen from the host.
type Server struct {
	Name string
	MAC  net.HardwareAddr // of its interface, kept across reboots

	lab   *Lab
	dir   string
	base  netip.Prefix
	first *process // nil: switched off
	agent *command // nil: never started

	faults []Fault // made by Fail
}

// Base is the address that the operating system configures at boot.
func (s *Server) Base() netip.Prefix { return s.base }

// SetBase changes the address for the next boot, like an edit of the operating system's network
// files after `create`.
func (s *Server) SetBase(base netip.Prefix) { s.base = base }

// Dir is the server's folder, with etc, state and run below it.
func (s *Server) Dir() string { return s.dir }

// Boot switches the server on and returns when its network is up. The runtime folder is empty, as
// after every boot; other files are kept.
func (s *Server) Boot(ctx context.Context) error {
	if s.first != nil {
		return fault.New(fault.Refused, "", "server %s has power already", s.Name)
	}
	if err := s.prepareFolders(); err != nil {
		return fmt.Errorf("booting %s: %w", s.Name, err)
	}
	if err := s.powerOn(); err != nil {
		return fmt.Errorf("booting %s: %w", s.Name, err)
	}
	// The network namespace exists as soon as the process does, so the cable can be connected
	// before the server needs it.
	if err := s.lab.network.plugServer(s.Name, s.MAC, s.first.pid); err != nil {
		return fmt.Errorf("booting %s: %w", s.Name, err)
	}
	conn, err := dial(ctx, s.lab.Dir, s.Name)
	if err != nil {
		return fmt.Errorf("booting %s: %w", s.Name, err)
	}
	defer conn.Close()
	boot := &command{server: s.Name, conn: conn}
	_, err = boot.ask(request{Boot: &bootRequest{Interface: serverInterface, Address: s.base.String()}})
	return err
}

func (s *Server) prepareFolders() error {
	if err := os.RemoveAll(filepath.Join(s.dir, "run")); err != nil {
		return err
	}
	for _, sub := range []string{"etc", "state", "run"} {
		if err := os.MkdirAll(filepath.Join(s.dir, sub), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// powerOn starts the first process of the server in new namespaces.
func (s *Server) powerOn() error {
	// The host creates the socket, so that it can be dialled before the server is ready.
	path := socketPath(s.lab.Dir, s.Name)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	listener, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		return err
	}
	// The server has a copy; the path must remain.
	listener.SetUnlinkOnClose(false)
	defer listener.Close()
	passed, err := listener.File()
	if err != nil {
		return err
	}
	defer passed.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	s.first, err = s.lab.children.start(
		[]string{s.lab.Exe, "lab", "server", "--lab", s.lab.Dir, s.Name},
		&syscall.ProcAttr{
			Dir:   s.dir,
			Env:   os.Environ(),
			Files: []uintptr{null.Fd(), null.Fd(), s.lab.errs.Fd(), passed.Fd()},
			Sys: &syscall.SysProcAttr{
				Setsid:     true,
				Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWUTS,
			},
		})
	return err
}

// PowerCut switches the server off: no frame leaves any more, and all of its processes are killed
// at once.
func (s *Server) PowerCut() error {
	if s.first == nil {
		return fault.New(fault.Refused, "", "server %s has no power already", s.Name)
	}
	err := errors.Join(s.SetCable(false), s.first.kill(unix.SIGKILL, false))
	if err != nil {
		return fmt.Errorf("cutting the power of %s: %w", s.Name, err)
	}
	// The kernel reports the first process as dead after all others.
	<-s.first.ended
	s.first = nil
	if s.agent != nil {
		s.agent.close()
		s.agent = nil
	}
	return s.lab.network.unplug(s.Name)
}

// SetCable connects or disconnects the network cable.
func (s *Server) SetCable(in bool) error { return s.lab.network.setPort(s.Name, in) }

// Run runs a command on the server and returns its output, whatever its exit
// code.
func (s *Server) Run(ctx context.Context, env []string, argv ...string) (*Result, error) {
	return capture(ctx, s.lab.Dir, s.Name, argv, env)
}

// Mxcluster runs an mxcluster command on the server and returns its standard output. An exit code
// other than 0 is an error with that code and the command's message.
func (s *Server) Mxcluster(ctx context.Context, args ...string) ([]byte, error) {
	result, err := s.Run(ctx, nil, append([]string{"mxcluster"}, args...)...)
	if err != nil {
		return nil, err
	}
	if result.Code != 0 {
		message, hint, _ := strings.Cut(string(result.Err), "\n")
		return result.Out, fault.New(fault.Code(result.Code), hint, "%s$ mxcluster %s: %s",
			s.Name, strings.Join(args, " "), strings.TrimPrefix(message, "mxcluster: "))
	}
	return result.Out, nil
}

// StartAgent starts the agent and returns when its process runs. Its output goes to agent.log in
// the server's folder.
func (s *Server) StartAgent(ctx context.Context) error {
	log, err := os.OpenFile(s.agentLog(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("starting the agent of %s: %w", s.Name, err)
	}
	defer log.Close()
	if s.agent != nil {
		s.agent.close()
	}
	s.agent, err = start(ctx, s.lab.Dir, s.Name, []string{"mxcluster", "agent", "run"}, nil, Stdio{Out: log, Err: log})
	return err
}

// awaitAgent returns when the agent answers on its socket. If the agent has ended, the error has
// its last lines of output.
func (s *Server) awaitAgent(ctx context.Context) error {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		_, err := s.Mxcluster(ctx, "agent", "status")
		if err == nil {
			return nil
		}
		select {
		case <-s.agent.ended:
			log, _ := os.ReadFile(s.agentLog()) // without it the error has no details
			return fmt.Errorf("agent of %s ended with code %d: %s", s.Name, s.agent.code, lastLines(log))
		case <-ctx.Done():
			return fmt.Errorf("waiting for the agent of %s: %w (last: %w)", s.Name, context.Cause(ctx), err)
		case <-ticker.C:
		}
	}
}

// lastLines joins the end of a log into one line.
func lastLines(log []byte) string {
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], "; ")
}

func (s *Server) agentLog() string { return filepath.Join(s.dir, "agent.log") }

// SignalAgent sends a signal to the agent's process only; with SIGKILL it returns when the process
// is dead.
func (s *Server) SignalAgent(ctx context.Context, sig syscall.Signal) error {
	if s.agent == nil {
		return fault.New(fault.Refused, "", "no agent was started on %s", s.Name)
	}
	if err := s.agent.signal(sig); err != nil {
		return fmt.Errorf("sending %s to the agent of %s: %w", unix.SignalName(sig), s.Name, err)
	}
	if sig != unix.SIGKILL {
		return nil
	}
	_, err := s.agent.wait(ctx)
	s.agent.close()
	s.agent = nil
	return err
}
