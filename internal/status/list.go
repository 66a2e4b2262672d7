package status

import (
	"time"

	"mxcluster/clusterconf"
)

// List builds the answer of `list` from the document. Locks are shown that hold
// at the time now.
func List(doc *clusterconf.Document, now time.Time) *ClusterList {
	l := &ClusterList{
		APIVersion: clusterconf.APIVersion,
		Kind:       "ClusterList",
		Revision:   doc.Revision,
		Hash:       clusterconf.Hash(doc),
		Clusters:   make([]ListCluster, 0, len(doc.Clusters)), // an empty list, never null
	}
	for i := range doc.Clusters {
		l.Clusters = append(l.Clusters, listCluster(doc, &doc.Clusters[i], now))
	}
	return l
}

func listCluster(doc *clusterconf.Document, c *clusterconf.Cluster, now time.Time) ListCluster {
	out := ListCluster{
		Name:            c.Name,
		Standby:         c.Standby,
		Fallback:        string(c.Fallback),
		Failover:        string(c.Failover),
		FailoverAfterMs: c.SilenceLimit().Milliseconds(),
		SplitBrainStop:  string(c.SplitBrainStop),
		FallbackWindow:  c.FallbackWindow.String(),
		Rehearse:        c.Rehearse.String(),
		Frozen:          Frozen(c, now),
		LIMs:            make([]ListLIM, 0, len(c.LIMs)),
	}
	for _, m := range c.LIMs {
		l := ListLIM{LIM: m.LIM, Alias: m.Alias.String(), Priority: m.Priority, Lock: lockOf(m, now)}
		if s := doc.RegularOf(m.LIM); s != nil {
			l.Regular, l.Base, l.Interface = s.Name, s.Base.String(), s.Interface
		}
		out.LIMs = append(out.LIMs, l)
	}
	return out
}
