package failover

import "mxcluster/clusterconf"

// Yields reports whether this server is the side that gives a LIM up when the
// other side's server has its alias, too (design rule 6), and which that is;
// false and "" when no other server may have it.
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
