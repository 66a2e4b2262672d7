package failover

import (
	"cmp"
	"fmt"
	"slices"

	"mxcluster/clusterconf"
)

// RuleLeaving is followed by a LIM that is on its way out of its cluster.
const RuleLeaving Rule = "leaving"

// Step is what the cluster document says next of LIMs that leave their clusters and
// of servers whose base was moved. It follows from the document and from what all
// servers claim, so that whoever carries edits on may take it, at any time.
type Step struct {
	Left    []int    // LIMs that nothing is left of on the standby: out of the cluster
	Settled []string // servers that everybody knows by their new base: the former one goes
	Waits   []Delay  // what the others wait for
}

// Delay is what a LIM that leaves its cluster, or a server that keeps its former
// base, waits for.
type Delay struct {
	LIM    int    // 0: it is about the server
	Server string // whose base is to be moved, or was
	For    string // the server that is waited for
	Why    string
}

// Pending reports whether a document asks for steps at all.
func Pending(d *clusterconf.Document) bool {
	return slices.ContainsFunc(d.Clusters, func(c clusterconf.Cluster) bool { return len(c.Leaves()) > 0 }) ||
		slices.ContainsFunc(d.Servers, func(s clusterconf.Server) bool { return s.ReachedAt.IsValid() })
}

// NextStep returns what is to be done next; own is this server's own claim.
func NextStep(v View, own *Claim) Step {
	v = v.with(own)
	var s Step
	for i := range v.Document.Clusters {
		c := &v.Document.Clusters[i]
		for _, m := range c.LIMs {
			if !m.Leaving {
				continue
			}
			if d := v.leaveWaits(c, m); d != nil {
				s.Waits = append(s.Waits, *d)
			} else {
				s.Left = append(s.Left, m.LIM)
			}
		}
	}
	for _, server := range v.Document.Servers {
		if !server.ReachedAt.IsValid() {
			continue
		}
		if who := v.lacksDocument(); who != "" {
			s.Waits = append(s.Waits, Delay{Server: server.Name, For: who,
				Why: fmt.Sprintf("%s has not got revision %d of the cluster document yet", who, v.Document.Revision)})
		} else {
			s.Settled = append(s.Settled, server.Name)
		}
	}
	return s
}

// with returns the view with this server among the others.
func (v View) with(own *Claim) View {
	peers := map[string]Peer{v.Self: {Liveness: Alive, Claim: own}}
	for name, p := range v.Peers {
		peers[name] = p
	}
	v.Peers = peers
	return v
}

// leaveWaits says what a leaving LIM waits for; nil: nothing. The standby has given
// up what it had of it, and both servers have the document in which it leaves on
// their disks: neither comes back without it.
func (v *View) leaveWaits(c *clusterconf.Cluster, m clusterconf.Member) *Delay {
	regular := v.Document.RegularOf(m.LIM).Name
	for _, name := range []string{c.Standby, regular} {
		p := v.Peers[name]
		delay := &Delay{LIM: m.LIM, Server: regular, For: name}
		switch theirs := p.Claim.LIM(m.LIM); {
		case m.Dead == name && v.lost(p):
			continue
		case m.Dead == name && p.Liveness != Alive:
			delay.Why = name + " was given up as lost for good, and something of it is heard"
		case p.Liveness != Alive || p.Claim == nil:
			delay.Why = name + " is not heard"
		case p.Claim.Lacks(v.Document):
			delay.Why = fmt.Sprintf("%s has not got revision %d of the cluster document yet", name, v.Document.Revision)
		case name == regular:
			continue
		case theirs.State.Active():
			delay.Why = fmt.Sprintf("LIM %d runs on %s: `mxcluster fallback %d` brings it back", m.LIM, name, m.LIM)
		case !theirs.Clear:
			delay.Why = fmt.Sprintf("%s gives up what it has of LIM %d", name, m.LIM)
		default:
			continue
		}
		return delay
	}
	return nil
}

// lost reports whether nothing at all is heard of a server.
func (v *View) lost(p Peer) bool {
	return p.Liveness == Gone || (p.Liveness == Unheard || p.Liveness == "") && !v.Now.Before(v.graceEnd())
}

// lacksDocument names a server that is not known to have the present document; "":
// all have it. Once it has, it cannot come back without it, so it need not be alive.
func (v *View) lacksDocument() string {
	var names []string
	for _, s := range v.Document.Servers {
		if p := v.Peers[s.Name]; p.Claim == nil || p.Claim.Lacks(v.Document) {
			names = append(names, s.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	// One that is alive will have it in a moment; who is told of is who is not.
	return slices.MinFunc(names, func(a, b string) int {
		return cmp.Or(compareBool(v.Peers[a].Liveness == Alive, v.Peers[b].Liveness == Alive), cmp.Compare(a, b))
	})
}

// MayLeave says why a LIM cannot leave its cluster now, and the remedy; "": it can.
// Dead is a server that is lost for good; "": none is.
func MayLeave(v View, own *Claim, c *clusterconf.Cluster, lim int, dead string) (why, hint string) {
	v = v.with(own)
	regular := v.Document.RegularOf(lim).Name
	for _, name := range []string{c.Standby, regular} {
		p := v.Peers[name]
		what := "its standby " + name
		if name == regular {
			what = fmt.Sprintf("%s, the server of LIM %d", name, lim)
		}
		switch {
		case name == dead && !v.lost(p):
			return fmt.Sprintf("%s is given up as lost for good, and it is heard", name), "leave out --server-is-dead"
		case name == dead:
		case p.Liveness != Alive || p.Claim == nil:
			return what + " is not heard", fmt.Sprintf("start its agent; if %s is lost for good: --server-is-dead %s", name, name)
		case name == c.Standby && p.active(lim) && dead != regular:
			return fmt.Sprintf("LIM %d runs on its standby %s", lim, name), fmt.Sprintf("bring it back first: mxcluster fallback %d", lim)
		}
	}
	return "", ""
}

// leavesStandby decides for a LIM that leaves its cluster, on the standby that does
// not run it; false for one that it runs: that is served until it is brought back,
// unless its own server is lost for good.
func (v *View) leavesStandby(c *clusterconf.Cluster, m clusterconf.Member) (Decision, bool) {
	d := Decision{LIM: m.LIM, AliasOff: true}
	regular := v.Document.RegularOf(m.LIM).Name
	switch {
	case !m.Leaving:
		return d, false
	case m.Dead == regular && !v.Peers[regular].active(m.LIM):
		return d.with(Stop, RuleLeaving, fmt.Sprintf("leaves cluster %s; its server %s is lost for good", c.Name, regular)), true
	case v.LIMs[m.LIM].State.Active():
		return d, false
	}
	return d.with(Stop, RuleLeaving, fmt.Sprintf("leaves cluster %s, and is not taken over any more", c.Name)), true
}

// leaves reports whether a LIM is on its way out of a cluster.
func leaves(c *clusterconf.Cluster, lim int) bool {
	m := c.Member(lim)
	return m != nil && m.Leaving
}
