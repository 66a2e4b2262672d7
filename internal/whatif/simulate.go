package whatif

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/failover"
)

const (
	round  = time.Second // from one decision of all servers to the next
	calm   = 20          // rounds without a change after which all is at rest: longer than any wait for an answer
	rounds = 200         // after which it is said that it does not come to rest
	before = time.Hour   // since when things are as they are
)

// node is one server in the simulation.
type node struct {
	name     string
	cluster  *clusterconf.Cluster // that it belongs to, or nil
	up       bool
	lost     bool // the scenario takes its power
	changed  bool // by the scenario: its liveness is that of this moment
	liveness failover.Liveness
	claim    *failover.Claim // as the others hear it; the last word of one that is not up
	last     *failover.Claim // as it was before the scenario, for those that are cut off
	lims     map[int]failover.Local
	unable   map[int]string // what keeps software from starting there
	plan     failover.Plan
	idle     time.Time // since when it leaves its own LIM down
}

// play is a simulation in progress.
type play struct {
	Present
	nodes map[string]*node
	homes map[int]string // regular server of each LIM
	near  map[*clusterconf.Cluster][]*node
	newer []*node // that have a newer document than this simulation
	cut   map[[2]string]bool
	now   time.Time
}

// Simulate plays a scenario that was checked. Every server that is up decides
// once a round on what it hears; stops are done before starts, as they are in life.
func Simulate(p Present, s Scenario) *Result {
	p.Gateway = p.Gateway || s.Gateway
	p.Document = drained(p.Document, s.Drain)
	w := newPlay(p, s)
	unready := w.unready(s.Drain)
	served := w.holders()
	for n, x := range p.Servers {
		// What a server that goes down served, it served before.
		if slices.Contains(s.Down, n) && (x.Liveness == failover.Alive || parked(x.Liveness, x.Claim)) {
			for _, l := range x.Claim.LIMs {
				if l.State.Active() {
					served[l.LIM] = append(served[l.LIM], n)
				}
			}
		}
	}
	quiet := 0
	for i := 0; i < rounds && quiet < calm; i++ {
		quiet++
		if w.step() {
			quiet = 0
		}
		w.now = w.now.Add(round)
	}
	r := w.result(served, quiet == calm)
	for i := range r.LIMs {
		r.LIMs[i].NotReady = unready[r.LIMs[i].LIM]
	}
	return r
}

func newPlay(p Present, s Scenario) *play {
	w := &play{Present: p, nodes: map[string]*node{}, homes: map[int]string{}, near: map[*clusterconf.Cluster][]*node{}, cut: map[[2]string]bool{}, now: p.Now}
	for _, c := range s.Cut {
		w.cut[[2]string{c.A, c.B}], w.cut[[2]string{c.B, c.A}] = true, true
	}
	for _, x := range p.Document.Servers {
		n := w.newNode(x.Name, s)
		w.nodes[x.Name] = n
		if n.cluster != nil {
			w.near[n.cluster] = append(w.near[n.cluster], n)
		}
		if n.claim != nil && n.claim.Age().Compare(p.Document.Age()) > 0 {
			w.newer = append(w.newer, n)
		}
		if x.LIM != 0 {
			w.homes[x.LIM] = x.Name
		}
	}
	return w
}

func (w *play) newNode(name string, s Scenario) *node {
	x := w.Servers[name]
	n := &node{name: name, cluster: w.Document.ClusterOfServer(name), up: x.Liveness == failover.Alive, liveness: x.Liveness, claim: x.Claim, last: x.Claim, lims: map[int]failover.Local{}, unable: map[int]string{}}
	if n.liveness == "" {
		n.liveness = failover.Unheard
	}
	switch {
	case slices.Contains(s.Down, name):
		n.lost, n.changed = true, n.liveness != failover.Gone
		n.up, n.liveness = false, failover.Gone
	case slices.Contains(s.Up, name) && !n.up:
		n.up, n.changed, n.liveness = true, true, failover.Alive
		n.claim = w.booted(name, x.Claim)
	}
	if n.claim == nil {
		return n
	}
	for _, l := range n.claim.LIMs {
		n.lims[l.LIM] = w.local(l)
		if l.Unable != "" {
			n.unable[l.LIM] = l.Unable
		}
	}
	if n.up {
		n.speak(w)
	}
	return n
}

