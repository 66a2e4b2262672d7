package main

import (
	"fmt"
	"net/netip"
	"time"

	"mxcluster/clusterconf"
)

// system is a document with clusters c1, c2, ... of some LIMs each, a standby each,
// one more regular server of the LIM after them, one more standby and a free server.
// The server of LIM N is srvN.
func system(clusters, limsEach int) *clusterconf.Document {
	d := &clusterconf.Document{
		APIVersion: clusterconf.APIVersion, Kind: clusterconf.Kind, System: "test", Revision: 7,
		Changed: clusterconf.Change{At: time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC), By: "root", On: "srv1", Command: "made by a test"},
	}
	server := func(name string, third, fourth, lim int, standby bool) {
		d.Servers = append(d.Servers, clusterconf.Server{Name: name, Base: host(third, fourth), Interface: "eth0", LIM: lim, Standby: standby})
	}
	lim := 0
	for i := 1; i <= clusters; i++ {
		c := clusterconf.Cluster{
			Name: fmt.Sprintf("c%d", i), Standby: fmt.Sprintf("sb%d", i), Fallback: clusterconf.FallbackManual,
			Failover: clusterconf.FailoverNormal, SplitBrainStop: clusterconf.SideRegular,
		}
		server(c.Standby, 2, i, 0, true)
		for range limsEach {
			lim++
			server(fmt.Sprintf("srv%d", lim), 1, lim, lim, false)
			c.LIMs = append(c.LIMs, clusterconf.Member{LIM: lim, Alias: host(3, lim), Priority: clusterconf.DefaultPriority})
		}
		d.Clusters = append(d.Clusters, c)
	}
	server(fmt.Sprintf("srv%d", lim+1), 1, lim+1, lim+1, false)
	server(fmt.Sprintf("sb%d", clusters+1), 2, clusters+1, 0, true)
	server("free1", 4, 1, 0, false)
	return d
}

// host is an address of the system's only subnet.
func host(third, fourth int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(third), byte(fourth)}), 16)
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
