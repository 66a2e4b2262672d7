package agent

import (
	"context"
	"fmt"
	"time"

	"mxcluster/internal/arpbudget"
	"mxcluster/internal/detector/evidence"
)

const (
	silenceFirst = 2 * time.Second // without any frame, until aliases are blocked for the first time
	silenceMost  = time.Minute     // the longest such time, after blocks that proved unnecessary
	askClients   = time.Second     // between questions to known clients
)

// silence is the state of watching for a link that is up and receives nothing.
type silence struct {
	since    time.Time // start of the silence; zero: it is not watched
	received uint64    // number of frames received until then
	asked    time.Time // last question to clients
	wait     time.Duration
}

// judgeSilence blocks the aliases of a server that receives nothing at all although its link is up,
// as behind a switch port that drops every frame. It serves nobody, and another server may have its
// aliases by the time frames arrive again; then this server must not answer for them first. A cut
// cable looks the same to the others, but is seen here as a link that is down (link.check).
//
// That no witness answers is not enough, since they may all be dead while clients are served. What
// counts is the number of frames received on the interface. Known clients are asked, so that those
// with nothing to send are heard, too.
func (a *link) judgeSilence(now time.Time) {
	if !a.isolation.Isolated || !a.up {
		a.silence.since = time.Time{}
		if a.peers.hearsServer() {
			a.silence.wait = 0
		}
		return
	}
	if now.Sub(a.silence.asked) >= askClients {
		a.silence.asked = now
		a.net.askClients(now)
	}
	link, err := a.deps.Kernel.Link(a.net.ifname)
	switch {
	case err != nil: // reported by check
	case a.silence.since.IsZero() || link.Received != a.silence.received:
		a.silence.since, a.silence.received = now, link.Received
	case now.Sub(a.silence.since) >= max(a.silentAfter(), a.silence.wait):
		if a.aliases.blockAll(receivesNothing) {
			a.silence.wait = min(max(2*a.silence.wait, 2*silenceFirst), silenceMost)
		}
	}
}

// askClients asks the clients that were heard last, whose answers then count as received.
func (n *network) askClients(now time.Time) {
	for _, client := range n.cache.latest() {
		if !n.budget.Take(now, 1, arpbudget.Poll) {
			break
		}
		_ = n.wire.Ask(n.base.Addr(), client, nil) // sending fails on a link that is down
	}
}

// silentAfter is how long nothing must be received for aliases to be blocked: half of the silence
// limit, as the other half has passed when this server counts as isolated, or longer.
func (a *link) silentAfter() time.Duration { return max(a.silenceLimit()/2, silenceFirst) }

// awaitAnything waits until a frame is received; false when ctx ends first.
func (a *link) awaitAnything(ctx context.Context, n *network, before silence) bool {
	for ctx.Err() == nil {
		link, err := a.deps.Kernel.Link(n.ifname)
		if err == nil && link.Up && (link.Received != before.received || n.detector.LastFrame().After(before.since)) {
			return true
		}
		select {
		case <-ctx.Done():
		case <-time.After(hearPeriod):
		}
	}
	return false
}

// unservedSince returns since when nobody can be served over this server's link; zero: it works.
func (a *link) unservedSince(now time.Time) time.Time {
	switch {
	case !a.down.IsZero():
		return a.down
	case !a.silence.since.IsZero() && now.Sub(a.silence.since) >= a.silentAfter():
		return a.silence.since
	}
	return time.Time{}
}

// judgeIsolation decides whether this server is isolated.
func (a *link) judgeIsolation(now time.Time) {
	was := a.isolation.Isolated
	said, began := a.net.detector.Testimony(now)
	a.isolation = a.isolation.Next(evidence.Circumstances{Now: now, Limit: a.silenceLimit(), Link: a.up,
		Settling: now.Sub(began) < settleTime, Attentive: a.net.detector.Attentive(now), Testimony: said})
	if is := a.isolation.Isolated; is != was {
		a.recordIsolation(is)
		a.heardAgain = now
	}
	a.net.detector.SetWell(!a.isolation.Isolated)
	a.judgeSilence(now)
}

func (a *link) recordIsolation(isolated bool) {
	text := a.cfg.Server + " hears others again"
	switch {
	case isolated && !a.up:
		text = fmt.Sprintf("%s is isolated: its interface %s is down", a.cfg.Server, a.net.ifname)
	case isolated:
		text = a.cfg.Server + " is isolated: it hears nobody"
	}
	a.journal.isolation(isolated, text)
}
