// Package clusterconftest builds cluster documents for the tests of what works by one.
package clusterconftest

import (
	"fmt"
	"net/netip"
	"time"

	"mxcluster/clusterconf"
)

// System returns a document of revision 7 with clusters c1, c2, ... of some LIMs each. LIM N
// runs on srvN, and the standby of cM is sbM.
func System(clusters, limsEach int) *clusterconf.Document {
	d := &clusterconf.Document{
		APIVersion: clusterconf.APIVersion, Kind: clusterconf.Kind, System: "test", Revision: 7,
		Changed: clusterconf.Change{At: time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC), By: "root", On: "srv1", Command: "made by a test"},
	}
	lim := 0
	for i := 1; i <= clusters; i++ {
		c := clusterconf.Cluster{Name: fmt.Sprint("c", i), Standby: fmt.Sprint("sb", i), Fallback: clusterconf.FallbackManual,
			Failover: clusterconf.FailoverNormal, SplitBrainStop: clusterconf.SideRegular}
		d.Servers = append(d.Servers, clusterconf.Server{Name: c.Standby, Base: Host(2, i), Interface: "eth0", Standby: true})
		for range limsEach {
			lim++
			d.Servers = append(d.Servers, Regular(lim))
			c.LIMs = append(c.LIMs, clusterconf.Member{LIM: lim, Alias: Host(3, lim), Priority: clusterconf.DefaultPriority})
		}
		d.Clusters = append(d.Clusters, c)
	}
	return d
}

// Trio is a system with LIMs 1 to 3, of priorities 10, 20 and 20, in cluster c1, which
// change may change, and LIM 4 in none.
func Trio(change func(*clusterconf.Cluster)) *clusterconf.Document {
	d := System(1, 3)
	d.Servers = append(d.Servers, Regular(4))
	c := &d.Clusters[0]
	c.LIMs[0].Priority, c.LIMs[1].Priority, c.LIMs[2].Priority = 10, 20, 20
	if change != nil {
		change(c)
	}
	return d
}

// Regular returns the regular server of a LIM.
func Regular(lim int) clusterconf.Server {
	return clusterconf.Server{Name: fmt.Sprint("srv", lim), Base: Host(1, lim), Interface: "eth0", LIM: lim}
}

// Host returns an address of the system's only subnet by its last two bytes.
func Host(third, fourth int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(third), byte(fourth)}), 16)
}
