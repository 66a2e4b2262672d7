package agent

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/arpbudget"
	"mxcluster/internal/detector/evidence"
	"mxcluster/internal/fault"
	"mxcluster/internal/netfiles"
	"mxcluster/netops"
)

// link is the interface of this server's base address, and whether anything is heard over
// it. It is of the main loop.
type link struct {
	*core
	aliases *aliases
	lims    *lims
	peers   *peers

	up       bool
	down     time.Time // since when it carries no traffic; zero: it does
	enabled  time.Time // since when the interface is set up; zero: it is down
	mac      string    // of the interface
	macs     ownMACs
	baseKept time.Time // when the base was last announced because another station uses it
	baseGone time.Time // since when the base address is missing; zero: it is there
	index    int       // the kernel's number of the interface; another one is that of an interface that was made anew
	baseOurs bool      // the interface was made anew, and the system does not add the base to it

	gateways   gateways
	silence    silence // what came in, while isolated
	isolation  evidence.Isolation
	heardAgain time.Time // when that ended last
}

// baseGrace is how long the operating system has, after an interface was set up, to
// add the base address before the agent does: ifup and its like fail where an address
// is there already.
const baseGrace = 5 * time.Second

// baseGrace6 is that of an IPv6 base: the kernel itself takes those off an interface that
// is set down, so that often nobody is about to add it.
const baseGrace6 = 500 * time.Millisecond

// baseSettle is how long a base address must be missing on an interface that is set up
// before it is added: ifdown takes the address off and sets the interface down then.
const baseSettle = 250 * time.Millisecond

// mostMACs bounds what is kept of former MAC addresses, and what travels of all.
const mostMACs = 16

// ownMACs are the MAC addresses that this server has, and had since the agent started,
// the latest last: what is heard from them is no stranger's.
type ownMACs struct{ all []string }

func (m *ownMACs) note(mac net.HardwareAddr) {
	text := mac.String()
	if len(mac) != 6 || slices.Max(mac) == 0 || slices.Contains(m.all, text) {
		return
	}
	m.all = append(m.all, text)
	m.all = m.all[max(len(m.all)-mostMACs, 0):]
}

func (m *ownMACs) has(mac string) bool { return slices.Contains(m.all, mac) }

func (m *ownMACs) list() []string { return slices.Clone(m.all) }

// note notes what the interface is like now. One that was set up gives the system
// some time to add its addresses; a new MAC address is told to everybody at once.
func (a *link) note(link netops.Link) {
	remade := link.Index != a.index
	switch {
	case !link.Enabled:
		a.enabled = time.Time{}
	case remade, a.enabled.IsZero():
		a.enabled = time.Now()
	}
	if remade {
		a.index = link.Index
		a.lookForBaseAdder()
	}
	if all, err := a.deps.Kernel.Links(); err == nil {
		for _, l := range all {
			a.macs.note(l.MAC)
		}
	}
	a.macs.note(link.MAC) // the latest
	a.net.detector.SetMACs(a.cfg.Server, a.macs.list())
	if mac := link.MAC.String(); mac != a.mac {
		was := a.mac
		a.mac = mac
		a.journal.agent("mac", fmt.Sprintf("the MAC address of %s is %s now; it was %s", a.net.ifname, mac, was))
		a.aliases.announceAll()
		a.announceBase()
	}
}

// announceBase tells everybody where the base address is, beside the main loop. A
// failed send is a link that is down: it is told when that comes back, by the kernel.
func (a *link) announceBase() {
	n, base := a.net, a.net.base.Addr()
	a.wg.Go(func() {
		if n.budget.Await(a.ctx, arpbudget.Packets(base), arpbudget.Plain) {
			_ = n.wire.Announce(base)
		}
	})
}

