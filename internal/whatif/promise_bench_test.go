package whatif

import (
	"fmt"
	"net/netip"
	"testing"

	"mxcluster/clusterconf"
)

// BenchmarkPromises is what the standby of ten LIMs does when something has changed.
func BenchmarkPromises(b *testing.B) {
	d := &clusterconf.Document{Revision: 1, Servers: []clusterconf.Server{{Name: "sb1", Standby: true}}}
	c := clusterconf.Cluster{Name: "c1", Standby: "sb1", Fallback: clusterconf.FallbackAutomatic, Failover: clusterconf.FailoverNormal, SplitBrainStop: clusterconf.SideRegular}
	for i := 1; i <= 10; i++ {
		d.Servers = append(d.Servers, clusterconf.Server{Name: fmt.Sprintf("srv%d", i), LIM: i})
		c.LIMs = append(c.LIMs, clusterconf.Member{LIM: i, Priority: 100, Alias: netip.MustParsePrefix(fmt.Sprintf("192.0.2.%d/24", i))})
	}
	d.Clusters = []clusterconf.Cluster{c}
	p := AllWell(d, now)
	for b.Loop() {
		Promises(p, d.Cluster("c1"))
	}
}
