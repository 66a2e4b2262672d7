package agent

import (
	"fmt"
	"time"

	"mxcluster/internal/alarms"
	"mxcluster/internal/failover"
)

const inUseFor = 10 * time.Second // how long a failed start because of an alias in use is reported

// alias returns conditions about a LIM's alias that this server holds or wants.
func (a *conditions) alias(number int, l *lim, now time.Time) []alarms.Condition {
	var out []alarms.Condition
	if l.alias.holds && l.alias.split {
		out = append(out, alarms.Condition{Name: alarms.SplitBrain, Severity: alarms.Critical, LIM: number, Server: a.cfg.Server,
			Text: fmt.Sprintf("another server has the alias %s too; it is to give way to %s", l.alias.addr.Addr(), a.cfg.Server)})
	}
	if l.alias.holds && l.alias.announceError != "" {
		out = append(out, alarms.Condition{Name: alarms.AnnounceFailed, Severity: alarms.Warning, LIM: number, Server: a.cfg.Server,
			Text: fmt.Sprintf("the alias %s could not be announced: %s", l.alias.addr.Addr(), l.alias.announceError)})
	}
	if l.alias.holds && l.alias.foreign.mac != "" {
		out = append(out, alarms.Condition{Name: alarms.AliasInUse, Severity: alarms.Critical, LIM: number, Server: a.cfg.Server,
			Text: fmt.Sprintf("the alias %s is used by %s, too, which is no server of this system; find that host and take the address off it", l.alias.addr.Addr(), l.alias.foreign.mac)})
	}
	// A start that is not retried any more says nothing about now.
	if !l.alias.holds && l.alias.inUse.text != "" && now.Before(l.RetryAt.Add(inUseFor)) {
		out = append(out, alarms.Condition{Name: alarms.AliasInUse, Severity: alarms.Critical, LIM: number, Server: a.cfg.Server,
			Text: l.alias.inUse.text, After: a.inUseDelay(l)})
	}
	return out
}

// inUseDelay is how long an alias may be answered for by another server of the LIM without an
// alarm: the time of its lease.
func (a *conditions) inUseDelay(l *lim) time.Duration {
	if l.alias.inUse.server {
		return 2 * a.cfg.Lease
	}
	return 0
}

// block returns the condition of a passive side that answers for the alias in spite of its block.
func (a *conditions) block(l *lim) []alarms.Condition {
	if l.alias.otherBlock.result != failover.BlockAnswered {
		return nil
	}
	_, name := failover.Yields(a.view(time.Now()), l.number)
	return []alarms.Condition{{Name: alarms.AddressTwice, Severity: alarms.Critical, LIM: l.number, Server: name,
		Text: fmt.Sprintf("%s says that it keeps the alias %s off the wire, and answers for it; look at `nft list ruleset` there", name, l.alias.addr.Addr())}}
}

// rival returns conditions about frames with a server's MAC address that are not that server's.
func (a *conditions) rival(l *lim, now time.Time) []alarms.Condition {
	r := &l.alias.rival
	_, other := failover.Yields(a.view(now), l.number)
	c := alarms.Condition{Name: alarms.MACUsed, Severity: alarms.Warning, LIM: l.number, Server: other}
	const remedy = "look in the switch where that MAC address is, and switch port security and ARP inspection on"
	switch {
	case !l.alias.holds || other == "":
		return nil
	case !r.usedAt.IsZero() && now.Sub(r.usedAt) < usedFor && l.alias.otherBlock.result != failover.BlockAnswered:
		c.Text = fmt.Sprintf("somebody claims the alias %s with %s, the MAC address of %s, which says that it does not have the alias; %s", l.alias.addr.Addr(), r.mac, other, remedy)
	case !r.muteAt.IsZero() && now.Sub(r.muteAt) < 2*rivalPeriod+muteAfter:
		c.After = muteAfter
		c.Text = fmt.Sprintf("the alias %s is claimed with %s, the MAC address of %s, which did not have it when it was last heard and does not answer; %s", l.alias.addr.Addr(), r.mac, other, remedy)
	default:
		return nil
	}
	return []alarms.Condition{c}
}

// copied returns the aliases that are present here and should not be.
func (a *conditions) copied(now time.Time) []alarms.Condition {
	var out []alarms.Condition
	for number, d := range a.copies.adders {
		if !d.told(now) {
			continue
		}
		c := alarms.Condition{Name: alarms.AddressTwice, Severity: alarms.Warning, LIM: number, Server: a.cfg.Server, Text: d.words(a.aliasOf(number).Addr(), a.cfg.Server)}
		if d.fate == stays && d.active == "" { // a LIM that is moving is active nowhere for a moment
			c.After = downAfter
		}
		out = append(out, c)
	}
	return out
}

// standIns returns the hosts that answer ARP for servers, while all is well and there is time to
// correct that.
func (a *conditions) standIns(now time.Time) []alarms.Condition {
	var out []alarms.Condition
	alive := func(server string) bool {
		p := a.peers.all[server]
		return server == a.cfg.Server || p != nil && p.Liveness == failover.Alive
	}
	for _, x := range a.net.detector.StandIns(alive, now) {
		c := alarms.Condition{Name: alarms.AddressProxied, Severity: alarms.Warning, Server: x.Server}
		const remedy = "switch proxy ARP, local proxy ARP or ARP suppression off for this subnet"
		switch s := a.doc.Server(x.Server); {
		case s == nil:
			c.Server = a.cfg.Server
			c.Text = fmt.Sprintf("%s answers ARP for addresses that nobody has, as seen by %s; %s", x.MAC, a.cfg.Server, remedy)
		case x.Proven:
			c.Text = fmt.Sprintf("%s answers ARP for %s, the base address of %s, and for others; its answers do not count as a sign of life; %s", x.MAC, s.Base.Addr(), x.Server, remedy)
		default:
			c.Text = fmt.Sprintf("%s answers ARP for %s, the base address of %s, too, and %s does not have that MAC address; %s, or take the address off that host", x.MAC, s.Base.Addr(), x.Server, x.Server, remedy)
		}
		out = append(out, c)
	}
	return out
}

// nameTwice returns the servers whose name two machines use.
func (a *conditions) nameTwice(now time.Time) []alarms.Condition {
	var out []alarms.Condition
	for name, p := range a.peers.all {
		if p.duplicateSeen.IsZero() || now.Sub(p.duplicateSeen) >= nameTwiceFor || a.doc.Server(name) == nil {
			continue
		}
		out = append(out, alarms.Condition{Name: alarms.NameTwice, Severity: alarms.Critical, Server: name,
			Text: fmt.Sprintf("two machines say that they are %s: %s; take one off the network, or give it a name and an address of its own", name, p.bothMACs)})
	}
	return out
}