// ensureBases adds the base addresses of this server where they are missing, unless
// its interface is down: then it is not the time to add anything.
func (a *link) ensureBases(self *clusterconf.Server, bases []netip.Prefix) error {
	link, err := a.deps.Kernel.Link(self.Interface)
	if err != nil {
		return err
	}
	for _, base := range bases {
		if link.Enabled {
			err = a.deps.Kernel.EnsureBase(link.Name, base)
		} else if here, seen := a.onInterface(link.Name, base); seen != nil {
			err = seen
		} else if !here {
			err = fault.New(fault.Failed, fmt.Sprintf("ip link set %s up", link.Name), "interface %s is down, and does not have %s", link.Name, base)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// missingBase returns a base address of this server that its interface does not have;
// the zero prefix: it has all.
func (a *link) missingBase() (netip.Prefix, error) {
	for _, base := range bases(a.doc, a.doc.Server(a.cfg.Server)) {
		if here, err := a.onInterface(a.net.ifname, base); err != nil || !here {
			return base, err
		}
	}
	return netip.Prefix{}, nil
}

// onInterface reports whether an interface has an address.
func (a *link) onInterface(ifname string, p netip.Prefix) (bool, error) {
	all, err := a.deps.Kernel.Addresses(ifname)
	return slices.ContainsFunc(all, func(x netops.Address) bool { return x.Prefix == p }), err
}

// tendAddresses adds what is missing of this server's own addresses: the base first,
// then the aliases that were taken off while that could not be done.
func (a *link) tendAddresses(now time.Time) {
	if a.enabled.IsZero() {
		a.baseGone = time.Time{}
		return
	}
	missing, err := a.missingBase()
	switch {
	case err != nil:
		return // check tells
	case !missing.IsValid():
		a.baseGone, a.baseOurs = time.Time{}, false
	case a.baseOurs:
	case a.baseGone.IsZero():
		a.baseGone = now
		wait := max(baseSettle, a.enabled.Add(a.baseGrace()).Sub(now))
		time.AfterFunc(wait, func() { a.post(func() { a.tendAddresses(time.Now()) }) })
		return
	case now.Sub(a.enabled) < a.baseGrace() || now.Sub(a.baseGone) < baseSettle:
		return
	}
	if err := a.ensureBases(a.doc.Server(a.cfg.Server), bases(a.doc, a.doc.Server(a.cfg.Server))); err != nil {
		a.log.Error("making sure of the base address", "base", a.net.base, "err", err)
		return
	}
	a.lims.putBack()
}

// lookForBaseAdder finds out, beside the main loop, whether the system is to add the base
// address to an interface that was made anew. If no file of it says so the agent does at
// once: until then this server serves nobody.
func (a *link) lookForBaseAdder() {
	a.baseOurs = false
	if a.deps.Files == nil {
		return
	}
	index, base := a.index, a.net.base.Addr()
	a.wg.Go(func() {
		all, err := netfiles.Find(a.deps.Files, base)
		a.post(func() {
			if err == nil && len(all) == 0 && a.index == index && a.net.base.Addr() == base {
				a.baseOurs = true
				a.tendAddresses(time.Now())
			}
		})
	})
}

func (a *link) baseGrace() time.Duration {
	if a.net.base.Addr().Is6() {
		return baseGrace6
	}
	return baseGrace
}

// mayAdd reports whether addresses may be added now: the interface is set up, and has
// the base address.
func (a *link) mayAdd() bool {
	link, err := a.deps.Kernel.Link(a.net.ifname)
	if err != nil || !link.Enabled {
		return false
	}
	here, err := a.onInterface(a.net.ifname, a.net.base)
	return err == nil && here
}

// check looks whether the interface carries traffic.
func (a *link) check() {
	link, err := a.deps.Kernel.Link(a.net.ifname)
	if err != nil {
		a.log.Error("looking at the interface", "interface", a.net.ifname, "err", err)
	}
	up := err == nil && link.Up
	if err == nil {
		a.note(link)
	}
	if !up {
		a.net.detector.LinkLost(time.Now())
		a.aliases.blockAll(linkDown) // before it carries traffic again: another server may have them by then
	}
	if up && !a.up {
		a.aliases.announceAll() // clients may have turned to another holder meanwhile
	}
	a.up = up
	switch {
	case up:
		a.down = time.Time{}
	case a.down.IsZero():
		a.down = time.Now()
	}
}
