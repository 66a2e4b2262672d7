package agent

import (
	"context"
	"time"
)

// silence is since when not a single frame came in over a link that is up.
type silence struct {
	since    time.Time // zero: it is not watched
	received uint64    // frames until then
}

// judgeDeaf hides the aliases of a server that receives nothing at all any more
// though its link is up, as behind a switch port that drops every frame. It serves
// nobody, and another server may have its aliases by the time that frames come
// through again: then it must not be the first to answer. A cut cable looks the
// same to the others, but says so here (checkLink).
//
// That nobody who is polled answers is not enough, for they may be dead while
// clients are served: what counts is what the interface received.
func (a *Agent) judgeDeaf(now time.Time) {
	if !a.isolated || !a.linkUp {
		a.deaf = silence{}
		return
	}
	link, err := a.deps.Kernel.Link(a.net.ifname)
	switch {
	case err != nil: // checkLink tells
	case a.deaf.since.IsZero() || link.Received != a.deaf.received:
		a.deaf = silence{now, link.Received}
	case now.Sub(a.deaf.since) >= a.silenceLimit()/2: // the other half made it isolated
		a.hideAll(deaf)
	}
}

// awaitAnything waits until frames come in again; false when ctx ends first.
func (a *Agent) awaitAnything(ctx context.Context, n *network, before silence) bool {
	for ctx.Err() == nil {
		link, err := a.deps.Kernel.Link(n.ifname)
		if err == nil && link.Up && (link.Received != before.received || n.sup.lastHeard().After(before.since)) {
			return true
		}
		select {
		case <-ctx.Done():
		case <-time.After(hearPeriod):
		}
	}
	return false
}
