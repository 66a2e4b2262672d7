package failover

import (
	"fmt"

	"mxcluster/clusterconf"
)

// Preload is for the passive side of a preloaded cluster (spec ch. 4): its software runs, its alias
// is present and blocked in the kernel. A failover then only unblocks the alias.
const Preload Want = "preload"

// preload keeps the LIM loaded on the passive side of a preloaded cluster. A LIM given up by order
// becomes passive without a stop. One that is stopped for another reason, such as a split brain, is
// stopped as in every cluster, and loaded again afterwards.
func (v *View) preload(c *clusterconf.Cluster, d Decision) Decision {
	l := v.LIMs[d.LIM]
	switch {
	case d.Rule == RuleLeaving:
	case d.Want != Run && !d.Release && v.drained(v.Self) != "": // then it is unloaded as well
	case c.Failover == clusterconf.FailoverPreloaded && d.Want == Run && l.State == Loading:
		d.Reason += "; it still loads here, so that this takes longer"
	case c.Failover != clusterconf.FailoverPreloaded || d.Want == Run:
	case !v.Settled:
		if d.Want == Stop && !l.State.Active() {
			d.Want = Wait // what an earlier run of the agent loaded is not stopped for it
		}
	case l.State == Stopping, l.State.Active() && !d.Release:
	case (l.State == Failed || l.State == Stopped) && v.retryPending(l):
	case !l.Holds && v.mayBeOutdated() != "":
		return d.with(Wait, RuleRevision, d.Reason+"; not loaded yet: "+v.mayBeOutdated())
	default:
		d.Want, d.AliasOff = Preload, false
	}
	return d
}

// mayBeOutdated returns why this server's document may be outdated, so that an address in it may
// belong to another server by now; "": no newer one was heard of, or nobody was heard during the
// grace time of a start.
func (v *View) mayBeOutdated() string {
	if why := v.behind(); why != "" {
		return why
	}
	for _, p := range v.Peers {
		if p.Liveness == Alive {
			return ""
		}
	}
	if v.Now.Before(v.graceEnd()) {
		return "waits until " + clock(v.graceEnd()) + " for a newer cluster document"
	}
	return ""
}

// stillLoads returns that a move of a LIM to a server would take longer, as the LIM is not
// preloaded there yet; "": it does not matter.
func (v *View) stillLoads(lim int, theirs LIMClaim, server string) string {
	c := v.Document.ClusterOfLIM(lim)
	preloaded := c != nil && c.Failover == clusterconf.FailoverPreloaded
	switch {
	case v.FromLoad:
	case theirs.State == Loading:
		return fmt.Sprintf("it still loads on %s, and a move takes longer until it has", server)
	case preloaded && (theirs.State == Stopped || theirs.State == Unknown):
		return fmt.Sprintf("it is not preloaded on %s yet, and a move takes longer until it is", server)
	}
	return ""
}