// booted is what a server says once it is back: nothing runs on it. Of one that
// was never heard the data is taken to be as new as the other side's.
func (w *play) booted(name string, last *failover.Claim) *failover.Claim {
	c := failover.Claim{Server: name, Revision: w.Document.Revision, Epoch: w.Document.Epoch, Settled: true}
	if last != nil {
		c.LIMs = slices.Clone(last.LIMs)
		for i := range c.LIMs {
			l := &c.LIMs[i]
			l.State, l.Holds, l.Released, l.Failure = failover.Stopped, false, false, ""
		}
		return &c
	}
	for _, other := range w.Servers {
		if other.Claim == nil {
			continue
		}
		for _, l := range other.Claim.LIMs {
			c.LIMs = append(c.LIMs, failover.LIMClaim{LIM: l.LIM, State: failover.Stopped, Known: l.Known, Data: l.Data})
		}
	}
	return &c
}

// local is a LIM on a server, from what that server says of it.
func (w *play) local(l failover.LIMClaim) failover.Local {
	x := failover.Local{Standing: failover.Standing{State: l.State, Term: l.Term, Known: l.Known, Failure: l.Failure, Flaps: failover.Flaps{Count: l.Flaps}}, Holds: l.Holds, Data: l.Data,
		Fitness: failover.Fitness{Unfit: l.Unfit, Unchecked: l.Unchecked, Failing: l.Failing, Since: l.FitSince}}
	switch {
	case l.State == failover.Starting && l.Holds:
		x.State = failover.Running
	case l.State == failover.Stopping:
		x.State, x.Holds = failover.Stopped, false
	case l.State == failover.Failed, l.State == failover.Stopped && l.Failure != "" && l.ForeignMAC != "":
		x.RetryAt = w.Now.Add(before) // what is broken stays so, and a stranger stays on its alias
	}
	if l.Released {
		x.Released = w.Now
	}
	if l.Suspended {
		if r := w.Document.RegularOf(l.LIM); r != nil && w.Servers[r.Name].Claim != nil {
			x.Suspended = failover.Suspension{Run: w.Servers[r.Name].Claim.Run, Why: l.Reason}
		}
	}
	return x
}

// step has every server decide and act; it reports whether anything changed.
func (w *play) step() bool {
	names := make([]string, 0, len(w.nodes))
	for _, s := range w.Document.Servers {
		if n := w.nodes[s.Name]; n.up {
			w.noteIdle(n, s.LIM)
			n.plan = failover.Decide(w.view(n))
			names = append(names, s.Name)
		}
	}
	changed := false
	for _, want := range []failover.Want{failover.Stop, failover.Preload, failover.Run} {
		for _, name := range names {
			n := w.nodes[name]
			for i := range n.plan.Decisions {
				if d := &n.plan.Decisions[i]; d.Want == want {
					changed = w.apply(n, d) || changed
				}
			}
		}
	}
	for _, name := range names {
		w.nodes[name].speak(w)
	}
	return changed
}

// noteIdle notes since when a regular server leaves its LIM down, as agents do.
func (w *play) noteIdle(n *node, lim int) {
	c := w.Document.ClusterOfLIM(lim)
	if lim == 0 || c == nil || n.lims[lim].State.Active() || w.nodes[c.Standby].lims[lim].State.Active() {
		n.idle = time.Time{}
	} else if n.idle.IsZero() {
		n.idle = w.now
	}
}

// hears reports whether one server hears another.
func (w *play) hears(a, b string) bool { return w.nodes[b].up && !w.cut[[2]string{a, b}] }

