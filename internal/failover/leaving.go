package failover

import (
	"cmp"
	"fmt"
	"slices"

	"mxcluster/clusterconf"
)

// RuleLeaving applies to a LIM that is leaving its cluster.
const RuleLeaving Rule = "leaving"

// Step is the next change of the cluster document for LIMs that leave their clusters and servers
// whose base was moved. It follows from the document and the claims of all servers, so that any
// editor can take it, at any time.
type Step struct {
	Left    []int    // LIMs with nothing left on the standby: they leave the cluster
	Settled []string // servers whose new base is known to all: the former base is removed
	Waits   []Delay  // what other steps wait for
}

// Delay is what a LIM that leaves its cluster, or a server with a former base, waits for.
type Delay struct {
	LIM    int    // 0: it concerns the server
	Server string // with a base that is to be moved, or was moved
	For    string // the server that is waited for
	Why    string
}

// Pending reports whether a document needs steps.
func Pending(d *clusterconf.Document) bool {
	return slices.ContainsFunc(d.Clusters, func(c clusterconf.Cluster) bool { return len(c.Leaves()) > 0 }) ||
		slices.ContainsFunc(d.Servers, func(s clusterconf.Server) bool { return s.ReachedAt.IsValid() })
}

// NextStep returns the next step; own is this server's claim.
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

// with returns the view with this server among the peers.
func (v View) with(own *Claim) View {
	peers := map[string]Peer{v.Self: {Liveness: Alive, Claim: own}}
	for name, p := range v.Peers {
		peers[name] = p
	}
	v.Peers = peers
	return v
}

// leaveWaits returns what a leaving LIM waits for; nil: nothing. The standby must have given up
// everything of it, and both servers must have stored the document in which it leaves, so that
// neither comes back without that.
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

// lost reports whether nothing is heard of a server.
func (v *View) lost(p Peer) bool {
	return p.Liveness == Gone || (p.Liveness == Unheard || p.Liveness == "") && !v.Now.Before(v.graceEnd())
}

// lacksDocument returns a server that is not known to have the present document; "": all have it. A
// server that has stored it need not be alive, as it cannot come back without it.
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
	// A server that is alive will have it soon, so one that is not is preferred.
	return slices.MinFunc(names, func(a, b string) int {
		return cmp.Or(compareBool(v.Peers[a].Liveness == Alive, v.Peers[b].Liveness == Alive), cmp.Compare(a, b))
	})
}

// MayLeave returns why a LIM cannot leave its cluster now, and the remedy; "": it can. dead is a
// server that is lost for good; "": none is.
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

// leavesStandby decides, on the standby, for a leaving LIM that does not run there. It returns
// false for one that does: it stays active until it is moved back, unless its own server is lost
// for good.
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

// leaves reports whether a LIM is leaving a cluster.
func leaves(c *clusterconf.Cluster, lim int) bool {
	m := c.Member(lim)
	return m != nil && m.Leaving
}
