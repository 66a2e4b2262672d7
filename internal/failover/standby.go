package failover

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"mxcluster/clusterconf"
)

// startLimit is how long a regular server that is alive may leave its LIM down
// before the standby runs it.
const startLimit = 30 * time.Second

// bid is a LIM's candidacy for the standby, which runs one LIM at most.
type bid struct {
	decision  Decision
	priority  int
	incumbent bool      // it is active on the standby now
	since     time.Time // when it failed on its regular server
	usable    bool      // nothing keeps it from running here
	locked    bool      // to the standby: it can run nowhere else, and is not displaced
	unproven  bool      // its last attempt here failed: it does not displace another LIM
	home      bool      // its regular server could run it now: displacing it costs nothing
	elsewhere bool      // the arbiter says that another server has it: it does not displace another LIM
}

// decideStandby decides for all LIMs of the cluster together (design rules 2, 3).
func (v *View) decideStandby(c *clusterconf.Cluster) []Decision {
	var out []Decision
	var bids []bid
	for _, m := range c.LIMs {
		var b *bid
		d, leaving := v.leavesStandby(c, m)
		if leaving {
			out = append(out, d)
			continue
		}
		if v.LIMs[m.LIM].State.Active() {
			d, b = v.activeOnStandby(c, m)
		} else {
			d, b = v.idleOnStandby(c, m)
		}
		if b != nil && b.incumbent {
			if d = v.arbitrate(c, b.decision); d.Want == Stop {
				b = nil // it is active without a key: it has no place to defend
			}
		}
		if b != nil {
			b.locked = v.lockedTo(c, m.LIM) == clusterconf.SideStandby
			bids = append(bids, *b)
		} else {
			out = append(out, d)
		}
	}
	taken := slices.ContainsFunc(bids, func(b bid) bool { return b.incumbent })
	for i, b := range bids {
		bids[i].elsewhere = !b.incumbent && v.elsewhere(b.decision.LIM, b.since, taken)
	}
	if slices.ContainsFunc(bids, func(b bid) bool { return b.incumbent && b.home }) {
		for i := range bids {
			bids[i].unproven = false // a failed attempt would leave no LIM down
		}
	}
	bids, kept := v.keepIncumbent(c, bids)
	out = append(out, kept...)
	for _, d := range v.auction(bids) {
		out = append(out, v.arbitrate(c, d))
	}
	for i := range out {
		out[i] = v.preload(c, out[i])
	}
	return out
}

// unprovenFor is how long a LIM that could not get its alias on the standby does not displace
// another one.
const unprovenFor = time.Minute

// unproven reports whether a LIM's last attempt on this standby failed: its software failed, or its
// alias was in use a short while ago.
func (v *View) unproven(l Local) bool {
	return l.State == Failed || l.Failure != "" && v.Now.Before(l.RetryAt.Add(unprovenFor))
}

// auction gives the standby to the best bid.
func (v *View) auction(bids []bid) []Decision {
	slices.SortFunc(bids, func(a, b bid) int {
		return cmp.Or(
			-compareBool(a.usable, b.usable),
			compareBool(a.unproven || a.elsewhere, b.unproven || b.elsewhere),
			-compareBool(a.locked && a.incumbent, b.locked && b.incumbent),
			-compareBool(a.locked, b.locked),
			cmp.Compare(a.priority, b.priority),
			-compareBool(a.incumbent, b.incumbent),
			a.since.Compare(b.since),
			cmp.Compare(a.decision.LIM, b.decision.LIM))
	})
	var out []Decision
	for i, b := range bids {
		d := b.decision
		switch {
		case !b.usable, i == 0 && b.incumbent:
		case i == 0:
			if other := v.activeHereExcept(d.LIM); other != 0 {
				d = d.with(Wait, RulePriority, fmt.Sprintf("waits until LIM %d has left the standby", other))
			}
		case b.incumbent:
			d = d.with(Stop, RulePriority, fmt.Sprintf("makes room for LIM %d, which %s", bids[0].decision.LIM, b.loses(bids[0])))
			d.Waiting = true
		case b.elsewhere:
			d = d.with(Wait, RuleArbiter, fmt.Sprintf("%s; the arbiter says that %s has it, and the standby runs LIM %d", d.Reason, v.verdict(d.LIM).Holder, bids[0].decision.LIM))
			d.Waiting = true
		case b.unproven:
			d = d.with(Wait, RuleOneLIM, "failed here before; waits, "+bids[0].occupies())
			d.Waiting = true
		default:
			d = d.with(Stop, RuleOneLIM, fmt.Sprintf("%s; waits, %s", d.Reason, bids[0].occupies()))
			d.Waiting = true
		}
		out = append(out, d)
	}
	return out
}

