package commands

import (
	"context"
	"errors"
	"time"

	"mxcluster/internal/fault"
	"mxcluster/internal/status"
)

// stateRunning is the contract's word for a LIM that serves.
const stateRunning = "running"

// pollEvery is how often a wait looks. The agent answers from memory.
const pollEvery = 50 * time.Millisecond

// goal tells whether a status is the one waited for, and how things stand.
type goal func(*status.ClusterStatus) (reached bool, now string)

// waitFor asks the agent until the goal is reached. A wait that runs out is
// fault.Unknown: the order stands, its outcome does not. An agent that does not
// answer meanwhile may be on its way up again and is asked on.
func waitFor(ctx context.Context, agent Agent, limit time.Duration, reached goal) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errWaitOver)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	last := "no agent answered"
	for {
		if st, err := agent.Status(ctx); err == nil {
			ok, now := reached(st)
			if ok {
				return nil
			}
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

// errWaitOver tells the end of a wait from that of the whole command.
var errWaitOver = fault.New(fault.Unknown, "", "the wait ran out")