// view is what one server knows.
func (w *play) view(n *node) failover.View {
	document := w.Document
	lags := n.claim.Lacks(document)
	if n.claim.Age() != document.Age() { // it decides by the one that it has
		own := *document
		own.Epoch, own.Revision = n.claim.Epoch, n.claim.Revision
		document = &own
	}
	v := failover.View{
		Now: w.now, Self: n.name, Started: w.Now.Add(-before), Settled: true, Isolated: w.isolated(n.name), FirstHold: w.FirstHold, FromLoad: w.FromLoad,
		Document: document, Peers: map[string]failover.Peer{}, LIMs: n.lims, Wire: map[int]failover.Wire{},
	}
	mates := n.cluster
	if lags {
		for _, other := range w.nodes {
			if other != n && w.hears(n.name, other.name) {
				v.Peers[other.name] = w.peer(n, other)
			}
		}
	}
	for _, others := range [][]*node{w.near[mates], w.newer} { // other clusters do not count
		for _, other := range others {
			if other != n {
				v.Peers[other.name] = w.peer(n, other)
			}
		}
	}
	if mates != nil {
		for _, m := range mates.LIMs {
			v.Wire[m.LIM] = failover.Wire{AskedSince: w.Now, Silent: !w.answers(n, m.LIM), Alias: m.Alias.Addr()}
		}
		if w.Arbiter {
			v.Arbiter = w.arbiter(n)
		}
	}
	return v
}

// arbiter is what the arbiter says to a server: a LIM's key is with who serves it,
// whoever hears that, and stays with one that is only not heard. A free one is had for
// the asking, and one of a server that died is free: how long that takes is not played.
// Who does not reach it now does not later.
func (w *play) arbiter(asking *node) *failover.Arbiter {
	a := &failover.Arbiter{LIMs: map[int]failover.Verdict{}}
	if asking.claim.Arbiter == failover.ArbiterSilent {
		return a
	}
	for _, m := range asking.cluster.LIMs {
		a.LIMs[m.LIM] = failover.Verdict{Word: failover.Ours}
		for _, name := range []string{asking.cluster.Standby, w.homes[m.LIM]} {
			if n := w.nodes[name]; n != nil && n != asking && !n.lost && (n.up && n.lims[m.LIM].Holds || !n.up && w.Keys[m.LIM] == name) {
				a.LIMs[m.LIM] = failover.Verdict{Word: failover.Held, Holder: name}
			}
		}
	}
	return a
}

func (w *play) peer(n, other *node) failover.Peer {
	p := failover.Peer{Liveness: other.liveness, Since: w.Now.Add(-before), Claim: other.claim, IdleSince: other.idle}
	switch {
	case w.hears(n.name, other.name):
		p.Liveness = failover.Alive
		if other.changed {
			p.Since = w.Now
		}
	case w.cut[[2]string{n.name, other.name}]:
		p.Liveness, p.Since, p.Claim = failover.Gone, w.Now, other.last
	case other.changed:
		p.Since = w.Now
	}
	p.RunSince = w.heldSince(n, other)
	return p
}

// heldSince is since when a regular server is up as far as its standby's hold of automatic
// fallback tells; zero: nothing is held.
func (w *play) heldSince(standby, regular *node) time.Time {
	for lim, home := range w.homes {
		c := w.Document.ClusterOfLIM(lim)
		if home != regular.name || c == nil || c.Standby != standby.name {
			continue
		}
		l := w.Servers[standby.name].Claim.LIM(lim)
		hold := failover.Flaps{Count: l.Flaps}.Hold(w.FirstHold)
		if hold > 0 && l.HeldUntil.After(w.Now) && !l.HeldUntil.Equal(c.FallbackWindow.Opens(w.Now)) {
			return l.HeldUntil.Add(-hold)
		}
	}
	return time.Time{}
}