// occupies words which LIM has the standby, and which order would make room, if one is needed.
func (b bid) occupies() string {
	text := fmt.Sprintf("the standby runs LIM %d", b.decision.LIM)
	if b.incumbent && b.home {
		text += fmt.Sprintf(", whose own server is ready: `mxcluster fallback %d` makes room", b.decision.LIM)
	}
	return text
}

// loses words why an incumbent is displaced by a better bid.
func (b bid) loses(to bid) string {
	if to.locked && !b.locked {
		return "is locked to the standby"
	}
	return "has a higher priority"
}

// activeHereExcept returns a LIM that is still active here, other than the given one; 0: none.
func (v *View) activeHereExcept(lim int) int {
	best := 0
	for n, l := range v.LIMs {
		if n != lim && (l.State.Active() || l.Holds) && (best == 0 || n < best) {
			best = n
		}
	}
	return best
}

// activeOnStandby decides for a LIM that the standby runs: it stops, or bids to stay.
func (v *View) activeOnStandby(c *clusterconf.Cluster, m clusterconf.Member) (Decision, *bid) {
	d := Decision{LIM: m.LIM}
	l := v.LIMs[m.LIM]
	regular := v.Document.RegularOf(m.LIM)
	p := v.Peers[regular.Name]
	if l.State == Stopping {
		d.AliasOff = p.holds(m.LIM)
		return d.with(Stop, RuleOnePlace, "is being stopped"), nil
	}
	if l.Holds {
		if lost, why := v.contest(c, m.LIM, clusterconf.SideStandby, regular.Name, p); lost {
			d.AliasOff = true
			return d.with(Stop, RuleSplitBrain, why), nil
		}
	} else {
		if !v.Settled {
			return d.with(Wait, RuleStart, "waits to hear the other servers first"), nil
		}
		d.AskWire = p.Liveness == AgentLost
		if v.active(p, m.LIM) && !v.outranks(c, l, p.Claim.LIM(m.LIM), clusterconf.SideStandby) {
			d.AliasOff = true
			return d.with(Stop, RuleOnePlace, fmt.Sprintf("runs on %s (term %d)", regular.Name, p.Claim.LIM(m.LIM).Term)), nil
		}
		if known := v.known(m.LIM); p.Liveness == Unheard && known.Term > l.Term && known.Server != v.Self {
			return d.with(Stop, RuleOnePlace, fmt.Sprintf("ran on %s since (term %d)", known.Server, known.Term)), nil
		}
		if v.lockedTo(c, m.LIM) == clusterconf.SideRegular {
			return d.with(Stop, RuleLock, lockWords(c, m.LIM)+"; not started here"), nil
		}
		if why := v.drained(v.Self); why != "" {
			d.AliasOff = true
			return d.with(Stop, RuleDrain, why+"; not started here"), nil
		}
		said := v.saidDead(m.LIM, regular.Name) != nil
		if why, rule := v.mayNotTake(); why != "" && (rule != RuleIsolated || !said) {
			return d.with(Wait, rule, why), nil
		}
	}
	if back, d := v.fallback(c, m, d, regular.Name, p); back {
		return d, nil
	} else {
		d.Term, d.Contested = v.holdingTerm(m.LIM, l), p.holds(m.LIM)
		if !l.Holds {
			d.Term = v.known(m.LIM).Term + 1
		}
		held := !d.HeldUntil.IsZero() && d.Rule != RuleWindow
		return d, &bid{decision: d, priority: m.Priority, incumbent: true, usable: true, home: len(d.BlockedBy) == 0 && !held}
	}
}

