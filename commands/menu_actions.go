package commands

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
)

// allOf is the answer for every cluster.
const allOf = "all"

func (g *guide) list() []string {
	if c := g.pick("Cluster", allOf, offerClusters(anyCluster)); c != "" {
		return []string{c}
	}
	return nil
}

func (g *guide) status() []string { return g.list() }

func (g *guide) preload() []string {
	return []string{g.pick("Cluster to preload", "", offerClusters(notPreloaded))}
}

func (g *guide) remove() []string {
	return []string{g.pick("Cluster to delete", "", offerClusters(anyCluster))}
}

func (g *guide) sync() []string {
	if c := g.pick("Cluster", allOf, offerClusters(anyCluster)); c != "" {
		return []string{c}
	}
	return []string{"--all"}
}

func (g *guide) removeLIM() []string {
	c := g.pick("Cluster", "", offerClusters(anyCluster))
	return []string{c, g.pick("LIM to remove", "", limsOfCluster, c)}
}

func (g *guide) fallback() []string {
	argv := []string{g.pick("LIM", "", offerLIMs(inCluster))}
	if !g.yes("Wait until the regular server is ready", true) {
		argv = append(argv, "--now")
	}
	return argv
}

func (g *guide) unlock() []string {
	return []string{g.pick("LIM to unlock", "", offerLIMs(isLocked))}
}

// newCluster is what `create` is asked for, as far as it is answered.
type newCluster struct {
	clusterconf.CreateSpec
	argv []string
}

// create asks for a cluster. Each answer is tried together with those before it,
// by the edit that the command makes.
func (g *guide) create() []string {
	var n newCluster
	n.Name = g.text("Name of the new cluster", "", func(answer string) error {
		if g.doc.Cluster(answer) != nil {
			return fmt.Errorf("there is a cluster %s already", answer)
		}
		return clusterconf.CheckClusterName(answer)
	})
	n.Standby = g.pick("Standby server", "", offerServers(idleStandby))
	g.orElse("make one of a free server: mxcluster server to-standby SRV")
	n.argv = []string{n.Name, "--standby", n.Standby}
	for g.err == nil {
		g.createLIM(&n)
		if len(n.LIMs) == clusterconf.MaxLIMs || len(n.remaining(g.store, nil)) == 0 || !g.yes("Another LIM", false) {
			break
		}
	}
	fallback := g.oneOf("Fallback", string(clusterconf.FallbackManual), string(clusterconf.FallbackManual), string(clusterconf.FallbackAutomatic))
	after := g.duration("Silence after which a server counts as failed", clusterconf.DefaultFailoverAfter.String(), func(d time.Duration) error {
		trial := n.CreateSpec
		trial.FailoverAfter = d
		return g.try(func(doc *clusterconf.Document) error { return doc.CreateCluster(trial) })
	})
	stop := g.splitBrainStop(string(clusterconf.SideRegular))
	rehearse := g.rehearse(clusterconf.RehearseOff)
	return slices.Concat(n.argv, flagIf("--fallback", fallback, string(clusterconf.FallbackManual)),
		flagIf("--failover-after", after, clusterconf.DefaultFailoverAfter.String()),
		flagIf("--split-brain-stop", stop, string(clusterconf.SideRegular)),
		flagIf("--rehearse", rehearse, clusterconf.RehearseOff.String()))
}

// rehearse asks when takeovers are rehearsed.
func (g *guide) rehearse(now clusterconf.Rehearse) string {
	return g.oneOf("Rehearsals of takeovers", now.String(), clusterconf.RehearseWords()...)
}

// createLIM asks for one LIM of a new cluster.
func (g *guide) createLIM(n *newCluster) {
	lim := g.pick("LIM", "", n.remaining)
	var chosen clusterconf.CreateLIM
	attempt := func(text string) error {
		l, err := parseCreateLIM(text)
		if err != nil {
			return err
		}
		trial := n.CreateSpec
		trial.LIMs = append(slices.Clone(n.LIMs), l)
		chosen = l
		return g.try(func(doc *clusterconf.Document) error { return doc.CreateCluster(trial) })
	}
	word := lim + "="
	word += g.text(g.newBase(lim), "", func(answer string) error { return attempt(word + answer) })
	if p := g.priority(lim, clusterconf.DefaultPriority, func(answer string) error { return attempt(word + ",priority=" + answer) }); p != "" {
		word += ",priority=" + p
	}
	if g.err != nil {
		return
	}
	n.LIMs = append(n.LIMs, chosen)
	n.argv = append(n.argv, "--lim", word)
}

// remaining offers the LIMs that are in no cluster and not in this one.
func (n *newCluster) remaining(store *clusterconf.Store, _ []string) []cobra.Completion {
	return fromDocument(func(doc *clusterconf.Document, _ []string) []cobra.Completion {
		doc.Servers = slices.DeleteFunc(doc.Servers, func(s clusterconf.Server) bool {
			return slices.ContainsFunc(n.LIMs, func(l clusterconf.CreateLIM) bool { return l.LIM == s.LIM })
		})
		return limsOf(doc, inNoCluster)
	})(store, nil)
}

