package agent

import (
	"time"

	"mxcluster/internal/failover"
)

// view gathers the input of a decision.
func (a *Agent) view(now time.Time) failover.View {
	v := failover.View{
		Now: now, Self: a.cfg.Server, Started: a.started, Settled: a.settled, Isolated: a.link.isolation.Isolated && !a.link.isolation.Listens,
		Rejoined:   a.link.isolation.Listens,
		StartGrace: a.cfg.StartGrace, FirstHold: a.cfg.FirstHold, FromLoad: a.cfg.FromLoad, Document: a.doc, Orders: a.orders.pending,
		Peers: make(map[string]failover.Peer, len(a.peers.all)), LIMs: make(map[int]failover.Local, len(a.lims.all)),
		Wire: a.net.detector.Aliases(),
	}
	if a.docs.unreadable() != "" {
		v.Unread = a.docs.unread.words()
	}
	v.Deaf, v.Down = a.link.unservedSince(now), !a.link.up
	v.Arbiter = a.arbiterKeys.view(now)
	for name, p := range a.peers.all {
		v.Peers[name] = p.Peer
	}
	for n, l := range a.lims.all {
		v.LIMs[n] = failover.Local{Standing: l.Standing, Holds: l.alias.holds || l.alias.absent, Data: a.data.newest[n], Fitness: a.fitness.abilities.of(n)}
	}
	return v
}

// lease is the longest time that an alias may stay here after this claim.
func (a *Agent) lease() time.Duration {
	if a.parked || a.stopping {
		return max(a.cfg.Lease, a.cfg.StopLease)
	}
	return a.cfg.Lease
}