// idleOnStandby decides for a LIM that the standby does not run: it stays down here, or bids for
// the standby as its regular server cannot run it.
func (v *View) idleOnStandby(c *clusterconf.Cluster, m clusterconf.Member) (Decision, *bid) {
	d := Decision{LIM: m.LIM}
	l := v.LIMs[m.LIM]
	regular := v.Document.RegularOf(m.LIM)
	p := v.Peers[regular.Name]
	locked := v.lockedTo(c, m.LIM)
	need, ask, rule, why := v.needsTakeover(m.LIM, l, regular.Name, p)
	d.AskWire = ask
	said := v.saidDead(m.LIM, regular.Name) != nil
	if said {
		need, d.AskWire, rule, why = true, false, RuleOrder, regular.Name+" is dead, by the order to take the LIM over"
	}
	idle := p.Liveness == Alive && !p.Claim.LIM(m.LIM).State.Active()
	switch {
	case need || !idle:
	case locked == clusterconf.SideStandby:
		need, rule, why = true, RuleLock, lockWords(c, m.LIM)
	case v.drained(regular.Name) != "":
		need, rule, why = true, RuleDrain, v.drained(regular.Name)
	case v.frozen(c) && v.known(m.LIM).Server == v.Self && l.Released.IsZero():
		need, rule, why = true, RuleFreeze, "ran here last; "+c.FrozenWords()
	}
	if why := v.drained(v.Self); why != "" {
		d.AliasOff = true
		return d.with(Stop, RuleDrain, why+"; not taken over"), nil
	}
	if need && v.keptByFreeze(c, m.LIM, rule, p, said) {
		return d.with(Stop, RuleFreeze, fmt.Sprintf("%s; not taken over: %s", why, c.FrozenWords())), nil
	}
	switch {
	case !need:
		theirs := p.Claim.LIM(m.LIM) // it was active there after it was given back
		d.Unmark = !l.Released.IsZero() && p.Liveness == Alive && theirs.State == Running && theirs.Holds && theirs.Term > l.Term
		return d.with(Stop, rule, why), nil
	case locked == clusterconf.SideRegular:
		return d.with(Stop, RuleLock, fmt.Sprintf("%s; not taken over: %s", why, lockWords(c, m.LIM))), nil
	}
	if failing := v.keptByUnfitness(m.LIM, rule, p, said); failing != "" {
		return d.with(Stop, RuleUnfit, fmt.Sprintf("%s; not taken over: %s", why, failing)), nil
	}
	since := p.Since
	b := &bid{priority: m.Priority, since: since, usable: true, unproven: v.unproven(l)}
	if v.Rejoined && p.Liveness != Alive && !said {
		return d.with(Wait, RuleIsolated, why+"; "+rejoinedWords(regular.Name)), nil
	}
	if block, r := v.mayNotTake(); block != "" && (r != RuleIsolated || !said) {
		d = d.with(Wait, r, why+"; "+block)
		if r == RuleIsolated && !v.Down && v.Arbiter == nil && v.lost(p) {
			d.Remedy = RemedyOfDead(m.LIM, regular.Name)
		}
		return d, nil
	}
	d.SaidDead = said
	if v.retryPending(l) {
		b.usable = false
		b.decision = d.with(Wait, RuleSoftware, v.failedHere(l))
		return d, b
	}
	d.Term = v.known(m.LIM).Term + 1
	planned := rule == RuleOrder || rule == RuleLock || rule == RuleDrain || rule == RuleFreeze
	gaveUp := v.drained(regular.Name) == "" && p.Claim.LIM(m.LIM).Unfit != ""
	if !planned || gaveUp || p.Claim != nil && p.Claim.Leaving {
		d = v.noteFailure(d, regular.Name, p)
	}
	b.decision = d.with(Run, rule, why)
	return d, b
}

