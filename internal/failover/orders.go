package failover

import "mxcluster/clusterconf"

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
// standby; "": nothing does. able: the standby can run it but is not ready, so that an order with
// "now" may override this.
func FailoverBlockedBy(v View, c *clusterconf.Cluster, lim int) (why string, able bool) {
	standby := v.Peers[c.Standby]
	if why := v.standbyUnfit(c, lim, standby); why != "" {
		return why, false
	}
	return v.standbyUnready(c, lim, standby), true
}

// Passing reports whether a server is about to be able to take a LIM: its agent has just started, or
// still stops the LIM there, as after a power cut. That ends by itself.
func Passing(p Peer, lim int) bool {
	return p.Liveness == Alive && p.Claim != nil && (!p.Claim.Settled || p.Claim.LIM(lim).State == Stopping)
}

// upOn words that a LIM is active on a server that it would move to.
func upOn(s State, server string) string {
	if s == Stopping {
		return "it is being stopped on " + server
	}
	return "it is still up on " + server
}
