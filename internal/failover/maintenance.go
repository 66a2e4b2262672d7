package failover

import (
	"fmt"
	"slices"

	"mxcluster/clusterconf"
)

// drained says that a server is drained: nothing is started there; "": it is not. A drain
// lasts until it is taken back, whatever end people had in mind.
func (v *View) drained(server string) string {
	s := v.Document.Server(server)
	if s == nil {
		return ""
	}
	return s.DrainedWords()
}

// frozen reports whether no LIM of a cluster moves by itself now.
func (v *View) frozen(c *clusterconf.Cluster) bool { return c.FrozenAt(v.Now) }

// keptByFreeze reports whether a freeze keeps this standby from starting a LIM: it would
// move here by itself. What was ordered moves, and what ran here last is only started
// again.
func (v *View) keptByFreeze(c *clusterconf.Cluster, lim int, rule Rule, p Peer, said bool) bool {
	ordered := said || rule == RuleOrder && (p.Claim == nil || !p.Claim.Leaving)
	return v.frozen(c) && !ordered && v.known(lim).Server != v.Self
}

// keepIncumbent has only orders cost the LIM that the standby of a frozen cluster runs its
// place; it returns the bids that are left, and what becomes of the others.
func (v *View) keepIncumbent(c *clusterconf.Cluster, bids []bid) ([]bid, []Decision) {
	i := slices.IndexFunc(bids, func(b bid) bool { return b.incumbent })
	if i < 0 || !v.frozen(c) {
		return bids, nil
	}
	var left []bid
	var out []Decision
	for _, b := range bids {
		if b.incumbent || b.decision.Rule == RuleOrder {
			left = append(left, b)
			continue
		}
		d := b.decision.with(Stop, RuleFreeze, fmt.Sprintf("%s; waits, %s", b.decision.Reason, bids[i].occupies()))
		d.Waiting = true
		out = append(out, d)
	}
	return left, out
}

// windowWords says a window as part of a sentence.
func windowWords(w clusterconf.Window) string {
	return fmt.Sprintf("%02d:%02d to %02d:%02d", w.From/60, w.From%60, w.To/60, w.To%60)
}
