package commands

import "mxcluster/internal/ui"

// progress shows how far long work has come, on a terminal only: what is piped
// or logged is not to be filled with it.
func (a *app) progress(what string, total int64) *ui.Progress {
	if a.out.Quiet || a.out.Machine() || !a.env.Terminal(a.env.Stderr) {
		return nil
	}
	return ui.NewProgress(a.env.Stderr, what, total, a.env.Now)
}
