package failover

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"mxcluster/clusterconf"
)

// releaseWindow is how long a LIM given up by order is left to the other side before a new decision
// about it.
const releaseWindow = 15 * time.Second

// AtHome is the reason of a LIM that runs where it belongs.
const AtHome = "runs on its regular server"

// Decide returns what every LIM that concerns this server should do here. It is a pure function:
// the same view gives the same plan.
func Decide(v View) Plan {
	plan := Plan{}
	self := v.Document.Server(v.Self)
	cluster := v.Document.ClusterOfServer(v.Self)
	switch {
	case self == nil:
	case self.Standby && cluster != nil:
		plan.Decisions = v.decideStandby(cluster)
	case self.LIM != 0 && cluster != nil:
		plan.Decisions = []Decision{v.preload(cluster, v.arbitrate(cluster, v.decideRegular(cluster, self.LIM)))}
	case self.LIM != 0:
		plan.Decisions = []Decision{v.decideAlone(self.LIM)}
	}
	plan.Decisions = append(plan.Decisions, v.strays(plan)...)
	slices.SortFunc(plan.Decisions, func(a, b Decision) int { return a.LIM - b.LIM })
	return plan
}

// strays stops LIMs that run here and that the document does not place here.
func (v *View) strays(plan Plan) []Decision {
	var out []Decision
	for lim, l := range v.LIMs {
		if plan.For(lim) == nil && (l.State != Stopped || l.Holds) {
			out = append(out, Decision{LIM: lim, Want: Stop, Rule: RuleOnePlace,
				Reason: "the cluster document does not place it on this server"})
		}
	}
	return out
}

// decideAlone decides for a LIM that is in no cluster.
func (v *View) decideAlone(lim int) Decision {
	l := v.LIMs[lim]
	if v.retryPending(l) {
		return Decision{LIM: lim, Want: Wait, Rule: RuleSoftware, Reason: v.failedHere(l)}
	}
	return Decision{LIM: lim, Want: Run, Term: max(l.Term, 1), Rule: RuleHome, Reason: "runs on its server; it is in no cluster"}
}

// decideRegular decides for a LIM on its own, regular server.
func (v *View) decideRegular(c *clusterconf.Cluster, lim int) Decision {
	l, standby := v.LIMs[lim], v.Peers[c.Standby]
	d := Decision{LIM: lim}
	if l.State == Stopping {
		d.AliasOff = standby.holds(lim)
		return d.with(Stop, RuleOnePlace, "is being stopped")
	}
	if l.Holds && l.State.Active() {
		return v.holdRegular(c, d, l, standby)
	}
	if !v.Settled {
		return d.with(Wait, RuleStart, "waits to hear the other servers first")
	}
	d.AskWire = standby.Liveness == AgentLost
	if v.active(standby, lim) {
		theirs := standby.Claim.LIM(lim)
		if !v.outranks(c, l, theirs, clusterconf.SideRegular) {
			d.AliasOff = true
			d.Unmark = theirs.Holds && (v.lockedTo(c, lim) == clusterconf.SideStandby || v.drained(v.Self) != "" || v.unfitHere(lim) != "")
			return d.with(Stop, RuleOnePlace, fmt.Sprintf("runs on %s (term %d)", c.Standby, theirs.Term))
		}
	}
	if why := v.drained(v.Self); why != "" {
		d.AliasOff, d.Unmark = true, standby.holds(lim)
		return d.with(Stop, RuleDrain, why+"; not started here")
	}
	if v.lockedTo(c, lim) == clusterconf.SideStandby {
		return v.lockedAway(c, d, l)
	}
	if why, rule, ask := v.regularMustWait(c, lim, l, standby); why != "" {
		d.AskWire = d.AskWire || ask
		return d.with(Wait, rule, why)
	}
	d.Term = v.known(lim).Term + 1
	if standby.Liveness == Gone && v.known(lim).Server == c.Standby {
		return d.with(Run, RuleTakeover, fmt.Sprintf("%s, where it ran, is down", c.Standby))
	}
	return d.with(Run, RuleHome, AtHome)
}