// isolated reports whether a server takes itself for cut off: there are several that it
// could hear, those of its cluster and whoever answered before, and it hears none. Where nothing was seen, all is taken to be well, so that
// hosts beside the servers answer, unless a cut is played.
func (w *play) isolated(name string) bool {
	self := w.nodes[name]
	if w.Gateway || self.witnessed() {
		return false
	}
	cutOff, several := false, 0
	for other, n := range w.nodes {
		if other == name {
			continue
		}
		away := w.cut[[2]string{name, other}]
		if w.hears(name, other) || n.liveness == failover.AgentLost && !away { // its kernel answers
			return false
		}
		cutOff = cutOff || n.up && away
		if n.cluster == self.cluster || w.Servers[other].Liveness == failover.Alive {
			several++
		}
	}
	return several > 1 && (cutOff || !w.Assumed)
}

// witnessed reports whether hosts beside its cluster tell a server that it is not cut off.
func (n *node) witnessed() bool { return n != nil && n.claim != nil && n.claim.Witnessed }

// parked reports whether a server's agent was stopped and has left running what ran.
func parked(l failover.Liveness, last *failover.Claim) bool {
	return l == failover.AgentLost && last != nil && last.Parked
}

// answers reports whether the other server of a LIM, if it can be heard, answers
// for the alias.
func (w *play) answers(asking *node, lim int) bool {
	for _, other := range []string{asking.cluster.Standby, w.homes[lim]} {
		n := w.nodes[other]
		if n == nil || n == asking || w.cut[[2]string{asking.name, other}] {
			continue
		}
		if (n.up || parked(n.liveness, n.claim)) && n.lims[lim].Holds {
			return true
		}
	}
	return false
}

// apply carries one decision out at once.
func (w *play) apply(n *node, d *failover.Decision) bool {
	l := n.lims[d.LIM]
	was := l
	switch d.Want {
	case failover.Run:
		w.run(n, d, &l)
	case failover.Stop:
		if d.Unmark {
			l.Released = time.Time{}
		}
		if d.Release && l.Released.IsZero() {
			l.Released = w.now
		}
		if l.State.Active() || l.Holds {
			l.State, l.Holds = failover.Stopped, false
		}
	case failover.Preload: // loaded at once; its alias is blocked, which is as if it were not there
		if d.Unmark {
			l.Released = time.Time{}
		}
		if d.Release && l.Released.IsZero() {
			l.Released = w.now
		}
		l.State, l.Holds = failover.Preloaded, false
	}
	if l != was {
		if d.Flaps != nil {
			l.Flaps = *d.Flaps
		}
		if d.Suspended != nil {
			l.Suspended = *d.Suspended
		}
	}
	n.lims[d.LIM] = l
	return l != was
}

func (w *play) run(n *node, d *failover.Decision, l *failover.Local) {
	alias := netip.Prefix{}
	if c := w.Document.ClusterOfLIM(d.LIM); c != nil {
		alias = c.Member(d.LIM).Alias
	}
	runs := l.State == failover.Running && (l.Holds || !alias.IsValid())
	if !runs && alias.IsValid() && w.answers(n, d.LIM) {
		return // another still has the address
	}
	if why := n.unable[d.LIM]; why != "" && !runs && l.State != failover.Preloaded {
		l.State, l.Holds, l.Failure, l.RetryAt = failover.Failed, false, why, w.now.Add(before)
		return
	}
	if !runs {
		l.Released, l.Failure, l.RetryAt = time.Time{}, "", time.Time{}
	}
	l.State, l.Holds, l.Term = failover.Running, alias.IsValid(), d.Term
	l.Known = l.Known.Later(failover.Place{Term: d.Term, Server: n.name})
}

// speak renews what a server says of itself.
func (n *node) speak(w *play) {
	c := *n.claim
	c.LIMs = nil
	c.Isolated = w.nodes[n.name] != nil && w.isolated(n.name)
	for lim, l := range n.lims {
		x := failover.LIMClaim{LIM: lim, State: l.State, Term: l.Term, Holds: l.Holds, Known: l.Known, Data: l.Data, Failure: l.Failure, Unable: n.unable[lim], Unfit: l.Fitness.Unfit, Unchecked: l.Fitness.Unchecked, Failing: l.Fitness.Failing, FitSince: l.Fitness.Since,
			Released: !l.Released.IsZero() && !l.State.Active(), Since: w.Now.Add(-before)}
		if d := n.plan.For(lim); d != nil {
			x.Reason, x.Waiting, x.BlockedBy = d.Reason, d.Waiting, d.BlockedBy
		}
		c.LIMs = append(c.LIMs, x)
	}
	slices.SortFunc(c.LIMs, func(a, b failover.LIMClaim) int { return a.LIM - b.LIM })
	n.claim = &c
}

