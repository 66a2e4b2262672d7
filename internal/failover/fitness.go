package failover

import (
	"cmp"
	"fmt"
	"time"

	"mxcluster/clusterconf"
)

// Fitness is the result of a LIM's checks on a server. The zero value is that of a LIM without
// checks, and of a server that passes them.
type Fitness struct {
	Unfit     string    // output of the check that failed, if the server counts as unfit; "": it does not
	Unchecked string    // why the fitness is unknown; "": it is known
	Failing   string    // output of the last check that failed, if it does not count yet; "": none
	Since     time.Time // when it became fit again; zero: it never was unfit

	failed, passed int // in a row
}

// How many equal results in a row change the fitness.
const (
	unfitAfter = 3
	fitAfter   = 2
)

// Unproven is the fitness of a server whose checks have not run yet.
func Unproven() Fitness { return Fitness{Unchecked: "its checks have not run yet"} }

// Next returns the fitness after one more run of the checks: which one failed, or else why that is
// unknown; both "": they passed.
func (f Fitness) Next(failed, unknown string, now time.Time) Fitness {
	if failed == "" && unknown == "" {
		f.failed, f.Failing = 0, ""
		f.passed++
		switch {
		case f.Unfit == "":
			f.Unchecked = ""
		case f.passed >= fitAfter:
			f.Unfit, f.Unchecked, f.Since = "", "", now
		}
		return f
	}
	f.passed = 0
	f.failed++
	switch {
	case f.failed < unfitAfter && f.Unfit == "":
		f.Failing = cmp.Or(failed, unknown)
	case failed != "":
		f.Unfit, f.Failing, f.Unchecked = failed, "", ""
	case f.Unfit == "":
		f.Failing, f.Unchecked = "", unknown
	}
	return f
}

// unfitWords words that a server is unfit to run a LIM; "": it is fit, or its fitness is unknown.
func unfitWords(server, why string) string {
	if why == "" {
		return ""
	}
	return server + " is unfit: " + why
}

// notFit returns why a LIM should not move to a server because of its checks there; "": it may.
func notFit(server string, theirs LIMClaim) string {
	switch {
	case theirs.Unfit != "":
		return unfitWords(server, theirs.Unfit)
	case theirs.Unchecked != "":
		return "whether " + server + " is fit is not known: " + theirs.Unchecked
	case theirs.Failing != "":
		return "whether " + server + " is fit is not sure: " + theirs.Failing
	}
	return ""
}

// unfitHere does so for this server.
func (v *View) unfitHere(lim int) string { return unfitWords(v.Self, v.LIMs[lim].Fitness.Unfit) }

// keptByUnfitness returns why this unfit standby does not start a LIM that its own server cannot
// run; "": it does. A LIM that ran here last is started again, and so is one that was moved here by
// order, or given up for this server a moment ago.
func (v *View) keptByUnfitness(lim int, rule Rule, p Peer, said bool) string {
	given := rule == RuleOrder && !p.Claim.Leaving
	if said || given || v.known(lim).Server == v.Self {
		return ""
	}
	return v.unfitHere(lim)
}

// leaveUnfit decides whether a LIM moves from its unfit regular server to the standby: as a planned
// move, and never at the cost of another LIM. blocked is what keeps it from moving.
func (v *View) leaveUnfit(c *clusterconf.Cluster, d Decision, unfit, blocked string) Decision {
	if other := Evicts(*v, c, d.LIM); other != 0 {
		blocked = cmp.Or(blocked, fmt.Sprintf("%s runs LIM %d", c.Standby, other))
	}
	if blocked == "" {
		d.Release = true
		return d.with(Stop, RuleUnfit, fmt.Sprintf("%s; moves to %s, which is fit and ready", unfit, c.Standby))
	}
	return d.with(Run, RuleUnfit, fmt.Sprintf("%s; runs here all the same: %s", unfit, blocked))
}

// leaveUnfitStandby decides whether a LIM moves home from an unfit standby, whatever its fallback
// type, and otherwise by the rules of automatic fallback.
func (v *View) leaveUnfitStandby(c *clusterconf.Cluster, d Decision, regular string, p Peer) (bool, Decision) {
	why := v.unfitHere(d.LIM)
	back, d := v.automatic(c, d, regular, p)
	if back {
		d.Reason = fmt.Sprintf("%s; falls back to %s, which is fit and ready", why, regular)
	} else {
		d.Reason = why + "; runs here all the same: " + d.Reason
	}
	return back, d
}