// holdRegular decides for a LIM that runs on this regular server with its alias.
func (v *View) holdRegular(c *clusterconf.Cluster, d Decision, l Local, standby Peer) Decision {
	if lost, why := v.contest(c, d.LIM, clusterconf.SideRegular, c.Standby, standby); lost {
		d.AliasOff = true
		return d.with(Stop, RuleSplitBrain, why)
	}
	order, locked, drained := v.order(Failover, d.LIM), v.lockedTo(c, d.LIM), v.drained(v.Self)
	unfit, now := v.standbyUnfit(c, d.LIM, standby), order != nil && order.Now || drained != ""
	if unfit == "" && !now {
		unfit = v.standbyUnready(c, d.LIM, standby)
	}
	switch {
	case locked == clusterconf.SideRegular:
	case order != nil && unfit == "":
		d.Release = true
		return d.with(Stop, RuleOrder, fmt.Sprintf("moves to %s by order", c.Standby))
	case v.frozen(c):
	case drained != "" && unfit == "":
		d.Release = true
		return d.with(Stop, RuleDrain, fmt.Sprintf("%s; moves to %s", drained, c.Standby))
	case locked == clusterconf.SideStandby && unfit == "":
		d.Release = true
		return d.with(Stop, RuleLock, fmt.Sprintf("%s; moves to %s, which is ready", lockWords(c, d.LIM), c.Standby))
	}
	d.Term, d.Contested = v.holdingTerm(d.LIM, l), standby.holds(d.LIM)
	failing := v.unfitHere(d.LIM)
	if failing != "" && locked == clusterconf.SideRegular {
		return d.with(Run, RuleLock, fmt.Sprintf("%s; runs here all the same: %s", failing, lockWords(c, d.LIM)))
	}
	switch {
	case drained != "" && locked != clusterconf.SideRegular:
		return d.with(Run, RuleDrain, fmt.Sprintf("%s; runs here until it can move to %s: %s", drained, c.Standby, cmp.Or(unfit, c.FrozenWords())))
	case locked == clusterconf.SideStandby:
		return d.with(Run, RuleLock, fmt.Sprintf("%s; runs here until it can move there: %s", lockWords(c, d.LIM), cmp.Or(unfit, c.FrozenWords())))
	case failing != "" && v.frozen(c):
		return v.leaveUnfit(c, d, failing, c.FrozenWords())
	case failing != "":
		return v.leaveUnfit(c, d, failing, unfit)
	}
	return d.with(Run, RuleHome, AtHome)
}

// regularMustWait returns why a regular server may not start its LIM; "": it may. ask: the answer
// depends on who answers for the alias.
func (v *View) regularMustWait(c *clusterconf.Cluster, lim int, l Local, standby Peer) (why string, rule Rule, ask bool) {
	known, theirs := v.known(lim), standby.Claim.LIM(lim)
	there := known.Server == c.Standby
	returned := theirs.Released && theirs.Term > l.Term // the LIM ran there last and was given back
	switch {
	case v.lockedTo(c, lim) != clusterconf.SideRegular && !l.Released.IsZero() && !returned && v.Now.Before(l.Released.Add(releaseWindow)) && standby.Liveness == Alive:
		return fmt.Sprintf("was given up for %s by order", c.Standby), RuleOrder, false
	case there && standby.Liveness == AgentLost && !v.Wire[lim].Silent:
		return fmt.Sprintf("the agent of %s, where it ran, is silent; waits for the alias to fall silent", c.Standby), RuleTakeover, true
	case there && standby.Liveness == Unheard && v.Now.Before(v.graceEnd()):
		return fmt.Sprintf("last ran on %s, which was not heard yet; waits for it until %s", c.Standby, clock(v.graceEnd())), RuleStart, false
	case there && standby.Liveness == Gone && v.Isolated:
		return "this server hears nobody; it takes nothing over", RuleIsolated, false
	case there && standby.Liveness == Gone && v.Rejoined:
		return rejoinedWords(c.Standby), RuleIsolated, false
	case v.behind() != "":
		return "waits for the newest cluster document: " + v.behind(), RuleRevision, false
	case there && v.frozen(c) && !theirs.Released && !theirs.Waiting:
		return fmt.Sprintf("ran on %s last; %s", c.Standby, c.FrozenWords()), RuleFreeze, false
	case there && v.unfitHere(lim) != "" && !theirs.Released && !theirs.Waiting && !standby.servesAnother(lim):
		return fmt.Sprintf("%s, and takes it over from nobody; it ran on %s last", v.unfitHere(lim), c.Standby), RuleUnfit, false
	case v.retryPending(l):
		return v.failedHere(l), RuleSoftware, false
	}
	return "", "", false
}

