package agent

import (
	"fmt"
	"slices"
	"time"

	"mxcluster/internal/failover"
)

const (
	knownRuns    = 4                // runs of one server's agent that are remembered
	nameTwiceFor = 30 * time.Second // how long after its last sign a second machine counts as present
	basePeriod   = time.Second      // between announcements of a base that another station uses
	firstFor     = 10 * time.Second // after the first machine's last word, when the second one's counts
)

// noteRun records the run of a server's agent. A former run that is heard again after a later one
// is no restart: both are alive, and the number of its states exceeds those of the other, of which
// it has heard.
func (p *peer) noteRun(c *failover.Claim, at time.Time) {
	if p.Claim == nil || at.IsZero() {
		return
	}
	if slices.Contains(p.runs, c.Run) {
		p.duplicateSeen = at
		p.bothMACs = fmt.Sprintf("%s and %s", min(c.MAC, p.Claim.MAC), max(c.MAC, p.Claim.MAC))
	}
	if !slices.Contains(p.runs, p.Claim.Run) {
		p.runs = append(p.runs, p.Claim.Run)
	}
	p.runs = p.runs[max(0, len(p.runs)-knownRuns):]
}

// baseUser returns the MAC address of another station, such as a clone, that used this server's
// base address lately, and when it last did; "": there is none.
func (a *link) baseUser(now time.Time) (mac string, at time.Time) {
	c := a.net.detector.BaseUsed()
	if c.At.IsZero() || now.Sub(c.At) >= nameTwiceFor || a.macs.has(c.MAC) {
		return "", time.Time{}
	}
	return c.MAC, c.At
}

// keepBase announces this server's base address while another station uses it, and for some time
// after, if an alias is active here. Otherwise the others' packets would go to that station, and
// they would hear its word only. A server without an active alias leaves the base to the other, so
// that the two do not compete.
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

// fromSecond reports whether a claim is to be ignored: it comes from the second of two machines
// with one server's name, and the first one has an alias.
func (p *peer) fromSecond(c *failover.Claim, at time.Time) bool {
	return p.Claim != nil && !p.duplicateSeen.IsZero() && at.Sub(p.duplicateSeen) < nameTwiceFor &&
		hasAlias(p.Claim) && !hasAlias(c) && at.Sub(p.claimed) < firstFor
}

func hasAlias(c *failover.Claim) bool {
	return slices.ContainsFunc(c.LIMs, func(l failover.LIMClaim) bool { return l.Holds })
}
