package commands

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/lab"
)

// described joins a word and its description in cobra's format.
func described(word, description string) cobra.Completion {
	if description == "" {
		return word
	}
	return cobra.CompletionWithDesc(word, description)
}

// offerClusters offers the clusters that wanted accepts.
func offerClusters(wanted func(*clusterconf.Cluster) bool) offer {
	return fromDocument(func(doc *clusterconf.Document, _ []string) []cobra.Completion {
		var list []cobra.Completion
		for i := range doc.Clusters {
			if c := &doc.Clusters[i]; wanted(c) {
				list = append(list, described(c.Name, aboutCluster(c)))
			}
		}
		return list
	})
}

func anyCluster(*clusterconf.Cluster) bool { return true }

func notPreloaded(c *clusterconf.Cluster) bool { return c.Failover == clusterconf.FailoverNormal }

func aboutCluster(c *clusterconf.Cluster) string {
	numbers := make([]int, len(c.LIMs))
	for i, m := range c.LIMs {
		numbers[i] = m.LIM
	}
	text := fmt.Sprintf("LIM %s; standby %s", joinInts(numbers), c.Standby)
	if c.Failover == clusterconf.FailoverPreloaded {
		text += ", preloaded"
	}
	return text
}

// offerLIMs offers the LIMs that wanted accepts; its arguments are the LIM's member entry and
// cluster, nil for a LIM in no cluster.
func offerLIMs(wanted func(*clusterconf.Member, *clusterconf.Cluster) bool) offer {
	return fromDocument(func(doc *clusterconf.Document, _ []string) []cobra.Completion {
		return limsOf(doc, wanted)
	})
}

func limsOf(doc *clusterconf.Document, wanted func(*clusterconf.Member, *clusterconf.Cluster) bool) []cobra.Completion {
	var list []cobra.Completion
	for i := range doc.Servers {
		s := &doc.Servers[i]
		if s.LIM == 0 {
			continue
		}
		c := doc.ClusterOfLIM(s.LIM)
		var m *clusterconf.Member
		if c != nil {
			m = c.Member(s.LIM)
		}
		if wanted(m, c) {
			list = append(list, described(strconv.Itoa(s.LIM), aboutLIM(s, c, m)))
		}
	}
	return list
}

func anyLIM(*clusterconf.Member, *clusterconf.Cluster) bool { return true }

func inCluster(m *clusterconf.Member, _ *clusterconf.Cluster) bool { return m != nil }

func inNoCluster(m *clusterconf.Member, _ *clusterconf.Cluster) bool { return m == nil }

func isLocked(m *clusterconf.Member, _ *clusterconf.Cluster) bool { return m != nil && m.Lock != nil }

func aboutLIM(s *clusterconf.Server, c *clusterconf.Cluster, m *clusterconf.Member) string {
	switch {
	case c == nil:
		return s.Name + ", in no cluster"
	case m.Lock != nil:
		return fmt.Sprintf("%s, cluster %s, locked to %s", s.Name, c.Name, m.Lock.To)
	}
	return fmt.Sprintf("%s, cluster %s", s.Name, c.Name)
}

// limsOfCluster offers the LIMs of the cluster named before, or of all clusters.
func limsOfCluster(store *clusterconf.Store, args []string) []cobra.Completion {
	only := optionalArgument(args)
	return offerLIMs(func(_ *clusterconf.Member, c *clusterconf.Cluster) bool {
		return c != nil && (only == "" || c.Name == only)
	})(store, args)
}

// offerServers offers the servers that wanted accepts; its second argument is the server's cluster,
// nil for none.
func offerServers(wanted func(*clusterconf.Server, *clusterconf.Cluster) bool) offer {
	return fromDocument(func(doc *clusterconf.Document, _ []string) []cobra.Completion {
		var list []cobra.Completion
		for i := range doc.Servers {
			s := &doc.Servers[i]
			if c := doc.ClusterOfServer(s.Name); wanted(s, c) {
				list = append(list, described(s.Name, aboutServer(s, c)))
			}
		}
		return list
	})
}

func anyServer(*clusterconf.Server, *clusterconf.Cluster) bool { return true }

func freeServer(s *clusterconf.Server, _ *clusterconf.Cluster) bool {
	return s.Role() == clusterconf.RoleFree
}

func idleStandby(s *clusterconf.Server, c *clusterconf.Cluster) bool { return s.Standby && c == nil }

func inService(s *clusterconf.Server, c *clusterconf.Cluster) bool {
	return c != nil && s.Drained == nil
}

func isDrained(s *clusterconf.Server, _ *clusterconf.Cluster) bool { return s.Drained != nil }

func isFrozen(c *clusterconf.Cluster) bool { return c.Frozen != nil }

func idleServer(_ *clusterconf.Server, c *clusterconf.Cluster) bool { return c == nil }

func aboutServer(s *clusterconf.Server, c *clusterconf.Cluster) string {
	text := string(s.Role())
	if s.LIM != 0 {
		text += fmt.Sprintf(", LIM %d", s.LIM)
	}
	if c != nil {
		text += ", cluster " + c.Name
	}
	return text
}

// offerPairs offers every two servers, as A:B.
func offerPairs(store *clusterconf.Store, args []string) []cobra.Completion {
	return fromDocument(func(doc *clusterconf.Document, _ []string) []cobra.Completion {
		var list []cobra.Completion
		for i, one := range doc.Servers {
			for _, other := range doc.Servers[i+1:] {
				list = append(list, one.Name+":"+other.Name, other.Name+":"+one.Name)
			}
		}
		return list
	})(store, args)
}

// offerLabServers offers the servers of the lab in the folder that is the default.
func offerLabServers(*clusterconf.Store, []string) []cobra.Completion {
	return lab.Servers(lab.DefaultDir())
}

// offeredRevisions bounds the former documents that are offered; older ones are listed by `config
// history`.
const offeredRevisions = 20

// offerRevisions offers the newest former documents. It works with a broken document, when it is
// needed most.
func offerRevisions(store *clusterconf.Store, _ []string) []cobra.Completion {
	entries, err := store.Recent(offeredRevisions)
	if err != nil {
		return nil
	}
	var list []cobra.Completion
	for _, e := range entries {
		about := ""
		if ch := e.Changed; !ch.At.IsZero() {
			about = strings.TrimSpace(fmt.Sprintf("%s %s: %s", ch.At.Format("2006-01-02 15:04"), ch.By, ch.Command))
		}
		list = append(list, described(strconv.FormatUint(e.Revision, 10), about))
	}
	return list
}

// subcommands returns those of a group with the prefix begun.
func subcommands(c *cobra.Command, begun string) []cobra.Completion {
	var list []cobra.Completion
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			list = append(list, described(sub.Name(), sub.Short))
		}
	}
	return withPrefix(list, begun)
}