// holders lists who serves each LIM.
func (w *play) holders() map[int][]string {
	out := map[int][]string{}
	for _, s := range w.Document.Servers {
		n := w.nodes[s.Name]
		for lim, l := range n.lims {
			if (n.up || parked(n.liveness, n.claim)) && l.State == failover.Running {
				out[lim] = append(out[lim], s.Name)
			}
		}
	}
	return out
}

func (w *play) result(served map[int][]string, atRest bool) *Result {
	r := &Result{APIVersion: clusterconf.APIVersion, Kind: "Simulation", Assumed: w.Assumed, AtRest: atRest, LIMs: []Outcome{}}
	after := w.holders()
	for _, s := range w.Document.Servers {
		if s.LIM == 0 {
			continue
		}
		o := Outcome{LIM: s.LIM, Before: slices.Concat([]string{}, served[s.LIM]), After: slices.Concat([]string{}, after[s.LIM])}
		slices.Sort(o.Before)
		o.Moves = !slices.Equal(o.Before, o.After)
		w.explain(&o, s.Name)
		r.LIMs = append(r.LIMs, o)
	}
	slices.SortFunc(r.LIMs, func(a, b Outcome) int { return a.LIM - b.LIM })
	return r
}

// explain takes over the words of the server that knows best: one that serves
// the LIM now and did not before, else one that serves it, else the standby's,
// else the regular server's.
func (w *play) explain(o *Outcome, regular string) {
	var order []string
	for _, n := range o.After {
		if !slices.Contains(o.Before, n) {
			order = append(order, n)
		}
	}
	order = append(order, o.After...)
	standby := ""
	if c := w.Document.ClusterOfLIM(o.LIM); c != nil {
		o.Cluster, standby = c.Name, c.Standby
		order = append(order, standby)
	}
	for _, n := range append(order, regular) {
		if x := w.nodes[n]; x != nil && x.up {
			if d := x.plan.For(o.LIM); d != nil {
				o.Rule, o.Reason, o.Waiting, o.Remedy = string(d.Rule), x.failure(o.LIM, d.Reason), d.Waiting, d.Remedy
				return
			}
		}
	}
	switch {
	case standby == "":
		o.Reason = fmt.Sprintf("%s is down, and LIM %d is in no cluster: nobody takes it over", regular, o.LIM)
	case w.agentless(regular) || w.agentless(standby):
		o.Reason = fmt.Sprintf("%s, and %s", w.away(regular, regular), w.away(standby, "the standby "+standby))
	default:
		o.Reason = fmt.Sprintf("%s and the standby %s are both down", regular, standby)
	}
}

// failure names the server in what it says of software that failed on it. Of what was only
// played there is no next try.
func (n *node) failure(lim int, reason string) string {
	here := "failed here: " + n.lims[lim].Failure
	switch why := n.unable[lim]; {
	case why != "" && strings.HasPrefix(reason, here):
		return fmt.Sprintf("its software cannot start on %s: %s", n.name, why)
	case strings.HasPrefix(reason, here):
		return fmt.Sprintf("it failed on %s: %s", n.name, n.lims[lim].Failure)
	}
	return strings.Replace(reason, "failed here", "failed on "+n.name, 1)
}

// agentless reports whether a server is seen, and its agent is not.
func (w *play) agentless(server string) bool {
	n := w.nodes[server]
	return n != nil && n.liveness == failover.AgentLost
}

// away says what is wrong with a server that is not up.
func (w *play) away(server, name string) string {
	if w.agentless(server) {
		return "the agent of " + name + " does not answer"
	}
	return name + " is down"
}
