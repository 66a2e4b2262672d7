//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"
)

// Lab is a running lab, seen from the host. Its methods are for one goroutine; callers and watchers
// run concurrently.
type Lab struct {
	Dir string // the lab folder
	Exe string // the mxcluster program that runs in the servers

	errs     *os.File
	children *processes
	network  *network
	servers  []*Server
	ready    func() error // tells the parent that the lab is up

	beside *errgroup.Group // goroutines started by Go
	ending context.Context // done at the end of the scenario
}

// newLab creates the switch, and the folder of the program in every server's PATH.
func (h Host) newLab(ctx context.Context, children *processes) (*Lab, error) {
	exe := h.Exe
	if exe == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("making the lab: finding this program: %w", err)
		}
		exe = self
	}
	bin := filepath.Join(h.Dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		return nil, fmt.Errorf("making the lab: %w", err)
	}
	program := filepath.Join(bin, "mxcluster")
	if h.KeepProgram {
		if err := copyProgram(program); err != nil {
			return nil, fmt.Errorf("making the lab: copying the program: %w", err)
		}
		exe = program
	} else if err := os.Symlink(exe, program); err != nil {
		return nil, fmt.Errorf("making the lab: %w", err)
	}
	n, err := newNetwork()
	if err != nil {
		return nil, err
	}
	beside, ending := errgroup.WithContext(ctx)
	return &Lab{Dir: h.Dir, Exe: exe, errs: h.Err, children: children, network: n, beside: beside, ending: ending}, nil
}

// copyProgram copies the program of this process, which may have no name any more.
func copyProgram(to string) (err error) {
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer from.Close()
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o700)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}

// AddServer adds a server to the lab, switched off.
func (l *Lab) AddServer(name string, base netip.Prefix) (*Server, error) {
	s := &Server{Name: name, MAC: serverMAC(len(l.servers)), lab: l, dir: filepath.Join(l.Dir, name), base: base}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("adding server %s to the lab: %w", name, err)
	}
	l.servers = append(l.servers, s)
	return s, nil
}

// Server returns the server of that name, or nil.
func (l *Lab) Server(name string) *Server {
	i := slices.IndexFunc(l.servers, func(s *Server) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return l.servers[i]
}

// serverOf returns the server with a MAC address, or the address itself.
func (l *Lab) serverOf(mac string) string {
	for _, s := range l.servers {
		if s.MAC.String() == mac {
			return s.Name
		}
	}
	return mac
}

// Go runs a client or a watcher until the scenario ends.
func (l *Lab) Go(run func(context.Context) error) {
	l.beside.Go(func() error { return run(l.ending) })
}

// logTail is how many bytes of an agent's log are shown after a failed scenario.
const logTail = 8 << 10

// tellLogs writes the ends of the agents' logs, whose folder is about to be removed.
func (l *Lab) tellLogs(w io.Writer) {
	for _, s := range l.servers {
		log, err := os.ReadFile(s.agentLog())
		if err != nil {
			continue // no agent was started there
		}
		fmt.Fprintf(w, "agent of %s:\n%s", s.Name, log[max(0, len(log)-logTail):])
	}
}

// Locally administered addresses of servers and clients, numbered in the last two bytes.
func serverMAC(i int) net.HardwareAddr { return net.HardwareAddr{2, 0, 0x5e, 0, 1, byte(i + 1)} }
func clientMAC(i int) net.HardwareAddr { return net.HardwareAddr{2, 0, 0x5e, 0, 2, byte(i + 1)} }

// Scenario is the script of a lab. It ends with ctx's error when ctx is done.
type Scenario func(ctx context.Context, l *Lab) error
