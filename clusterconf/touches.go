package clusterconf

import (
	"net/netip"
	"reflect"
	"slices"
)

// Touches lists the servers whose addresses, role or place in a cluster an edit changes,
// beside those that it removes, or gives up as lost for good. Settings such as locks,
// drains, priorities and software are none of that: a server that was away takes them over.
func Touches(before, after *Document) []string {
	var names []string
	for _, list := range [][]Server{before.Servers, after.Servers} {
		for _, s := range list {
			if !slices.Contains(names, s.Name) {
				names = append(names, s.Name)
			}
		}
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		return after.Server(name) == nil || before.Server(name) == nil || givenUp(before, name) || givenUp(after, name) ||
			reflect.DeepEqual(standingIn(before, name), standingIn(after, name))
	})
	slices.Sort(names)
	return names
}

// standing is what a server has of its own: its entry, and its places in clusters.
type standing struct {
	Server
	Places []position
}

type position struct {
	cluster, standby string
	lim              int
	alias            string
	leaving          bool
}

func standingIn(d *Document, name string) standing {
	s := standing{Server: *d.Server(name)}
	s.ReachedAt = netip.Prefix{} // goes when every server knows the new base
	s.Drained = nil              // is known where the LIM goes; a server that was away learns of it
	s.LeftBehind = false
	s.Others = ""
	for _, c := range d.Clusters {
		for _, m := range c.LIMs {
			if c.Standby == name || s.LIM != 0 && s.LIM == m.LIM {
				s.Places = append(s.Places, position{c.Name, c.Standby, m.LIM, m.Alias.String(), m.Leaving})
			}
		}
	}
	return s
}

// givenUp reports whether a server counts as lost for good where a LIM leaves its
// cluster.
func givenUp(d *Document, name string) bool {
	return slices.ContainsFunc(d.Clusters, func(c Cluster) bool {
		return slices.ContainsFunc(c.LIMs, func(m Member) bool { return m.Dead == name })
	})
}
