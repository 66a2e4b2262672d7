package failover

import (
	"fmt"

	"mxcluster/clusterconf"
)

// Preload is what the passive side of a preloaded cluster does (spec ch. 4): its
// software runs, its alias is up and blocked in the kernel. Failover is then no
// start but an unblocking.
const Preload Want = "preload"

// preload has the side of a preloaded cluster that is not to serve keep the LIM
// loaded. What is given up by order goes over to that without a stop. What is
// stopped for any other reason, such as a split brain, stops as in every cluster,
// and is loaded anew after that.
func (v *View) preload(c *clusterconf.Cluster, d Decision) Decision {
	l := v.LIMs[d.LIM]
	switch {
	case d.Rule == RuleLeaving:
	case d.Want != Run && !d.Release && v.drained(v.Self) != "": // nothing stays loaded either
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

// mayBeOutdated says why this server's document may not be the newest, so that an
// address in it may be another server's own by now; "": it has been heard of no newer
// one, or nobody was heard for as long as a starting server waits.
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

// stillLoads says why a LIM would take longer to move to a server: it is not
// preloaded there yet; "" where that does not hold it back.
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
