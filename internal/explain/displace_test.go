package explain

import (
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/status"
)

// An edit throws a LIM off the standby only where it turns round who goes first, and
// only for one that waits.
func TestDisplaced(t *testing.T) {
	at := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	doc := func(adjust func(c *clusterconf.Cluster)) *clusterconf.Document {
		d := &clusterconf.Document{Clusters: []clusterconf.Cluster{{Name: "c1", Standby: "sb1",
			LIMs: []clusterconf.Member{{LIM: 1, Priority: 10}, {LIM: 2, Priority: 20}, {LIM: 3, Priority: 20}}}}}
		adjust(&d.Clusters[0])
		return d
	}
	lock := func(side clusterconf.Side) *clusterconf.Lock { return &clusterconf.Lock{To: side, Since: at} }
	st := func(waiting ...int) *status.ClusterStatus {
		standby, c := "sb1", status.StatusCluster{Name: "c1"}
		for lim := 1; lim <= 3; lim++ {
			l := status.StatusLIM{LIM: lim, Side: "regular", ActiveOn: new(string)}
			if lim == 1 {
				l.ActiveOn, l.Side = &standby, "standby"
			}
			for _, w := range waiting {
				if w == lim {
					l.ActiveOn, l.Side, l.Waiting = nil, "none", lim == 2 // of the other one nothing but that is known
				}
			}
			c.LIMs = append(c.LIMs, l)
		}
		return &status.ClusterStatus{Clusters: []status.StatusCluster{c}}
	}
	as := func(*clusterconf.Cluster) {}
	for _, tc := range []struct {
		name          string
		before, after func(c *clusterconf.Cluster)
		waiting       []int
		want          int // the LIM in whose favour; 0: nothing happens
	}{
		{"a higher priority", as, func(c *clusterconf.Cluster) { c.LIMs[1].Priority = 5 }, []int{2}, 2},
		{"that the LIM there loses", as, func(c *clusterconf.Cluster) { c.LIMs[0].Priority = 30 }, []int{2, 3}, 2},
		{"of one that does not wait", as, func(c *clusterconf.Cluster) { c.LIMs[1].Priority = 5 }, nil, 0},
		{"equal ones", as, func(c *clusterconf.Cluster) { c.LIMs[1].Priority = 10 }, []int{2}, 0},
		{"a lock to the standby", as, func(c *clusterconf.Cluster) { c.LIMs[2].Lock = lock(clusterconf.SideStandby) }, []int{2, 3}, 3},
		{"a lock taken off", func(c *clusterconf.Cluster) { c.LIMs[0].Lock = lock(clusterconf.SideStandby); c.LIMs[1].Priority = 5 },
			func(c *clusterconf.Cluster) { c.LIMs[1].Priority = 5 }, []int{2}, 2},
		{"one locked at home", as, func(c *clusterconf.Cluster) { c.LIMs[1].Priority, c.LIMs[1].Lock = 5, lock(clusterconf.SideRegular) }, []int{2}, 0},
		{"as it was before", func(c *clusterconf.Cluster) { c.LIMs[1].Priority = 5 }, func(c *clusterconf.Cluster) { c.LIMs[1].Priority = 5 }, []int{2}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := Displaced(doc(tc.before), doc(tc.after), st(tc.waiting...), at)
			switch {
			case tc.want == 0 && len(got) > 0:
				t.Errorf("got %v, want nothing", got)
			case tc.want != 0 && (len(got) != 1 || got[0].LIM != 1 || got[0].For != tc.want):
				t.Errorf("got %v, want LIM 1 to make room for LIM %d", got, tc.want)
			}
		})
	}
}
