package failover

import (
	"fmt"
	"time"

	"mxcluster/clusterconf"
)

// lockedTo returns the side that a LIM is locked to; "": it is not (design rule 5).
func (v *View) lockedTo(c *clusterconf.Cluster, lim int) clusterconf.Side {
	if m := c.Member(lim); m != nil {
		return m.LockedTo(v.Now)
	}
	return ""
}

// lockWords describes a LIM's lock: side, end, user and reason.
func lockWords(c *clusterconf.Cluster, lim int) string { return c.Member(lim).Lock.String() }

// LockAgainst returns which lock forbids an order of a kind for a LIM; "": none. An order to the
// side of the lock is permitted.
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

// LockedHere reports whether a LIM is locked to the side of this server.
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

// yields returns the side that stops when both run a LIM. If the other server has a newer document,
// its claim decides: if each went by its own document, and one of them could not be stored, both
// could wait for the other to stop.
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

// YieldingSide returns the side that stops by a cluster's document when both run a LIM: the one
// opposite to its lock, else the configured one (design rule 6).
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

// lockedAway decides for a LIM that is locked to the standby and not active on its regular server:
// it stays down here, even if the standby is gone.
func (v *View) lockedAway(c *clusterconf.Cluster, d Decision, l Local) Decision {
	why := lockWords(c, d.LIM) + "; not started here"
	if l.State.Active() {
		return d.with(Stop, RuleLock, why)
	}
	return d.with(Wait, RuleLock, why)
}

// lockedHome decides for a LIM that is active on the standby although it is locked to the regular
// side, because it was here when it was locked. It stays until its own server is ready, and then
// returns whatever the fallback type.
func lockedHome(c *clusterconf.Cluster, d Decision, regular string) (bool, Decision) {
	if len(d.BlockedBy) > 0 {
		return false, d.with(Run, RuleLock, fmt.Sprintf("%s; runs here until %s is ready: %s", lockWords(c, d.LIM), regular, d.BlockedBy[0]))
	}
	d.Release = true
	return true, d.with(Stop, RuleLock, fmt.Sprintf("%s; falls back to %s, which is ready", lockWords(c, d.LIM), regular))
}
