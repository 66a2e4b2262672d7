package commands

import (
	"time"

	"mxcluster/internal/ui"
)

// progress shows how far long work has come, on a terminal only: what is piped
// or logged is not to be filled with it.
func (a *app) progress(what string, total int64) *ui.Progress {
	if a.out.Quiet || a.out.Machine() || !a.env.Terminal(a.env.Stderr) {
		return nil
	}
	return ui.NewProgress(a.env.Stderr, what, total, a.env.Now)
}

// waiting shows for how long something is waited for, on a terminal only.
func (a *app) waiting(what string, limit time.Duration) *ui.Wait {
	if a.out.Quiet || a.out.Machine() || !a.env.Terminal(a.env.Stderr) {
		return nil
	}
	return ui.NewWait(a.env.Stderr, what, limit, a.env.Now)
}
