package agent

import (
	"fmt"
	"slices"
	"time"

	"mxcluster/internal/failover"
)

const (
	knownRuns    = 4                // runs of one server's agent that are told apart
	nameTwiceFor = 30 * time.Second // after the last sign of a second machine there is none any more
	basePeriod   = time.Second      // from one announcement of a base that another station uses to the next
	firstFor     = 10 * time.Second // after the last word of the first one the second one counts
)

// noteRun notes that another run of a server's agent speaks than before. One that is
// heard again after a later one is no restart: its states are numbered above those of
// the other, which it has heard of, so that both live.
func (p *peer) noteRun(c *failover.Claim, at time.Time) {
	if p.Claim == nil || at.IsZero() {
		return
	}
	if slices.Contains(p.runs, c.Run) {
		p.twice = at
		p.bothMACs = fmt.Sprintf("%s and %s", min(c.MAC, p.Claim.MAC), max(c.MAC, p.Claim.MAC))
	}
	if !slices.Contains(p.runs, p.Claim.Run) {
		p.runs = append(p.runs, p.Claim.Run)
	}
	p.runs = p.runs[max(0, len(p.runs)-knownRuns):]
}

// baseUser is the MAC address of another station that has used this server's base lately, as
// a clone of this server does, and when it did last; "": there is none.
func (a *link) baseUser(now time.Time) (mac string, at time.Time) {
	c := a.net.detector.BaseUsed()
	if c.At.IsZero() || now.Sub(c.At) >= nameTwiceFor || a.macs.has(c.MAC) {
		return "", time.Time{}
	}
	return c.MAC, c.At
}

// keepBase announces this server's base while another station uses it, as a clone of this
// server does, and for some time after, while an alias is served here: else what the others
// send to this server goes to that station, and it is the one whose word they hear, out of
// this server's hearing. A server that serves nobody leaves the base to the other one, so
// that two do not outshout each other.
func (a *link) keepBase(now time.Time) {
	mac, at := a.baseUser(now)
	serves := slices.ContainsFunc(a.aliases.holding(), func(x *alias) bool { return x.blocked == "" })
	if !serves || mac == "" || now.Sub(a.baseKept) < basePeriod {
		return
	}
	if at.After(a.baseKept) {
		a.journal.conflict(0, fmt.Sprintf("the base address %s of %s is used by %s, too; it is announced", a.net.base.Addr(), a.cfg.Server, mac))
	}
	a.baseKept = now
	a.announceBase()
}

// second reports whether a claim is to be left aside: it comes from the second of two
// machines that say they are this server, and the first one has an alias.
func (p *peer) second(c *failover.Claim, at time.Time) bool {
	return p.Claim != nil && !p.twice.IsZero() && at.Sub(p.twice) < nameTwiceFor &&
		hasAlias(p.Claim) && !hasAlias(c) && at.Sub(p.claimed) < firstFor
}

func hasAlias(c *failover.Claim) bool {
	return slices.ContainsFunc(c.LIMs, func(l failover.LIMClaim) bool { return l.Holds })
}
