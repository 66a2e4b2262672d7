package commands

import (
	"time"

	"mxcluster/internal/ui"
)

// progress shows the progress of long work, on a terminal only.
func (a *app) progress(what string, total int64) *ui.Progress {
	if a.out.Quiet || a.out.Machine() || !a.env.Terminal(a.env.Stderr) {
		return nil
	}
	return ui.NewProgress(a.env.Stderr, what, total, a.env.Now)
}

// waiting shows how long something has been waited for, on a terminal only.
func (a *app) waiting(what string, limit time.Duration) *ui.Wait {
	if a.out.Quiet || a.out.Machine() || !a.env.Terminal(a.env.Stderr) {
		return nil
	}
	return ui.NewWait(a.env.Stderr, what, limit, a.env.Now)
}
