package failover

import (
	"fmt"
	"slices"

	"mxcluster/clusterconf"
)

// drained words that a server is drained, so that nothing is started there; "": it is not. A drain
// lasts until it is ended by order, also beyond the planned end.
func (v *View) drained(server string) string {
	s := v.Document.Server(server)
	if s == nil {
		return ""
	}
	return s.DrainedWords()
}

// frozen reports whether automatic moves in a cluster are suspended.
func (v *View) frozen(c *clusterconf.Cluster) bool { return c.FrozenAt(v.Now) }

// keptByFreeze reports whether a freeze keeps this standby from starting a LIM, as that would be an
// automatic move. Ordered moves are permitted, and so is starting a LIM again that ran here last.
func (v *View) keptByFreeze(c *clusterconf.Cluster, lim int, rule Rule, p Peer, said bool) bool {
	ordered := said || rule == RuleOrder && (p.Claim == nil || !p.Claim.Leaving)
	return v.frozen(c) && !ordered && v.known(lim).Server != v.Self
}

// keepIncumbent lets only orders displace the LIM on the standby of a frozen cluster. It returns
// the remaining bids, and decisions for the others.
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

// windowWords describes a window as part of a sentence.
func windowWords(w clusterconf.Window) string {
	return fmt.Sprintf("%02d:%02d to %02d:%02d", w.From/60, w.From%60, w.To/60, w.To%60)
}