// needsTakeover reports whether a LIM's regular server cannot run it. ask: the answer depends on
// who answers ARP for the alias.
func (v *View) needsTakeover(lim int, l Local, regular string, p Peer) (need, ask bool, rule Rule, why string) {
	switch p.Liveness {
	case Gone:
		return true, false, RuleTakeover, v.goneWords(regular)
	case Alive:
		return v.aliveNeedsTakeover(lim, l, regular, p)
	case AgentLost:
		switch theirs := p.Claim.LIM(lim); {
		case p.Expired(v.Now):
			return true, true, RuleTakeover, fmt.Sprintf("%s is silent, but for answers by ARP that a switch or a router can give; no alias can be there any more by its last word", regular)
		case theirs.Released && !theirs.State.Active():
			return true, false, RuleOrder, fmt.Sprintf("was given up by %s, whose agent was stopped", regular)
		case p.Claim != nil && p.Claim.Parked && theirs.State.Active() && !v.Wire[lim].Silent:
			return false, true, RuleHome, fmt.Sprintf("the agent of %s was stopped on purpose; its LIM goes on there as long as its alias answers", regular)
		}
	default:
		if v.Now.Before(v.graceEnd()) {
			return false, false, RuleStart, fmt.Sprintf("%s was not heard yet; waits for it until %s", regular, clock(v.graceEnd()))
		}
	}
	if v.Wire[lim].Silent {
		return true, true, RuleTakeover, fmt.Sprintf("the agent of %s is silent and nobody answers for the alias", regular)
	}
	return false, true, RuleTakeover, fmt.Sprintf("the agent of %s is silent; waits for the alias to fall silent", regular)
}

// aliveNeedsTakeover does so for a regular server whose agent is alive.
func (v *View) aliveNeedsTakeover(lim int, l Local, regular string, p Peer) (need, ask bool, rule Rule, why string) {
	theirs := p.Claim.LIM(lim)
	recent := !l.Released.IsZero() && v.Now.Before(l.Released.Add(releaseWindow)) && !theirs.Since.After(l.Released)
	// A LIM released here with a later term than there has been given back, and does not return.
	returned := !l.Released.IsZero() && l.Term > theirs.Term
	switch {
	case theirs.Released && !theirs.State.Active() && !returned && p.Claim.Leaving:
		return true, false, RuleOrder, fmt.Sprintf("was given up by %s, whose agent stops", regular)
	case theirs.Released && !theirs.State.Active() && !returned:
		return true, false, RuleOrder, cmp.Or(v.drained(regular), unfitWords(regular, theirs.Unfit), fmt.Sprintf("was moved from %s by order", regular))
	case v.outOfReachOf(p, lim) && !recent:
		return true, false, RuleArbiter, regular + " does not reach the arbiter"
	case theirs.State == Failed && !recent:
		return true, false, RuleSoftware, fmt.Sprintf("failed on %s: %s", regular, theirs.whyFailed())
	case !p.IdleSince.IsZero() && v.Now.Sub(p.IdleSince) >= startLimit && v.couldAsk(lim, startLimit):
		return true, false, RuleSoftware, fmt.Sprintf("%s does not start it: %s", regular, theirs.whyFailed())
	}
	return false, false, RuleHome, regular + " is alive"
}

// goneWords describes a silent server. An isolated server cannot tell whether it is gone.
func (v *View) goneWords(name string) string {
	if v.Isolated {
		return name + " is not heard"
	}
	return name + " is down"
}

// rejoinedWords describes what a server waits for that was isolated: the others are not all heard
// at the same moment.
func rejoinedWords(name string) string {
	return "this server heard nobody until now, and listens for " + name + " first"
}

// mayNotTake returns what keeps this server from taking over anything; "": nothing.
func (v *View) mayNotTake() (string, Rule) {
	switch {
	case !v.Settled:
		return "waits to hear the other servers first", RuleStart
	case v.Down:
		return "the link of this server is down; it takes nothing over", RuleIsolated
	case v.Isolated:
		return "this server hears nobody; it takes nothing over", RuleIsolated
	}
	if why := v.behind(); why != "" {
		return why, RuleRevision
	}
	return "", ""
}

// behind returns which newer document there is, on a live server or one that could not be read
// here; "": none.
func (v *View) behind() string {
	if v.Unread != "" {
		return v.Unread
	}
	newest, on := v.Document.Age(), ""
	for name, p := range v.Peers {
		if p.Liveness != Alive || p.Claim == nil {
			continue
		}
		if c := p.Claim.Age().Compare(newest); c > 0 || c == 0 && on != "" && name < on {
			newest, on = p.Claim.Age(), name
		}
	}
	if on == "" {
		return ""
	}
	return fmt.Sprintf("%s has a newer cluster document (%d, here %d)", on, newest.Revision, v.Document.Revision)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
