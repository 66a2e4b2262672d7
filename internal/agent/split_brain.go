package agent

import (
	"fmt"
	"time"

	"mxcluster/internal/failover"
)

// splitMargin is by how much the claims of two servers must overlap in time to count as
// simultaneous: their delays differ.
const splitMargin = 100 * time.Millisecond

// noteHolding records since when a server claims to have aliases on the wire.
func (p *peer) noteHolding(c *failover.Claim, at time.Time) {
	was := p.holding
	p.holding = map[int]time.Time{}
	for _, l := range c.LIMs {
		if !l.Holds || l.Absent || l.Blocked {
			continue
		}
		if since, ok := was[l.LIM]; ok {
			p.holding[l.LIM] = since
		} else {
			p.holding[l.LIM] = at
		}
	}
}

// holdingOf returns since when a server has a LIM's alias on the wire, and until when that is
// known: until its last sign of life, which confirms its last claim.
func (a *aliases) holdingOf(server string, lim int, now time.Time) (since, until time.Time) {
	if server == a.cfg.Server {
		return a.of(lim).onWireSince, now
	}
	p := a.peers.all[server]
	if p == nil || p.Liveness != failover.Alive || p.stale {
		return time.Time{}, time.Time{}
	}
	return p.holding[lim], p.at
}

// overlap reports whether two servers have a LIM's alias at the same time. While a LIM moves, the
// last claims show it on both until the former server's next claim arrives.
func (a *aliases) overlap(lim int, one, other string, now time.Time) bool {
	since1, until1 := a.holdingOf(one, lim, now)
	since2, until2 := a.holdingOf(other, lim, now)
	return !since1.IsZero() && !since2.IsZero() && until1.Sub(since2) >= splitMargin && until2.Sub(since1) >= splitMargin
}

// moving returns the LIMs for which this is not known yet.
func (a *aliases) moving(now time.Time) map[int]bool {
	out := map[int]bool{}
	for _, c := range a.doc.Clusters {
		for _, m := range c.LIMs {
			out[m.LIM] = !a.overlap(m.LIM, c.Standby, a.doc.RegularOf(m.LIM).Name, now)
		}
	}
	return out
}

// noteSplits finds the aliases that are here and on another server, too.
func (a *aliases) noteSplits(now time.Time) {
	for n, x := range a.all {
		if x.onWire() {
			x.wireAt = now
		}
		if on := x.holds && !x.absent && x.blocked == ""; !on {
			x.onWireSince = time.Time{}
		} else if x.onWireSince.IsZero() {
			x.onWireSince = now
		}
		c, r := a.doc.ClusterOfLIM(n), a.doc.RegularOf(n)
		split := c != nil && r != nil && x.contested && a.overlap(n, c.Standby, r.Name, now)
		if split != x.split && x.holds {
			a.journal.conflict(n, x.splitWords(split))
		}
		x.split = split
	}
}

// contest announces the alias again when another holder shows up, and once more when that has
// ended: clients may believe the other one by then.
func (a *alias) contest(contested bool) {
	if a.contested != contested && a.holds {
		a.announceAnew()
	}
	a.contested = contested
}

func (a *alias) splitWords(split bool) string {
	if split {
		return fmt.Sprintf("split brain: another server has the alias %s of LIM %d too", a.addr.Addr(), a.lim)
	}
	return fmt.Sprintf("the alias %s of LIM %d is here alone again", a.addr.Addr(), a.lim)
}
