package failover

import (
	"maps"
	"slices"

	"mxcluster/clusterconf"
)

// FallbackBlockedBy returns what keeps a LIM that runs on this standby from falling back to its
// regular server; empty: nothing does. able: the regular server can run it but is not ready, so
// that an order with "now" may override this.
func FallbackBlockedBy(v View, lim int) (why []string, able bool) {
	regular := v.Document.RegularOf(lim)
	if regular == nil {
		return []string{"it has no regular server"}, false
	}
	return v.fallbackBlockedBy(lim, regular.Name, v.Peers[regular.Name]), v.drained(regular.Name) == ""
}

// Evicts returns the LIM that the standby would have to stop to take another one over; 0: none.
func Evicts(v View, c *clusterconf.Cluster, lim int) int {
	claim := v.Peers[c.Standby].Claim
	for _, m := range c.LIMs {
		if m.LIM != lim && claim.LIM(m.LIM).State.Active() {
			return m.LIM
		}
	}
	return 0
}

// FailoverBlockedBy returns what keeps a LIM that runs on this regular server from moving to the
// standby; empty: nothing does. able: the standby can run it but is not ready, so that an order with
// "now" may override this.
func FailoverBlockedBy(v View, lim int) (why []string, able bool) {
	c := v.Document.ClusterOfLIM(lim)
	standby := v.Peers[c.Standby]
	if why := v.standbyUnfit(c, lim, standby); why != "" {
		return []string{why}, false
	}
	if why := v.standbyUnready(c, lim, standby); why != "" {
		return []string{why}, true
	}
	return nil, true
}

// Soon returns a view as it will be by itself when a server that is alive has settled, and has stopped
// a LIM that it is stopping, as its agent does after a power cut.
func Soon(v View, server string, lim int) View {
	p := v.Peers[server]
	if p.Liveness != Alive || p.Claim == nil {
		return v
	}
	claim := *p.Claim
	claim.Settled, claim.LIMs = true, slices.Clone(claim.LIMs)
	for i := range claim.LIMs {
		if l := &claim.LIMs[i]; l.LIM == lim && l.State == Stopping {
			l.State = Stopped
		}
	}
	p.Claim, v.Peers = &claim, maps.Clone(v.Peers)
	v.Peers[server] = p
	return v
}

// upOn words that a LIM is active on a server that it would move to.
func upOn(s State, server string) string {
	if s == Stopping {
		return "it is being stopped on " + server
	}
	return "it is still up on " + server
}
