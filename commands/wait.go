package commands

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"mxcluster/internal/control"
	"mxcluster/internal/fault"
	"mxcluster/internal/status"
)

// stateRunning is the contract's state of an active LIM.
const stateRunning = "running"

// stateFailed is the contract's state of a LIM that did not start.
const stateFailed = "failed"

// livenessAlive is the liveness of a server whose agent is alive.
const livenessAlive = "alive"

// pollEvery is the interval of checks while waiting. The agent answers from memory.
const pollEvery = 50 * time.Millisecond

// goal reports whether a status is the one that is waited for, and describes the present state; an
// error if it will never come.
type goal func(*status.ClusterStatus) (reached bool, now string, err error)

// waitError is the error for waiting in vain.
type waitError struct{ error }

func (e waitError) Unwrap() error { return e.error }

// waitFor polls the agent until the goal is reached.
func waitFor(ctx context.Context, agent Agent, limit time.Duration, reached goal) error {
	return waitUntil(ctx, limit, func(ctx context.Context) (bool, string, error) {
		st, err := agent.Status(ctx)
		if err != nil {
			return false, "", err
		}
		ok, now, err := reached(st)
		if err != nil {
			err = waitError{err}
		}
		return ok, now, err
	})
}

// waitUntil polls until the goal is reached. If the wait is too long, that is fault.Unknown: the
// order remains, its outcome is unknown. An agent that does not answer may be restarting, and is
// polled further.
func waitUntil(ctx context.Context, limit time.Duration, look func(context.Context) (reached bool, now string, err error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errWaitOver)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	last := "no agent answered"
	for {
		ok, now, err := look(ctx)
		var over waitError
		switch {
		case errors.As(err, &over):
			return over.error
		case err == nil && ok:
			return nil
		case err == nil:
			last = now
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if !errors.Is(context.Cause(ctx), errWaitOver) {
				return ctx.Err()
			}
			return fault.New(fault.Unknown, "the order stands; look with 'mxcluster status'",
				"not there after %s: %s", limit, last)
		}
	}
}

// errWaitOver distinguishes the end of a wait from that of the command.
var errWaitOver = fault.New(fault.Unknown, "", "the wait ran out")

// aliveServers returns the other servers whose agents are alive. Without an agent here it is an
// error, as a wait would never end.
func aliveServers(ctx context.Context, s *server, agent bool) ([]string, error) {
	if !agent {
		return nil, fault.New(fault.Unreachable, "start it: "+s.startCommand(s.dirs)+"; or leave out --wait",
			"no agent runs here that could be waited for")
	}
	info, err := s.agent.Agent(ctx)
	if err != nil {
		return nil, err
	}
	var live []string
	for _, m := range info.Members {
		if m.Liveness == livenessAlive {
			live = append(live, m.Server)
		}
	}
	return live, nil
}

// awaitEdit waits until an edit has reached every live server, and its goal is reached.
func (s *server) awaitEdit(ctx context.Context, e edit, out outcome, live []string) error {
	end := s.env.Now().Add(e.wait)
	err := waitUntil(ctx, e.wait, func(ctx context.Context) (bool, string, error) {
		info, err := s.agent.Agent(ctx)
		if err != nil {
			return false, "", err
		}
		behind := serverBehind(info, out.After.Revision, live)
		return behind == "", behind, nil
	})
	if err != nil || e.then == nil {
		return err
	}
	return waitFor(ctx, s.agent, max(end.Sub(s.env.Now()), pollEvery), e.then)
}

// serverBehind returns a live server, or one that was alive when the edit began, without the
// revision. One that is silent because its address changes counts, too.
func serverBehind(info *control.AgentInfo, revision uint64, live []string) string {
	if info.Revision < revision {
		return fmt.Sprintf("the agent of %s works by revision %d, not %d", info.Server, info.Revision, revision)
	}
	for _, m := range info.Members {
		if (m.Liveness == livenessAlive || slices.Contains(live, m.Server)) && m.Revision < revision {
			return fmt.Sprintf("%s has revision %d, not %d", m.Server, m.Revision, revision)
		}
	}
	return ""
}

// busyPoll is the interval of retries while data are in use.
const busyPoll = 500 * time.Millisecond

// whileBusy retries while the error is fault.Busy, up to a limit.
func whileBusy(ctx context.Context, limit time.Duration, do func() error) error {
	err := do()
	if limit <= 0 || fault.CodeOf(err) != fault.Busy {
		return err
	}
	tick := time.NewTicker(busyPoll)
	defer tick.Stop()
	end := time.After(limit)
	for fault.CodeOf(err) == fault.Busy {
		select {
		case <-tick.C:
			err = do()
		case <-end:
			return err
		case <-ctx.Done():
			return err
		}
	}
	return err
}
