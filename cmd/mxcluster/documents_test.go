package main

import (
	"fmt"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/clusterconf/clusterconftest"
)

// system is a document with clusters c1, c2, ... of some LIMs each, a standby each,
// one more regular server of the LIM after them, one more standby and a free server.
// The server of LIM N is srvN.
func system(clusters, limsEach int) *clusterconf.Document {
	d := clusterconftest.System(clusters, limsEach)
	lims := clusters * limsEach
	d.Servers = append(d.Servers, clusterconftest.Regular(lims+1),
		clusterconf.Server{Name: fmt.Sprint("sb", clusters+1), Base: clusterconftest.Host(2, clusters+1), Interface: "eth0", Standby: true},
		clusterconf.Server{Name: "free1", Base: clusterconftest.Host(4, 1), Interface: "eth0"})
	return d
}

// content is all of a document but who changed it, and when that was.
func content(d *clusterconf.Document) string {
	c := d.Clone()
	c.Changed = clusterconf.Change{}
	for i := range c.Clusters {
		for j := range c.Clusters[i].LIMs {
			if l := c.Clusters[i].LIMs[j].Lock; l != nil {
				l.Since = time.Time{}
			}
		}
	}
	return string(clusterconf.Encode(c))
}
