package clusterconf

import (
	"maps"
	"reflect"
	"slices"
)

// Outdated lists the LIMs whose older data versions do not fit any more after a
// change: those of every cluster that was created, changed, preloaded or deleted,
// or that a LIM was added to or removed from (spec ch. 9, "Configuring and Using
// Server Redundancy"). Locks are no part of that.
func Outdated(before, after *Document) []int {
	was, is := shapesIn(before), shapesIn(after)
	lims := map[int]bool{}
	for _, shapes := range []map[string]Cluster{was, is} {
		for name, c := range shapes {
			if reflect.DeepEqual(was[name], is[name]) {
				continue
			}
			for _, m := range c.LIMs {
				lims[m.LIM] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(lims))
}

// shapesIn returns the clusters of a document by name, without their locks, freezes, and what says
// that a LIM is leaving.
func shapesIn(d *Document) map[string]Cluster {
	d = d.Clone()
	d.sort()
	all := map[string]Cluster{}
	for _, c := range d.Clusters {
		for i := range c.LIMs {
			c.LIMs[i].Lock, c.LIMs[i].Leaving, c.LIMs[i].Dead = nil, false, ""
		}
		c.Frozen = nil
		all[c.Name] = c
	}
	return all
}
