package failover

import (
	"fmt"
	"time"

	"mxcluster/clusterconf"
)

// lockedTo returns the side that a LIM is locked to now, or "" (design rule 5).
func (v *View) lockedTo(c *clusterconf.Cluster, lim int) clusterconf.Side {
	if m := c.Member(lim); m != nil {
		return m.LockedTo(v.Now)
	}
	return ""
}

// lockWords says of a locked LIM what it is locked to, until when, by whom and why.
func lockWords(c *clusterconf.Cluster, lim int) string { return c.Member(lim).Lock.String() }

// LockAgainst says which lock keeps a LIM from being moved by an order of a
// kind; "": none does. An order to the side that it is locked to is none against it.
func LockAgainst(v View, kind Kind, lim int) string {
	from := clusterconf.SideRegular
	if kind == Fallback {
		from = clusterconf.SideStandby
	}
	c := v.Document.ClusterOfLIM(lim)
	if c == nil || v.lockedTo(c, lim) != from {
		return ""
	}
	return lockWords(c, lim)
}

// LockedHere reports whether a LIM is locked to the side that this server is.
func LockedHere(v View, lim int) bool {
	c, self := v.Document.ClusterOfLIM(lim), v.Document.Server(v.Self)
	if c == nil || self == nil {
		return false
	}
	side := clusterconf.SideRegular
	if self.Standby {
		side = clusterconf.SideStandby
	}
	return v.lockedTo(c, lim) == side
}

// yields names the side that stops when both run a LIM. If the other server has a newer
// document, what that one says counts: with a document each, and one that cannot be
// stored, both could wait for the other to stop.
func (v *View) yields(c *clusterconf.Cluster, lim int) clusterconf.Side {
	other := c.Standby
	if v.Self == c.Standby {
		other = v.Document.RegularOf(lim).Name
	}
	if p := v.Peers[other]; p.Liveness == Alive && p.Claim != nil && p.Claim.Age().Compare(v.Document.Age()) > 0 {
		if side := p.Claim.LIM(lim).Yields; side != "" {
			return side
		}
	}
	return YieldingSide(c, lim, v.Now)
}

// YieldingSide names the side that stops by a cluster's document when both run a LIM: the
// other one than it is locked to, else the configured one (design rule 6).
func YieldingSide(c *clusterconf.Cluster, lim int, now time.Time) clusterconf.Side {
	m := c.Member(lim)
	switch {
	case m == nil:
	case m.LockedTo(now) == clusterconf.SideRegular:
		return clusterconf.SideStandby
	case m.LockedTo(now) == clusterconf.SideStandby:
		return clusterconf.SideRegular
	}
	return c.SplitBrainStop
}

// lockedAway decides for a LIM that does not serve on its regular server and is
// locked to the standby: it stays down here, whatever becomes of the standby.
func (v *View) lockedAway(c *clusterconf.Cluster, d Decision, l Local) Decision {
	why := lockWords(c, d.LIM) + "; not started here"
	if l.State.Active() {
		return d.with(Stop, RuleLock, why)
	}
	return d.with(Wait, RuleLock, why)
}

// lockedHome decides about a LIM that the standby serves although it is locked to
// the regular side: the lock came when it was here already. It goes on until
// its own server is ready, and returns whatever the fallback type.
func lockedHome(c *clusterconf.Cluster, d Decision, regular string) (bool, Decision) {
	if len(d.BlockedBy) > 0 {
		return false, d.with(Run, RuleLock, fmt.Sprintf("%s; runs here until %s is ready: %s", lockWords(c, d.LIM), regular, d.BlockedBy[0]))
	}
	d.Release = true
	return true, d.with(Stop, RuleLock, fmt.Sprintf("%s; falls back to %s, which is ready", lockWords(c, d.LIM), regular))
}
