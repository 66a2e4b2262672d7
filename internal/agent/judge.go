package agent

import (
	"fmt"
	"slices"
	"time"

	"mxcluster/internal/detector"
	"mxcluster/internal/failover"
)

// judge updates the liveness of the other servers.
func (a *Agent) judge(now time.Time) {
	a.peers.refresh()
	seen := a.net.detector.Sightings()
	mates := a.mates()
	heardAll := true
	for _, s := range a.doc.Servers {
		if s.Name == a.cfg.Server {
			continue
		}
		p := a.peers.of(s.Name)
		was := p.Liveness
		if g, ok := seen[s.Name]; ok && slices.Contains(mates, s.Name) {
			p.Liveness, p.Doubtful = a.peers.livenessOf(p, g, a.kept.state.Seen[s.Name]), g.Doubtful
			heardAll = heardAll && p.Liveness == failover.Alive
		} else {
			p.Liveness = farLiveness(p, now, farInLimit*a.farPeriod())
		}
		p.judgeIdle(s.LIM, a.lims.all[s.LIM], now)
		if p.Liveness != was {
			p.Since = now
			if was == failover.Gone {
				a.aliases.returned(s.Name)
			}
			if p.Liveness == failover.Alive {
				a.aliases.announceAll() // it, and clients near it, may have heard of another holder
			}
			a.journal.server(s.Name, p.Liveness, was)
		}
	}
	if settled := heardAll && a.arbiterKeys.asked(now) || a.waited(now); settled && !a.settled {
		a.settled = true
		a.journal.agent("settled", fmt.Sprintf("the agent of %s has settled: it knows what the others run, or has waited for them", a.cfg.Server))
	}
	a.link.judgeIsolation(now)
	a.link.keepBase(now)
}

// waited reports whether a starting agent has waited long enough for servers that it does not hear.
// The time starts with the first frame from anybody, as a switch port may have been shut before. If
// nothing at all is heard, the time for a cold start applies.
func (a *Agent) waited(now time.Time) bool {
	if first := a.net.detector.FirstFrame(); !first.IsZero() {
		return now.Sub(later(a.started, first)) >= settleTime
	}
	return now.Sub(a.started) >= max(a.cfg.StartGrace, settleTime)
}

// judgeIdle records since when a regular server leaves its LIM down while this server has it down,
// too.
func (p *peer) judgeIdle(lim int, here *lim, now time.Time) {
	switch {
	case lim == 0 || p.Liveness != failover.Alive || !p.Claim.Settled || p.Claim.LIM(lim).State.Active(),
		here != nil && here.State.Active():
		p.IdleSince = time.Time{}
	case p.IdleSince.IsZero():
		p.IdleSince = now
	}
}

// livenessOf judges a server of this cluster. last is when an earlier run of this agent last saw
// it; zero: never.
func (a *peers) livenessOf(p *peer, g detector.Sighting, last time.Time) failover.Liveness {
	known := g.EverGossip || !last.IsZero() && a.started.Sub(last) < seenFresh
	switch {
	case !known:
		return failover.Unheard
	case g.Gone:
		return failover.Gone
	case g.AgentLost:
		return failover.AgentLost
	case p.Claim == nil || !g.EverGossip:
		return failover.Unheard
	case p.stale && p.Liveness != failover.Alive:
		return p.Liveness // it is back, and its claim is that of a former run
	case (p.Liveness == failover.Gone || p.Liveness == failover.AgentLost) && !g.Gossiped.After(p.Since):
		return failover.AgentLost // its kernel is back
	}
	return failover.Alive
}
