package commands

import (
	"context"
	"time"

	"mxcluster/xdata"
)

// settled has a LIM synchronised, and again when another program has written a version to
// its end meanwhile: a sync that follows on a backup would leave that behind. What is not
// waited for any longer is said.
func (y *syncer) settled(ctx context.Context, lim int, do func() (*xdata.Writing, error)) error {
	end := y.server.env.Now().Add(y.settle)
	for round := 1; ; round++ {
		w, err := do()
		if w == nil {
			return err
		}
		if y.options.dryRun || round == settleRounds || w.Until.After(end) || !y.await(ctx, lim, w) {
			y.server.out.Warn("LIM %d: version %s on the %s side may still be written and is left out; it counts as complete at %s if nothing changes in it",
				lim, w.Version, w.Side, w.Until.UTC().Format(time.RFC3339))
			return err
		}
	}
}

// await waits until a version counts as complete; false: it was interrupted.
func (y *syncer) await(ctx context.Context, lim int, w *xdata.Writing) bool {
	left := w.Until.Sub(y.server.env.Now())
	if left > 0 {
		y.server.out.Note("LIM %d: version %s on the %s side may still be written; waiting until %s", lim, w.Version, w.Side, w.Until.UTC().Format(time.RFC3339))
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(left + settleSlack):
		return true
	}
}

const (
	// settleRounds is how often a LIM is synchronised at most.
	settleRounds = 4
	// settleSlack lets the moment pass on both sides, whose clocks may differ a little.
	settleSlack = 500 * time.Millisecond
)
