package failover

import (
	"fmt"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/lineage"
)

// fallback decides whether a LIM leaves the standby for its regular server.
func (v *View) fallback(c *clusterconf.Cluster, m clusterconf.Member, d Decision, regular string, p Peer) (bool, Decision) {
	blocked := v.fallbackBlockedBy(m.LIM, regular, p)
	order := v.order(Fallback, m.LIM)
	d.BlockedBy = blocked
	locked := v.lockedTo(c, m.LIM)
	switch {
	case locked == clusterconf.SideStandby:
		d.BlockedBy = append([]string{lockWords(c, m.LIM)}, blocked...)
		return false, d.with(Run, RuleLock, d.BlockedBy[0])
	case order != nil && (len(blocked) == 0 || order.Now && p.Liveness == Alive && v.drained(regular) == ""):
		d.Release = true
		return true, v.noteFallback(d.with(Stop, RuleOrder, fmt.Sprintf("falls back to %s by order", regular)))
	case v.frozen(c):
		d.BlockedBy = append([]string{c.FrozenWords()}, blocked...)
		return false, d.with(Run, RuleFreeze, d.BlockedBy[0])
	case v.drained(v.Self) != "" && len(blocked) == 0:
		d.Release = true
		return true, v.noteFallback(d.with(Stop, RuleDrain, fmt.Sprintf("%s; falls back to %s, which is ready", v.drained(v.Self), regular)))
	case locked == clusterconf.SideRegular:
		back, d := lockedHome(c, d, regular)
		return back, v.noteFallback(d)
	case v.drained(v.Self) != "":
		return false, d.with(Run, RuleDrain, fmt.Sprintf("%s; runs here until %s is ready: %s", v.drained(v.Self), regular, blocked[0]))
	case v.unfitHere(m.LIM) != "":
		return v.leaveUnfitStandby(c, d, regular, p)
	case c.Fallback == clusterconf.FallbackAutomatic:
		return v.automatic(c, d, regular, p)
	case len(blocked) > 0:
		return false, d.with(Run, RuleTakeover, blocked[0])
	}
	return false, d.with(Run, RuleFallback, fmt.Sprintf("%s is ready; fallback is manual", regular))
}

// automatic decides about an automatic fallback.
func (v *View) automatic(c *clusterconf.Cluster, d Decision, regular string, p Peer) (bool, Decision) {
	l := v.LIMs[d.LIM]
	hold := l.Flaps.Hold(v.FirstHold)
	heldUntil := p.upSince(d.LIM).Add(hold)
	switch {
	case l.Suspended.Why != "" && (p.Claim == nil || p.Claim.Run == l.Suspended.Run):
		d.BlockedBy = append([]string{fmt.Sprintf("%s; `mxcluster fallback %d` tries again", l.Suspended.Why, d.LIM)}, d.BlockedBy...)
		return false, d.with(Run, RuleFallback, d.BlockedBy[0])
	case len(d.BlockedBy) > 0:
		if hold > 0 {
			d.BlockedBy = append(d.BlockedBy, fmt.Sprintf("then it must stay up for %s: %s", hold, l.Flaps.words(regular)))
		}
		return false, d.with(Run, RuleTakeover, d.BlockedBy[0])
	case p.Claim.LIM(d.LIM).Released && v.unfitHere(d.LIM) == "":
		return false, d.with(Run, RuleOrder, fmt.Sprintf("was moved here by order; stays until `fallback %d` or until the agent of %s starts anew", d.LIM, regular))
	case v.Now.Before(heldUntil):
		d.HeldUntil, d.HeldWhy = heldUntil, l.Flaps.words(regular)
		return false, d.with(Run, RuleFlapping, fmt.Sprintf("falls back to %s at %s, if that stays up: %s", regular, clock(heldUntil), d.HeldWhy))
	}
	if opens := c.FallbackWindow.Opens(v.Now); opens.After(v.Now) {
		d.HeldUntil, d.HeldWhy = opens, fmt.Sprintf("cluster %s falls back from %s only", c.Name, windowWords(c.FallbackWindow))
		return false, d.with(Run, RuleWindow, fmt.Sprintf("%s is ready; falls back at %s: automatic fallback is from %s", regular, clock(opens), windowWords(c.FallbackWindow)))
	}
	d.Release = true
	return true, v.noteFallback(d.with(Stop, RuleFallback, fmt.Sprintf("falls back to %s, which is ready", regular)))
}

