package commands

import (
	"bytes"
	"context"
	"errors"
	"time"

	"mxcluster/internal/fault"
)

// redraw puts the cursor home and clears what is below it, so that a terminal
// shows one status in the place of the last.
const redraw = "\x1b[H\x1b[2J"

// watchStatus shows the status until it is interrupted, which is how a watch
// ends and nothing to complain of.
func watchStatus(ctx context.Context, a *app, cluster string, o statusOptions) error {
	if o.watch <= 0 {
		return fault.New(fault.Usage, "give a time such as 2s", "--watch: %s is no time to wait", o.watch)
	}
	screen := a.env.Terminal(a.env.Stdout)
	tick := time.NewTicker(o.watch)
	defer tick.Stop()
	for {
		var page bytes.Buffer // written at once: no flicker
		a.out.Data = &page
		if screen {
			page.WriteString(redraw)
			a.out.Notes = &page // where the next page clears them as well
		}
		if err := runStatus(ctx, a, cluster, o); err != nil {
			return err
		}
		if _, err := a.stdout.Write(page.Bytes()); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
		switch err := ctx.Err(); {
		case errors.Is(err, context.Canceled):
			return exitError{fault.Interrupted}
		case err != nil:
			return err
		}
	}
}
