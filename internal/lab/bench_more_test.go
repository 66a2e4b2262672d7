//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// hostRun runs a program of the lab's host, in the namespace of the switch.
func (l *Lab) hostRun(ctx context.Context, argv ...string) error {
	p, err := l.children.start(argv, &syscall.ProcAttr{
		Env:   []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
		Files: []uintptr{l.errs.Fd(), l.errs.Fd(), l.errs.Fd()},
		Sys:   &syscall.SysProcAttr{},
	})
	if err != nil {
		return err
	}
	select {
	case <-p.ended:
	case <-ctx.Done():
		return errors.Join(context.Cause(ctx), p.kill(unix.SIGKILL, false))
	}
	if code := p.exitCode(); code != 0 {
		return fmt.Errorf("%s ended with code %d", strings.Join(argv, " "), code)
	}
	return nil
}

// benchFrozen stops the agent of the active server for 2 s, five times.
func benchFrozen(ctx context.Context, l *Lab) error {
	x, err := newBenchSite(ctx, l, 200*time.Millisecond)
	if err != nil {
		return err
	}
	return x.undisturbed(ctx, "agent stopped for 2 s, five times, lease 3 s", func() error {
		for range 5 {
			if err := x.srv1.SignalAgent(ctx, unix.SIGSTOP); err != nil {
				return err
			}
			if err := wait(ctx, 2*time.Second); err != nil {
				return err
			}
			if err := x.srv1.SignalAgent(ctx, unix.SIGCONT); err != nil {
				return err
			}
			if err := wait(ctx, 2*time.Second); err != nil {
				return err
			}
		}
		return nil
	})
}

// benchSpinning keeps all cores busy with eight processes.
func benchSpinning(ctx context.Context, l *Lab) error {
	x, err := newBenchSite(ctx, l, 200*time.Millisecond)
	if err != nil {
		return err
	}
	return x.undisturbed(ctx, "8 spinning processes, failover-after 200 ms", func() error {
		for i := range 8 {
			s := []*Server{x.srv1, x.standby}[i%2]
			cmd, err := start(ctx, l.Dir, s.Name, []string{"sh", "-c", "while :; do :; done"}, nil, Stdio{})
			if err != nil {
				return err
			}
			defer cmd.close()
			defer func() { _ = cmd.signal(unix.SIGKILL) }()
		}
		return wait(ctx, benchTime())
	})
}

// benchKilled kills the agent of the active server: it is started anew within the
// lease, and then not at all.
func benchKilled(ctx context.Context, l *Lab) error {
	const failoverAfter, lease = 200 * time.Millisecond, 3 * time.Second
	x, err := newBenchSite(ctx, l, failoverAfter)
	if err != nil {
		return err
	}
	if err := x.undisturbed(ctx, "agent killed, started 1 s later, five times", func() error {
		for range 5 {
			if err := x.srv1.SignalAgent(ctx, unix.SIGKILL); err != nil {
				return err
			}
			if err := wait(ctx, time.Second); err != nil {
				return err
			}
			if err := x.startAgent(ctx, x.srv1); err != nil {
				return err
			}
			if err := wait(ctx, time.Second); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	var f findings
	var served, vacant []time.Duration
	twice, requests := 0, 0
	for range benchNumber("RUNS", 5) {
		killed := time.Now()
		if err := x.srv1.SignalAgent(ctx, unix.SIGKILL); err != nil {
			return err
		}
		if err := x.caller.WaitAnswer(ctx, "sb1", killed); err != nil {
			return err
		}
		served = append(served, time.Since(killed))
		h := x.watcher.Between(killed, time.Now())
		vacant = append(vacant, h.Vacant)
		twice, requests = twice+h.Twice, requests+h.Requests
		if err := x.startAgent(ctx, x.srv1); err != nil {
			return err
		}
		if err := within(ctx, testStep, func(ctx context.Context) error {
			if err := awaitLIM(ctx, x.standby, 1, "may fall back", fallbackReady); err != nil {
				return err
			}
			return x.mx(ctx, x.standby, "fallback", "1", "--wait")
		}); err != nil {
			return err
		}
	}
	f.check(twice == 0, "%d of %d ARP requests were answered by two", twice, requests)
	row("agent killed for good: served again after", spread(served), "without a holder: "+spread(vacant), fmt.Sprintf("two at once %d of %d", twice, requests))
	return f.err()
}
