package commands

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
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

func (g *guide) statusOf() []string { return g.list() }

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
	argv := []string{g.pick("LIM", "", g.limsNotOn("regular"))}
	if !g.yes("Wait until the regular server is ready", true) {
		argv = append(argv, "--now")
	}
	return argv
}

func (g *guide) failover() []string {
	argv := []string{g.pick("LIM", "", g.limsNotOn("standby"))}
	if !g.yes("Wait until the standby is ready", true) {
		argv = append(argv, "--now")
	}
	return argv
}

// limsNotOn offers the LIMs of clusters but for those that are on a side already.
func (g *guide) limsNotOn(side string) offer {
	return offerLIMs(func(m *clusterconf.Member, _ *clusterconf.Cluster) bool {
		if m == nil {
			return false
		}
		l := g.status.LIM(m.LIM)
		return l == nil || l.Side != side
	})
}

func (g *guide) rehearsal() []string {
	argv := g.list()
	if g.yes("Wait for the results", true) {
		argv = append(argv, "--wait")
	}
	return argv
}

func (g *guide) explain() []string {
	return []string{g.pick("LIM to explain", "", offerLIMs(anyLIM))}
}

func (g *guide) drain() []string {
	const never = "no end"
	name := g.pick("Server to drain", "", offerServers(inService))
	limit := g.duration("Time after which it should be over", never, func(d time.Duration) error {
		if d <= 0 {
			return fault.New(fault.Usage, "give a time such as 2h", "%s is no time", d)
		}
		return nil
	})
	reason := g.text("Reason", "none", func(string) error { return nil })
	return slices.Concat([]string{name}, flagIf("--for", limit, never), flagIf("--reason", reason, "none"))
}

func (g *guide) undrain() []string {
	return []string{g.pick("Server that may be used again", "", offerServers(isDrained))}
}

func (g *guide) init() []string {
	host, _ := os.Hostname() // without one there is nothing to offer
	server := g.text("Name of this server", host, anyName)
	base := g.text("Base address of this server, with its length, such as 10.0.0.11/24", "", func(answer string) error {
		_, err := netip.ParsePrefix(answer)
		if err != nil {
			return fault.New(fault.Usage, "such as 10.0.0.11/24", "%q is not an address with its length", answer)
		}
		return nil
	})
	def := ""
	if len(g.links) > 0 {
		def = g.links[0]
	}
	link := g.text("Interface of that address", def, func(answer string) error {
		if len(g.links) > 0 && !slices.Contains(g.links, answer) {
			return fault.New(fault.NotFound, "this server has "+strings.Join(g.links, ", "), "there is no interface %s", answer)
		}
		return nil
	})
	const none = "none"
	lim := g.text("LIM that runs here", none, func(answer string) error {
		if answer == none {
			return nil
		}
		_, err := parseLIM(answer)
		return err
	})
	return slices.Concat([]string{"--server", server, "--base", base, "--interface", link}, flagIf("--lim", lim, none))
}

func (g *guide) join() []string {
	address := g.text("Base address of a server of the system", "", func(answer string) error {
		if _, err := netip.ParseAddr(answer); err != nil {
			return fault.New(fault.Usage, "such as 10.0.0.11", "%q is not an address", answer)
		}
		return nil
	})
	const here = "the one that is here"
	key := g.text("File with that system's gossip key", here, func(string) error { return nil })
	host, _ := os.Hostname() // without one there is nothing to offer
	server := g.text("Name of this server there", host, anyName)
	return slices.Concat([]string{address, "--server", server}, flagIf("--key-file", key, here))
}

// noDocument says that there is no system yet.
func (g *guide) noDocument() string {
	if g.doc == nil {
		return "no cluster document can be read here"
	}
	return ""
}

// hasDocument says that there is a system already.
func (g *guide) hasDocument() string {
	if g.doc != nil || !errors.Is(g.unread, fs.ErrNotExist) {
		return "there is a cluster document here already"
	}
	return ""
}

func (g *guide) noCluster() string {
	if why := g.noDocument(); why != "" {
		return why
	}
	if len(g.doc.Clusters) == 0 {
		return "there is no cluster yet"
	}
	return ""
}

// noAgent says that nobody would carry an order out.
func (g *guide) noAgent() string {
	if why := g.noCluster(); why != "" {
		return why
	}
	if g.agentErr != nil {
		return "no agent answers here"
	}
	return ""
}

// notCreate says why no cluster can be created.
func (g *guide) notCreate() string {
	if why := g.noDocument(); why != "" {
		return why
	}
	if len(offerServers(idleStandby)(g.store, nil)) == 0 {
		return "there is no standby server without a cluster; 'mxcluster server to-standby SRV' makes one of a free server"
	}
	if len(offerLIMs(inNoCluster)(g.store, nil)) == 0 {
		return "every LIM is in a cluster"
	}
	return ""
}

// noneOf says why where nothing is offered.
func noneOf(why string, o offer) func(*guide) string {
	return func(g *guide) string {
		if missing := g.noCluster(); missing != "" {
			return missing
		}
		if len(o(g.store, nil)) == 0 {
			return why
		}
		return ""
	}
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

// anyName takes every name; what is wrong with it shows when the command is tried.
func anyName(string) error { return nil }
