package commands

import (
	"context"
	"time"

	"mxcluster/xdata"
)

// settled synchronises a LIM, and again if another program has completed a version meanwhile, which
// a sync right after a backup would miss. What is not waited for is reported.
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

// await waits until a version counts as complete; false if it was interrupted.
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
	// settleRounds bounds how often a LIM is synchronised.
	settleRounds = 4
	// settleSlack allows for the difference of the two servers' clocks.
	settleSlack = 500 * time.Millisecond
)
