package failover

import "mxcluster/clusterconf"

// FallbackBlockedBy lists what keeps a LIM that runs on this standby from
// falling back to its regular server; empty: it may go.
func FallbackBlockedBy(v View, lim int) []string {
	regular := v.Document.RegularOf(lim)
	if regular == nil {
		return []string{"it has no regular server"}
	}
	return v.fallbackBlockedBy(lim, regular.Name, v.Peers[regular.Name])
}

// FailoverBlockedBy says what keeps a LIM that runs on this regular server from
// moving to the standby; "": it may go.
func FailoverBlockedBy(v View, c *clusterconf.Cluster, lim int) string {
	return v.standbyUnfit(c, lim, v.Peers[c.Standby])
}
