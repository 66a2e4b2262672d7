//go:build linux

package lab

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// processes are the children of the first process of a process namespace. os/exec must not be used
// beside it: every orphan of the namespace becomes a child, and waiting for any child would take
// the exit status that os/exec waits for.
type processes struct {
	mu       sync.Mutex
	children map[int]*process
}

// process is one child.
type process struct {
	pid    int
	ended  chan struct{} // closed when status is set
	status syscall.WaitStatus
}

func newProcesses() *processes {
	return &processes{children: make(map[int]*process)}
}

// start runs argv[0]. The lock is held until the child is recorded, so that reap does not take it
// for an orphan.
func (p *processes) start(argv []string, attr *syscall.ProcAttr) (*process, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pid, err := syscall.ForkExec(argv[0], argv, attr)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", argv[0], err)
	}
	child := &process{pid: pid, ended: make(chan struct{})}
	p.children[pid] = child
	return child, nil
}

// reap waits for ended children until ctx is done, both those of start and orphans.
func (p *processes) reap(ctx context.Context) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGCHLD)
	defer signal.Stop(signals)
	for {
		p.collect()
		select {
		case <-ctx.Done():
			return
		case <-signals:
		}
	}
}

func (p *processes) collect() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		p.mu.Lock()
		if child := p.children[pid]; child != nil {
			delete(p.children, pid)
			child.status = status
			close(child.ended)
		}
		p.mu.Unlock()
	}
}

// exitCode is the child's exit code; 128 plus the signal's number if a signal ended it. It may be
// called after ended is closed.
func (c *process) exitCode() int {
	if c.status.Signaled() {
		return 128 + int(c.status.Signal())
	}
	return c.status.ExitStatus()
}

// kill sends a signal to the child, or to its process group.
func (c *process) kill(sig syscall.Signal, group bool) error {
	select {
	case <-c.ended:
		return nil
	default:
	}
	pid := c.pid
	if group {
		pid = -pid
	}
	if err := syscall.Kill(pid, sig); err != nil && err != syscall.ESRCH {
		return fmt.Errorf("sending %s to process %d: %w", unix.SignalName(sig), c.pid, err)
	}
	return nil
}
