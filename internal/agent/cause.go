package agent

import (
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/failover"
)

// arrives notes why a LIM comes to run here. Where it ran here last it comes from nowhere,
// and the former cause stands.
func (a *Agent) arrives(l *lim, d *failover.Decision) {
	if l.op != nil || l.State.Active() {
		return
	}
	l.left = nil // it did not leave, or is back
	if l.cause != nil && l.Known.Server == a.cfg.Server {
		return
	}
	other := a.data.otherSide(l.number)
	var left *failover.Cause
	if p := a.peers.all[other]; p != nil && p.Claim != nil {
		if theirs := p.Claim.LIM(l.number); theirs.Term >= l.Known.Term {
			left = theirs.Left
		}
	}
	l.cause = d.Arrival(left, a.wishes(l.number, other))
}

// leaves notes why a LIM that is here is to run on the other side, which takes that over.
func (a *Agent) leaves(l *lim, d *failover.Decision, now time.Time) {
	if !l.State.Active() || l.left != nil {
		return
	}
	if c := d.Leaving(a.side() == clusterconf.SideStandby, a.wishes(l.number, a.cfg.Server)); c != nil {
		c.At = now.UTC()
		l.left = c
	}
}

// wishes are what people want of a LIM that leaves a server.
func (a *Agent) wishes(lim int, from string) failover.Wishes {
	var w failover.Wishes
	for _, o := range a.orders.pending {
		if o.LIM == lim {
			w.Order = failover.Wish{By: o.By, Reason: o.Reason}
		}
	}
	if s := a.doc.Server(from); s != nil && s.Drained != nil {
		w.Drain = failover.Wish{By: s.Drained.By, Reason: s.Drained.Reason}
	}
	if c := a.doc.ClusterOfLIM(lim); c != nil && c.Member(lim).Lock != nil {
		w.Lock = failover.Wish{By: c.Member(lim).Lock.By, Reason: c.Member(lim).Lock.Reason}
	}
	return w
}

// noteSplit keeps, of a LIM that runs here and on the other side, since when both of them
// did.
func (a *Agent) noteSplit(l *lim, d *failover.Decision, now time.Time) {
	if !d.Contested && d.Rule != failover.RuleSplitBrain {
		return
	}
	other := a.data.otherSide(l.number)
	p := a.peers.all[other]
	if p == nil || p.Claim == nil || l.serving.IsZero() {
		return
	}
	began := l.serving
	if theirs := p.Claim.LIM(l.number).Serving; theirs.After(began) {
		began = theirs
	}
	if l.split == nil || l.split.Began.Before(began) {
		l.split = &failover.Split{With: other, Began: began.UTC()}
	}
	l.split.Ended = now.UTC().Truncate(time.Second)
	if l.split.Ended.Before(l.split.Began) {
		l.split.Ended = l.split.Began
	}
}

// told is the last split of a LIM, as long as it is told.
func (l *lim) told(now time.Time) *failover.Split {
	if l.split == nil || now.Sub(l.split.Ended) >= failover.SplitTold {
		return nil
	}
	split := *l.split
	return &split
}
