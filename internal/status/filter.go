package status

import (
	"slices"

	"mxcluster/internal/fault"
	"mxcluster/internal/nearest"
)

// Only keeps one cluster, where name is not "", and some LIMs, where any are
// given; the health is then that of what is kept. What is asked for and not
// there is fault.NotFound.
func (s *ClusterStatus) Only(name string, lims []int) error {
	clusters, err := onlyCluster(s.Clusters, name, func(c StatusCluster) string { return c.Name })
	if err != nil {
		return err
	}
	var kept []StatusCluster
	for _, n := range lims {
		alone := name == "" && slices.ContainsFunc(s.Unclustered, func(l StatusLIM) bool { return l.LIM == n })
		if !alone && !slices.ContainsFunc(clusters, func(c StatusCluster) bool { return c.hasLIM(n) }) {
			return fault.New(fault.NotFound, "mxcluster list", "no cluster%s has a LIM %d", named(name), n)
		}
	}
	for _, c := range clusters {
		if len(lims) > 0 {
			c.LIMs = slices.DeleteFunc(slices.Clone(c.LIMs), func(l StatusLIM) bool { return !slices.Contains(lims, l.LIM) })
			if len(c.LIMs) == 0 {
				continue
			}
		}
		kept = append(kept, c)
	}
	if name != "" {
		s.Unclustered, s.Alarms = []StatusLIM{}, []Alarm{}
	}
	if len(lims) > 0 {
		s.Unclustered = slices.DeleteFunc(s.Unclustered, func(l StatusLIM) bool { return !slices.Contains(lims, l.LIM) })
	}
	s.Clusters = slices.Concat([]StatusCluster{}, kept)
	if len(kept) > 0 {
		s.Health = worse(worstHealth(kept), s.aloneHealth())
	}
	if len(kept) > 0 && (name != "" || len(lims) > 0) {
		s.Redundant, s.RedundantWhy = ofAll(kept)
	}
	return nil
}

func (c *StatusCluster) hasLIM(n int) bool {
	return slices.ContainsFunc(c.LIMs, func(l StatusLIM) bool { return l.LIM == n })
}

// LIM returns the entry of a LIM, or nil.
func (s *ClusterStatus) LIM(n int) *StatusLIM {
	for i := range s.Clusters {
		for j := range s.Clusters[i].LIMs {
			if l := &s.Clusters[i].LIMs[j]; l.LIM == n {
				return l
			}
		}
	}
	return nil
}

// Only keeps one cluster, where name is not "". A cluster that is not there is
// fault.NotFound.
func (l *ClusterList) Only(name string) error {
	clusters, err := onlyCluster(l.Clusters, name, func(c ListCluster) string { return c.Name })
	if err == nil {
		l.Clusters = clusters
	}
	return err
}

func onlyCluster[C any](clusters []C, name string, nameOf func(C) string) ([]C, error) {
	if name == "" {
		return clusters, nil
	}
	var names []string
	for _, c := range clusters {
		if nameOf(c) == name {
			return []C{c}, nil
		}
		names = append(names, nameOf(c))
	}
	hint := "mxcluster list"
	if near := nearest.To(name, names); near != "" {
		hint = "did you mean " + near + "?"
	}
	return nil, fault.New(fault.NotFound, hint, "there is no cluster %q", name)
}

func named(cluster string) string {
	if cluster == "" {
		return ""
	}
	return " " + cluster
}
