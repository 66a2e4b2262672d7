package agent

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"mxcluster/internal/failover"
	"mxcluster/internal/netfiles"
	"mxcluster/netops"
)

// copies finds aliases that are present on this server and should not be, and removes them.
type copies struct {
	*core
	lims   *lims
	peers  *peers
	all    []netops.Address // the server's addresses, as last listed
	failed bool             // the last listing failed
	adders map[int]*adder   // by LIM
}

// look lists all addresses of this server.
func (c *copies) look() {
	all, err := c.deps.Kernel.Addresses("")
	if err != nil {
		if !c.failed {
			c.log.Error("looking at all addresses of this server", "err", err)
		}
		c.failed = true
		return // the known ones remain; the next event or second lists them again
	}
	c.all, c.failed = all, false
}

// tend handles every alias that somebody else has added to this server, on any interface: it is
// denied already, and is removed if its LIM is active elsewhere.
func (c *copies) tend(now time.Time) {
	if c.suspicious() {
		c.look() // an alias may have been given up since
	}
	for _, cluster := range c.doc.Clusters {
		for _, m := range cluster.LIMs {
			places := found(c.all, m.Alias.Addr())
			if len(places) > 0 || c.adders[m.LIM] != nil {
				c.tendAlias(m.LIM, m.Alias, places, now)
			}
		}
	}
	for n := range c.adders {
		if !c.aliasOf(n).IsValid() {
			delete(c.adders, n)
		}
	}
}

// suspicious reports whether an alias seems to be where it should not be.
func (c *copies) suspicious() bool {
	for _, cluster := range c.doc.Clusters {
		for _, m := range cluster.LIMs {
			places := found(c.all, m.Alias.Addr())
			if len(places) == 0 {
				continue
			}
			s := c.aliasState(m.LIM, m.Alias)
			if slices.ContainsFunc(places, func(at place) bool { return s.judge(at) != belongs }) {
				return true
			}
		}
	}
	return false
}

func (c *copies) tendAlias(number int, alias netip.Prefix, places []place, now time.Time) {
	s := c.aliasState(number, alias)
	what, at := s.judgeAll(places)
	d := c.adders[number]
	if d == nil {
		if what == belongs {
			return
		}
		d = &adder{}
		if c.adders == nil {
			c.adders = map[int]*adder{}
		}
		c.adders[number] = d
	}
	d.there = what != belongs
	switch {
	case d.there:
		d.seen(now, at, s, what)
		if what == isTakenOff && !now.Before(d.next) {
			c.takeOff(number, d, now)
		}
	case !d.told(now):
		delete(c.adders, number)
		return
	}
	c.lookForAdder(number, alias.Addr(), d, now)
}

// takeOff removes copies of an alias.
func (c *copies) takeOff(number int, d *adder, now time.Time) {
	for _, at := range d.places {
		if err := c.deps.Kernel.Drop(at.ifname, at.prefix); err != nil {
			c.log.Error("taking a copy of an alias off", "lim", number, "interface", at.ifname, "address", at.prefix, "err", err)
			d.next = now.Add(copyFirst)
			return
		}
		c.journal.alias(number, at.prefix.Addr(), "copy", fmt.Sprintf("%s was on %s, though LIM %d is %s; it was taken off", at.prefix, at.ifname, number, d.where(c.cfg.Server)))
	}
	d.takenOff(now)
	d.there = false
	c.look()
}

// where words where the LIM is active.
func (d *adder) where(here string) string {
	switch {
	case d.active != "":
		return "active on " + d.active
	case d.fate == isTakenOff:
		return "active on " + here + ", which has the alias already"
	}
	return "not known to be active on any server"
}

// aliasState gathers what is known of an alias.
func (c *copies) aliasState(number int, alias netip.Prefix) aliasState {
	s := aliasState{alias: alias, ifname: c.net.ifname}
	if l := c.lims.all[number]; l != nil {
		s.ours, s.taking = l.alias.holds || l.alias.former || l.alias.absent, l.alias.taking
		s.active = l.alias.holds && l.alias.blocked == "" || l.alias.former
	}
	if !s.active {
		s.elsewhere = c.activeElsewhere(number)
	}
	return s
}

// activeElsewhere returns another server that is alive and claims to run the LIM with its alias
// visible; "": none.
func (c *copies) activeElsewhere(number int) string {
	var servers []string
	if r := c.doc.RegularOf(number); r != nil {
		servers = append(servers, r.Name)
	}
	if c := c.doc.ClusterOfLIM(number); c != nil {
		servers = append(servers, c.Standby)
	}
	for _, name := range servers {
		p := c.peers.all[name]
		if name == c.cfg.Server || p == nil || p.Claim == nil || p.Liveness != failover.Alive {
			continue
		}
		if claim := p.Claim.LIM(number); claim.State.Active() && claim.Holds && !claim.Blocked {
			return name
		}
	}
	return ""
}

// lookForAdder searches, beside the main loop, for the file that makes the system add an alias
// here.
func (c *copies) lookForAdder(number int, alias netip.Addr, d *adder, now time.Time) {
	if c.deps.Files == nil || d.asked || now.Sub(d.files) < lookForFiles {
		return
	}
	d.asked = true
	c.wg.Go(func() {
		all, err := netfiles.Find(c.deps.Files, alias)
		c.post(func() {
			d.asked, d.files = false, time.Now()
			if err != nil {
				c.log.Warn("looking for what brings an alias up", "lim", number, "alias", alias, "err", err)
			}
			if d.by = ""; len(all) > 0 {
				d.by = all[0].String()
			}
		})
	})
}

// words describes the file that was found, and the remedy.
func (d *adder) words(alias netip.Addr, here string) string {
	var at []string
	for _, p := range d.places {
		at = append(at, fmt.Sprintf("%s as %s", p.ifname, p.prefix))
	}
	slices.Sort(at)
	text := fmt.Sprintf("%s was brought up on %s of %s; the LIM is %s", alias, strings.Join(at, ", "), here, d.where(here))
	switch {
	case d.fate == stays:
		text += "; it is kept off the wire"
	case d.times > 2:
		text += "; it is taken off again and again"
	}
	if d.by != "" {
		return text + "; " + d.by
	}
	return text + "; find what adds it"
}

// misplaced lists the LIMs whose alias is present here and should not be, for the claim.
func (c *copies) misplaced() []int {
	var all []int
	for number, d := range c.adders {
		if d.there {
			all = append(all, number)
		}
	}
	slices.Sort(all)
	return all
}
