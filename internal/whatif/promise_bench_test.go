package whatif

import (
	"testing"

	"mxcluster/clusterconf"
	"mxcluster/clusterconf/clusterconftest"
)

// BenchmarkPromises is what the standby of ten LIMs does when something has changed.
func BenchmarkPromises(b *testing.B) {
	d := clusterconftest.System(1, 10)
	d.Clusters[0].Fallback = clusterconf.FallbackAutomatic
	p := AllWell(d, now)
	for b.Loop() {
		Promises(p, d.Cluster("c1"))
	}
}
