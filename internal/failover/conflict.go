package failover

import "mxcluster/clusterconf"

// Yields reports whether this server is the one to give a LIM up if the LIM's other server has its
// alias as well (design rule 6), and returns that server; false and "" if no other server may have
// it.
func Yields(v View, lim int) (yields bool, other string) {
	c, regular := v.Document.ClusterOfLIM(lim), v.Document.RegularOf(lim)
	if c == nil || regular == nil {
		return false, ""
	}
	side := v.yields(c, lim)
	if regular.Name == v.Self {
		return side == clusterconf.SideRegular, c.Standby
	}
	return side == clusterconf.SideStandby, regular.Name
}