// newBase is the question for the base address that a LIM's server will have.
func (g *guide) newBase(lim string) string {
	if number, err := strconv.Atoi(lim); err == nil {
		if s := g.doc.RegularOf(number); s != nil {
			return fmt.Sprintf("New base address of %s (%s becomes the LIM's alias)", s.Name, s.Base)
		}
	}
	return "New base address of its server"
}

// priority asks for the priority of a LIM; the answer is "" for that of now.
func (g *guide) priority(lim string, now int, check func(string) error) string {
	without := strconv.Itoa(now)
	answer := g.text("Priority of LIM "+lim+" on the standby, a lower value goes first", without, check)
	if answer == without {
		return ""
	}
	return answer
}

func (g *guide) splitBrainStop(now string) string {
	return g.oneOf("Side that gives way when both run a LIM", now, string(clusterconf.SideRegular), string(clusterconf.SideStandby))
}

func (g *guide) addLIM() []string {
	c := g.pick("Cluster", "", offerClusters(notPreloaded))
	lim := g.pick("LIM to add", "", offerLIMs(inNoCluster))
	attempt := func(base, priority string) error {
		l, err := parseCreateLIM(lim + "=" + base + ",priority=" + priority)
		if err != nil {
			return err
		}
		return g.try(func(doc *clusterconf.Document) error { return doc.AddLIM(c, l.LIM, l.NewBase, l.Priority) })
	}
	base := g.text(g.newBase(lim), "", func(answer string) error {
		return attempt(answer, strconv.Itoa(clusterconf.DefaultPriority))
	})
	priority := g.priority(lim, clusterconf.DefaultPriority, func(answer string) error { return attempt(base, answer) })
	return slices.Concat([]string{c, lim, "--base", base}, flagIf("--priority", priority, ""))
}

// change asks for each setting of a cluster; the present one is offered, and what
// stays as it is needs no flag.
func (g *guide) change() []string {
	name := g.pick("Cluster to change", "", offerClusters(anyCluster))
	if g.err != nil {
		return nil
	}
	c := g.doc.Cluster(name)
	attempt := func(spec clusterconf.ChangeSpec) error {
		return g.try(func(doc *clusterconf.Document) error { return doc.ChangeCluster(name, spec) })
	}
	argv := []string{name}
	fallback := g.oneOf("Fallback", string(c.Fallback), string(clusterconf.FallbackManual), string(clusterconf.FallbackAutomatic))
	argv = append(argv, flagIf("--fallback", fallback, string(c.Fallback))...)
	for _, m := range c.LIMs {
		lim := strconv.Itoa(m.LIM)
		p := g.priority(lim, m.Priority, func(answer string) error {
			number, priority, err := parsePriority(lim + "=" + answer)
			if err != nil {
				return err
			}
			return attempt(clusterconf.ChangeSpec{Priorities: map[int]int{number: priority}})
		})
		if p != "" {
			argv = append(argv, "--priority", lim+"="+p)
		}
	}
	limit := clusterconf.Duration(c.SilenceLimit()).String()
	after := g.duration("Silence after which a server counts as failed", limit, func(d time.Duration) error {
		return attempt(clusterconf.ChangeSpec{FailoverAfter: &d})
	})
	argv = append(argv, flagIf("--failover-after", after, limit)...)
	argv = append(argv, flagIf("--split-brain-stop", g.splitBrainStop(string(c.SplitBrainStop)), string(c.SplitBrainStop))...)
	argv = append(argv, flagIf("--rehearse", g.rehearse(c.Rehearse), c.Rehearse.String())...)
	if g.err == nil && len(argv) == 1 {
		g.err = fault.New(fault.Refused, "", "nothing is to be changed of cluster %s", name)
	}
	return argv
}

// lock asks for a lock. Whether the LIM runs where it is to be locked is found
// when the command is tried.
func (g *guide) lock() []string {
	lim := g.pick("LIM to lock", "", offerLIMs(inCluster))
	number, _ := strconv.Atoi(lim) // it was offered
	attempt := func(to, reason string, expires *time.Time) error {
		return g.try(func(doc *clusterconf.Document) error {
			return doc.LockLIM(number, clusterconf.Side(to), g.now, "", reason, expires)
		})
	}
	to := g.text("Side to lock it to, regular or standby", string(clusterconf.SideRegular), func(answer string) error {
		return attempt(answer, "", nil)
	})
	const never = "no end"
	limit := g.duration("Time after which the lock ends", never, func(d time.Duration) error {
		end := g.now.Add(d)
		return attempt(to, "", &end)
	})
	reason := g.text("Reason", "none", func(answer string) error { return attempt(to, answer, nil) })
	argv := slices.Concat([]string{lim, "--to", to}, flagIf("--for", limit, never), flagIf("--reason", reason, "none"))
	if g.yes("Move it there first, if it runs on the other side", false) {
		argv = append(argv, "--move")
	}
	return argv
}
