package clusterconf

import (
	"fmt"
	"slices"
	"strings"
)

func checkClusterNames(d *Document, report reportFunc) {
	for i, c := range d.Clusters {
		if !validName(c.Name) {
			report(at("clusters", i)+".name", nameHint, "cluster name %q is not valid", c.Name)
		}
	}
}

func checkClustersOnce(d *Document, report reportFunc) {
	seen := map[string]bool{}
	for i, c := range d.Clusters {
		if seen[c.Name] {
			report(at("clusters", i)+".name", "give every cluster a name of its own", "there are two clusters named %s", c.Name)
		}
		seen[c.Name] = true
	}
}

// checkClusterSizes: a cluster can have up to ten LIMs (spec ch. 6); one
// without any would keep its standby for nothing.
func checkClusterSizes(d *Document, report reportFunc) {
	for i, c := range d.Clusters {
		path := at("clusters", i) + ".lims"
		switch n := len(c.LIMs); {
		case n == 0:
			report(path, "remove the cluster, or give it a LIM", "cluster %s has no LIM", c.Name)
		case n > MaxLIMs:
			report(path, "put some into another cluster with a standby of its own",
				"cluster %s has %d LIMs, a cluster can have %d", c.Name, n, MaxLIMs)
		}
	}
}

// checkClusterCount: there are at most as many clusters as LIMs in the system (spec ch. 6).
func checkClusterCount(d *Document, report reportFunc) {
	lims := 0
	for _, s := range d.Servers {
		if s.LIM != 0 {
			lims++
		}
	}
	if len(d.Clusters) > lims {
		report("clusters", "remove a cluster, or add a server with a LIM",
			"there are %d clusters but %d LIMs", len(d.Clusters), lims)
	}
}

func checkStandbys(d *Document, report reportFunc) {
	for i, c := range d.Clusters {
		path := at("clusters", i) + ".standby"
		switch s := d.Server(c.Standby); {
		case s == nil:
			report(path, didYouMean(c.Standby, d.serverNames(), "name a server of the system"),
				"the standby of cluster %s, %q, is not a server of the system", c.Name, c.Standby)
		case s.Role() != RoleStandby:
			report(path, "mxcluster server to-standby "+s.Name,
				"%s cannot be the standby of cluster %s: it is a %s server", s.Name, c.Name, s.Role())
		}
	}
}

// checkStandbyOneCluster: a standby server can belong to one cluster only (spec ch. 6).
func checkStandbyOneCluster(d *Document, report reportFunc) {
	owner := map[string]string{}
	for i, c := range d.Clusters {
		if first, taken := owner[c.Standby]; taken {
			report(at("clusters", i)+".standby", "give every cluster a standby of its own",
				"%s is the standby of cluster %s and of cluster %s", c.Standby, first, c.Name)
			continue
		}
		owner[c.Standby] = c.Name
	}
}

func checkMemberServers(d *Document, report reportFunc) {
	for i, c := range d.Clusters {
		for j, m := range c.LIMs {
			if d.RegularOf(m.LIM) == nil {
				report(memberPath(i, j)+".lim", "give the LIM to a server, or remove it from the cluster",
					"LIM %d of cluster %s is on no server", m.LIM, c.Name)
			}
		}
	}
}

// checkLIMOneCluster: a LIM server can belong to one cluster only (spec ch. 6).
func checkLIMOneCluster(d *Document, report reportFunc) {
	owner := map[int]string{}
	for i, c := range d.Clusters {
		for j, m := range c.LIMs {
			if first, taken := owner[m.LIM]; taken {
				report(memberPath(i, j)+".lim", "keep it in one of the two",
					"LIM %d is in cluster %s and again in cluster %s", m.LIM, first, c.Name)
				continue
			}
			owner[m.LIM] = c.Name
		}
	}
}

// choices are the values of the keys that know a few only.
var (
	fallbackTypes = []FallbackType{FallbackManual, FallbackAutomatic}
	failoverModes = []FailoverMode{FailoverNormal, FailoverPreloaded}
	sides         = []Side{SideRegular, SideStandby}
)

func checkChoices(d *Document, report reportFunc) {
	for i, c := range d.Clusters {
		path := at("clusters", i)
		choice(report, path+".fallback", c.Fallback, fallbackTypes)
		choice(report, path+".failover", c.Failover, failoverModes)
		choice(report, path+".splitBrainStop", c.SplitBrainStop, sides)
		for j, m := range c.LIMs {
			if m.Lock != nil {
				choice(report, memberPath(i, j)+".lock.to", m.Lock.To, sides)
			}
		}
	}
	for i, l := range d.LIMs {
		if l.MediaServer != nil {
			choice(report, at("lims", i)+".mediaServer.kind", l.MediaServer.Kind, mediaServerKinds)
		}
	}
}

func choice[T ~string](report reportFunc, path string, got T, known []T) {
	if slices.Contains(known, got) {
		return
	}
	key := path[strings.LastIndexByte(path, '.')+1:]
	report(path, "write "+alternatives(known), "%s must be %s, not %q", key, alternatives(known), string(got))
}

// alternatives writes "a or b".
func alternatives[T ~string](known []T) string {
	words := make([]string, len(known))
	for i, k := range known {
		words[i] = string(k)
	}
	return strings.Join(words, " or ")
}

func checkFailoverAfter(d *Document, report reportFunc) {
	for i, c := range d.Clusters {
		if c.FailoverAfter != 0 && c.FailoverAfter < Duration(MinFailoverAfter) {
			report(at("clusters", i)+".failoverAfter", fmt.Sprintf("give %s or more", MinFailoverAfter),
				"failoverAfter of cluster %s is %s, the least is %s", c.Name, c.FailoverAfter, MinFailoverAfter)
		}
	}
}

func checkPriorities(d *Document, report reportFunc) {
	for i, c := range d.Clusters {
		for j, m := range c.LIMs {
			if m.Priority < 0 {
				report(memberPath(i, j)+".priority", "give 0 or more; a lower value is a higher priority",
					"the priority of LIM %d is %d", m.LIM, m.Priority)
			}
		}
	}
}

// checkPreloaded: preloading is for one regular and one standby server (spec ch. 4).
func checkPreloaded(d *Document, report reportFunc) {
	for i, c := range d.Clusters {
		if c.Failover == FailoverPreloaded && len(c.LIMs) > 1 {
			report(at("clusters", i)+".failover", "give the other LIMs a cluster of their own",
				"cluster %s is preloaded and has %d LIMs, it can have one", c.Name, len(c.LIMs))
		}
	}
}
