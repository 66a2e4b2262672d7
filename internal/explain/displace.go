package explain

import (
	"cmp"
	"fmt"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/status"
)

// Displacement is a LIM that an edit would put in the place of another one on a standby.
type Displacement struct {
	Server  string // the standby
	LIM     int    // that runs there
	For     int    // that waits for it, and would have its place
	Cluster string
}

// String says what would happen.
func (d Displacement) String() string {
	return fmt.Sprintf("LIM %d would be stopped on %s: LIM %d, which waits, would take its place", d.LIM, d.Server, d.For)
}

// Displaced lists the LIMs that an edit of the document would throw off a standby,
// because one that waits for it goes before them by the new document and not by the old.
func Displaced(before, after *clusterconf.Document, st *status.ClusterStatus, now time.Time) []Displacement {
	var out []Displacement
	for i := range after.Clusters {
		c := &after.Clusters[i]
		here := runsOnStandby(c, st)
		was := before.ClusterOfLIM(here)
		if here == 0 || was == nil {
			continue
		}
		best := 0
		for _, m := range c.LIMs {
			if waits(st, m.LIM) && goesBefore(c, m.LIM, here, now) && !goesBefore(was, m.LIM, here, now) &&
				(best == 0 || goesBefore(c, m.LIM, best, now)) {
				best = m.LIM
			}
		}
		if best != 0 {
			out = append(out, Displacement{Server: c.Standby, LIM: here, For: best, Cluster: c.Name})
		}
	}
	return out
}

// runsOnStandby returns the LIM that a cluster's standby runs; 0: none.
func runsOnStandby(c *clusterconf.Cluster, st *status.ClusterStatus) int {
	for _, m := range c.LIMs {
		if l := st.LIM(m.LIM); l != nil && l.ActiveOn != nil && *l.ActiveOn == c.Standby {
			return m.LIM
		}
	}
	return 0
}

// waits reports whether a LIM runs nowhere.
func waits(st *status.ClusterStatus, lim int) bool {
	l := st.LIM(lim)
	return l != nil && l.ActiveOn == nil && (l.Waiting || l.Side == "none")
}

// goesBefore reports whether one LIM would have the standby rather than another, by
// locks and priorities (spec ch. 2).
func goesBefore(c *clusterconf.Cluster, lim, other int, now time.Time) bool {
	a, b := c.Member(lim), c.Member(other)
	if a == nil || b == nil || a.Leaving || a.LockedTo(now) == clusterconf.SideRegular {
		return false
	}
	rank := func(m *clusterconf.Member) int {
		if m.LockedTo(now) == clusterconf.SideStandby {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Priority, b.Priority)) < 0
}
