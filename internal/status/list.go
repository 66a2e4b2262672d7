package status

import (
	"mxcluster/clusterconf"
)

// List builds the answer of `list` from the document.
func List(doc *clusterconf.Document) *ClusterList {
	l := &ClusterList{
		APIVersion: clusterconf.APIVersion,
		Kind:       "ClusterList",
		Revision:   doc.Revision,
		Hash:       clusterconf.Hash(doc),
		Clusters:   make([]ListCluster, 0, len(doc.Clusters)), // an empty list, never null
	}
	for i := range doc.Clusters {
		l.Clusters = append(l.Clusters, listCluster(doc, &doc.Clusters[i]))
	}
	return l
}

func listCluster(doc *clusterconf.Document, c *clusterconf.Cluster) ListCluster {
	out := ListCluster{
		Name:            c.Name,
		Standby:         c.Standby,
		Fallback:        string(c.Fallback),
		Failover:        string(c.Failover),
		FailoverAfterMs: c.SilenceLimit().Milliseconds(),
		SplitBrainStop:  string(c.SplitBrainStop),
		LIMs:            make([]ListLIM, 0, len(c.LIMs)),
	}
	for _, m := range c.LIMs {
		l := ListLIM{LIM: m.LIM, Alias: m.Alias.String(), Priority: m.Priority}
		if s := doc.RegularOf(m.LIM); s != nil {
			l.Regular, l.Base, l.Interface = s.Name, s.Base.String(), s.Interface
		}
		out.LIMs = append(out.LIMs, l)
	}
	return out
}
