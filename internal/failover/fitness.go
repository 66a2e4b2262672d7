package failover

import (
	"cmp"
	"fmt"
	"time"

	"mxcluster/clusterconf"
)

// Fitness is what the checks of a LIM say of a server. The zero value is that of a LIM
// without checks, and of a server that passes them.
type Fitness struct {
	Unfit     string    // why it is unfit, as the check that failed says it; "": it is not
	Unchecked string    // why nobody knows; "": it is known
	Failing   string    // what failed the last time, though that does not count yet; "": nothing
	Since     time.Time // when it became fit again; zero: it never was unfit

	failed, passed int // in a row
}

// How many results in a row change what counts: one hiccup moves nothing.
const (
	unfitAfter = 3
	fitAfter   = 2
)

// Unproven is the fitness of a server whose checks have not run yet.
func Unproven() Fitness { return Fitness{Unchecked: "its checks have not run yet"} }

// Next is the fitness after one more run of the checks: what failed, or else why that could
// not be seen; "" twice: they passed.
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

// unfitWords says that a server is unfit to run a LIM; "": it is fit, or nobody knows.
func unfitWords(server, why string) string {
	if why == "" {
		return ""
	}
	return server + " is unfit: " + why
}

// notFit says why a LIM had better not be moved to a server by the checks there; "": it is fit.
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

// unfitHere does so of this server.
func (v *View) unfitHere(lim int) string { return unfitWords(v.Self, v.LIMs[lim].Fitness.Unfit) }

// keptByUnfitness says why this standby does not start a LIM that its own server cannot
// serve: it is unfit. What ran here last is started again, and what people moved here, or what was
// given up for this server a moment before it became unfit, has no other place.
func (v *View) keptByUnfitness(lim int, rule Rule, p Peer, said bool) string {
	given := rule == RuleOrder && !p.Claim.Leaving
	if said || given || v.known(lim).Server == v.Self {
		return ""
	}
	return v.unfitHere(lim)
}

// leaveUnfit decides whether a LIM moves from its regular server, which is unfit, to the standby:
// as a planned move, and never at the cost of another LIM. Blocked is what keeps it from moving.
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

// leaveUnfitStandby decides whether a LIM moves home from an unfit standby: whatever the fallback type, and
// otherwise as an automatic fallback does.
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
