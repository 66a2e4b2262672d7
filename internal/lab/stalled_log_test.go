//go:build linux

package lab

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestStalledLog(t *testing.T) {
	t.Parallel()
	runScenario(t, "stalled-log", program(t))
}

// stalledLogScenario: whoever should read the agents' logs does not, as a journal that
// hangs, and then is gone. The agents start, hold their leases and take over all the same.
func stalledLogScenario(ctx context.Context, l *Lab) error {
	x, err := newCluster(ctx, l)
	if err != nil {
		return err
	}
	var f findings
	var logs []*os.File
	for _, s := range []*Server{x.srv1, x.standby} {
		f.noError(x.mx(ctx, s, "agent", "stop"), "agent stop")
		full, err := stalledPipe(s.agentLog())
		if err != nil {
			return err
		}
		logs = append(logs, full)
		f.noError(x.startAgent(ctx, s), "agent run")
		f.noError(x.await(ctx, 1, "srv1"), "after the start")
	}
	from := time.Now()
	f.noError(awaitSettled(ctx, x.watcher, int(2*testLease/x.asking)), "waiting")
	for _, log := range logs {
		f.noError(log.Close(), "closing a log")
	}
	f.noError(awaitSettled(ctx, x.watcher, int(2*testLease/x.asking)), "waiting")
	to := time.Now()
	f.noError(x.caller.Settle(ctx), "calling")
	s := x.caller.Between(from, to)
	f.check(s.Lost == 0, "%d of %d calls lost while nobody reads the logs, or can", s.Lost, s.Calls)
	f.noError(within(ctx, testStep, x.cutPower), "takeover")
	x.say("sb1 answers")
	return f.err()
}

// stalledPipe puts a full pipe in the place of a log. It is stalled until it is closed.
func stalledPipe(log string) (*os.File, error) {
	if err := os.Remove(log); err != nil {
		return nil, err
	}
	if err := unix.Mkfifo(log, 0o600); err != nil {
		return nil, err
	}
	full, err := os.OpenFile(log, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	for err == nil {
		_, err = unix.Write(int(full.Fd()), bytes.Repeat([]byte("x"), os.Getpagesize()))
	}
	if !errors.Is(err, unix.EAGAIN) {
		return nil, errors.Join(err, full.Close())
	}
	return full, nil
}