// upSince returns since when a server is up and fit for a LIM, as far as known. A restart that is
// faster than the silence limit counts as well.
func (p Peer) upSince(lim int) time.Time {
	since := p.Since
	for _, t := range []time.Time{p.RunSince, p.Claim.LIM(lim).FitSince} {
		if t.After(since) {
			since = t
		}
	}
	return since
}

// noteFallback records the time of a fallback, and ends a suspension.
func (v *View) noteFallback(d Decision) Decision {
	if d.Release {
		f := v.LIMs[d.LIM].Flaps
		f.FellBack = v.Now
		d.Flaps, d.Suspended = &f, &Suspension{}
	}
	return d
}

// noteFailure records the failure of a regular server when the standby takes over because of it: it
// counts if it came soon after a fallback, and if the LIM was never active since, the fallback
// itself has failed.
func (v *View) noteFailure(d Decision, regular string, p Peer) Decision {
	l := v.LIMs[d.LIM]
	f := l.Flaps.failed(v.Now)
	d.Flaps = &f
	if !l.Released.IsZero() && p.Liveness == Alive {
		d.Suspended = &Suspension{Run: p.Claim.Run, Why: fmt.Sprintf("the fallback to %s at %s failed: %s", regular, clock(l.Released), p.Claim.LIM(d.LIM).whyFailed())}
	}
	return d
}

// fallbackBlockedBy returns what keeps a regular server from taking its LIM back.
func (v *View) fallbackBlockedBy(lim int, regular string, p Peer) []string {
	switch {
	case p.Liveness == Gone:
		return []string{v.goneWords(regular)}
	case p.Claim != nil && (p.Claim.Parked || p.Claim.Leaving && p.Liveness != Alive):
		return []string{"the agent of " + regular + " is stopped"}
	case p.Liveness != Alive || p.Claim == nil:
		return []string{"the agent of " + regular + " does not answer"}
	case p.Claim.Leaving:
		return []string{"the agent of " + regular + " is stopping"}
	}
	var out []string
	if why := v.drained(regular); why != "" {
		out = append(out, why)
	}
	theirs := p.Claim.LIM(lim)
	if !p.Claim.Settled || p.Claim.Isolated {
		out = append(out, regular+" is not ready yet")
	}
	if v.lacksArbiter(p) {
		out = append(out, regular+" does not reach the arbiter")
	}
	if p.Claim.Lacks(v.Document) {
		out = append(out, fmt.Sprintf("%s has revision %d of the cluster document, not %d", regular, p.Claim.Revision, v.Document.Revision))
	}
	if theirs.State.Active() {
		out = append(out, upOn(theirs.State, regular))
	}
	if why := v.stillLoads(lim, theirs, regular); why != "" {
		out = append(out, why)
	}
	if theirs.Unable != "" {
		out = append(out, fmt.Sprintf("its software cannot start on %s: %s", regular, theirs.Unable))
	}
	if why := notFit(regular, theirs); why != "" {
		out = append(out, why)
	}
	if theirs.State == Failed {
		out = append(out, fmt.Sprintf("it failed on %s: %s", regular, theirs.whyFailed()))
	}
	if why := v.lacksData(lim, theirs, regular); why != "" {
		out = append(out, why)
	}
	return out
}

// lacksData words that a LIM which runs here has newer or conflicting data, compared with the
// server that it would move to; "": it has not.
func (v *View) lacksData(lim int, theirs LIMClaim, there string) string {
	mine := v.LIMs[lim].Data
	if mine == nil {
		return ""
	}
	switch mine.Order(theirs.Data) {
	case lineage.Newer:
		return fmt.Sprintf("%s lacks data version %s", there, mine.Version)
	case lineage.Apart:
		return fmt.Sprintf("the data here and on %s are in conflict: %s and %s do not follow each other", there, mine.Version, theirs.Data.Version)
	}
	return ""
}