// standbyUnfit returns why a LIM that runs here cannot move to the standby; "": it can.
func (v *View) standbyUnfit(c *clusterconf.Cluster, lim int, standby Peer) string {
	switch {
	case leaves(c, lim):
		return "it leaves cluster " + c.Name
	case v.drained(c.Standby) != "":
		return v.drained(c.Standby)
	case standby.Liveness != Alive || standby.Claim == nil:
		return c.Standby + " does not answer"
	case standby.Claim.Parked:
		return "the agent of " + c.Standby + " is stopped"
	case standby.Claim.Leaving:
		return "the agent of " + c.Standby + " is stopping"
	case !standby.Claim.Settled || standby.Claim.Isolated:
		return c.Standby + " is not ready"
	case v.lacksArbiter(standby):
		return c.Standby + " does not reach the arbiter"
	case standby.Claim.LIM(lim).State.Active():
		return upOn(standby.Claim.LIM(lim).State, c.Standby)
	}
	if why := standby.Claim.LIM(lim).Unable; why != "" {
		return fmt.Sprintf("its software cannot start on %s: %s", c.Standby, why)
	}
	mine := c.Member(lim)
	for _, other := range standby.Claim.LIMs {
		m := c.Member(other.LIM)
		switch {
		case other.LIM == lim || !other.State.Active() || m == nil:
		case v.lockedTo(c, other.LIM) == clusterconf.SideStandby:
			return fmt.Sprintf("%s runs LIM %d, which is %s", c.Standby, other.LIM, lockWords(c, other.LIM))
		case m.Priority <= mine.Priority:
			return fmt.Sprintf("%s runs LIM %d", c.Standby, other.LIM)
		}
	}
	return ""
}

// standbyUnready returns why a LIM that can move to the standby should wait; "": it need not.
func (v *View) standbyUnready(c *clusterconf.Cluster, lim int, standby Peer) string {
	theirs := standby.Claim.LIM(lim)
	if why := notFit(c.Standby, theirs); why != "" {
		return why
	}
	if theirs.State == Failed {
		return fmt.Sprintf("it failed on %s: %s", c.Standby, theirs.whyFailed())
	}
	if why := v.stillLoads(lim, theirs, c.Standby); why != "" {
		return why
	}
	return v.lacksData(lim, theirs, c.Standby)
}

// contest settles two live claims of one LIM (design rule 6): the side that a lock or
// splitBrainStop names stops. It reports whether that is this side. Only a server with the alias is
// a rival: one that starts, or that a new run found in its state file, has yet to check whether it
// may.
func (v *View) contest(c *clusterconf.Cluster, lim int, side clusterconf.Side, other string, p Peer) (lost bool, why string) {
	if !p.holds(lim) || v.yields(c, lim) != side {
		return false, ""
	}
	return true, fmt.Sprintf("runs on %s too (term %d); the %s side stops", other, p.Claim.LIM(lim).Term, side)
}

// outranks reports whether a LIM that is active here without the alias takes precedence over the
// other side's claim.
func (v *View) outranks(c *clusterconf.Cluster, l Local, theirs LIMClaim, side clusterconf.Side) bool {
	switch {
	case !l.State.Active() || theirs.Holds:
		return false
	case v.lockedTo(c, theirs.LIM) != "":
		return v.lockedTo(c, theirs.LIM) == side
	case l.Term != theirs.Term:
		return l.Term > theirs.Term
	}
	return v.yields(c, theirs.LIM) != side
}

// known returns where a LIM last ran, by the highest known term.
func (v *View) known(lim int) Place {
	best := v.LIMs[lim].Known
	for _, p := range v.Peers {
		if p.Claim != nil {
			best = best.Later(p.Claim.LIM(lim).Known)
		}
	}
	return best
}

// holdingTerm returns the term of a LIM that goes on running here: its own, or one above a higher
// known term, so that the running claim is the latest. Until the server with the higher term claims
// itself that it has stopped, the term is not raised: two sides that hear of each other through a
// third one would raise it without end.
func (v *View) holdingTerm(lim int, l Local) uint64 {
	known := v.known(lim)
	rival := v.Peers[known.Server]
	switch {
	case l.Term == 0, known.Term > l.Term && known.Server == v.Self:
		return known.Term + 1
	case known.Term < l.Term, known.Server == v.Self:
		return l.Term
	case rival.Liveness != Alive, rival.active(lim), rival.Claim.LIM(lim).Known.Term < known.Term:
		return l.Term
	}
	return known.Term + 1
}

// order returns the pending order of a kind for a LIM; nil: none.
func (v *View) order(kind Kind, lim int) *Order {
	for i := range v.Orders {
		o := &v.Orders[i]
		if o.Kind == kind && o.LIM == lim && v.Now.Before(o.Expires) {
			return o
		}
	}
	return nil
}

// graceEnd is when this agent stops waiting for servers that it has never heard.
func (v *View) graceEnd() time.Time { return v.Started.Add(v.StartGrace) }

func (v *View) retryPending(l Local) bool { return v.Now.Before(l.RetryAt) }

func (v *View) failedHere(l Local) string {
	if l.State == Failed {
		return fmt.Sprintf("failed here: %s; next try at %s", l.Failure, clock(l.RetryAt))
	}
	return l.Failure
}

// clock formats a time of day. Reasons contain times and not durations, which would change with
// every decision.
func clock(t time.Time) string { return t.UTC().Format("15:04:05") + "Z" }

func (d Decision) with(w Want, r Rule, reason string) Decision {
	d.Want, d.Rule, d.Reason = w, r, reason
	return d
}
