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

// link is the interface of this server's base address: its state, and whether anything is received
// over it. It is owned by the main loop.
type link struct {
	*core
	aliases *aliases
	lims    *lims
	peers   *peers

	up       bool
	down     time.Time // since when it is down; zero: it is up
	enabled  time.Time // since when the interface is enabled; zero: it is not
	mac      string    // of the interface
	macs     ownMACs
	baseKept time.Time // last announcement of the base because another station uses it
	baseGone time.Time // since when the base address is missing; zero: it is not
	index    int       // index of the interface in the kernel; a new one after it was created anew
	baseOurs bool      // the interface was created anew, and the system does not add the base to it

	gateways   gateways
	silence    silence // frames received while isolated
	isolation  evidence.Isolation
	heardAgain time.Time // end of the last isolation
}

// baseGrace is how long the operating system has, after an interface was enabled, to add the base
// address before the agent does: ifup and similar tools fail if the address is present already.
const baseGrace = 5 * time.Second

// baseGrace6 is the same for an IPv6 base: the kernel removes IPv6 addresses from an interface that
// is disabled, so that often nobody adds them again.
const baseGrace6 = 500 * time.Millisecond

// baseSettle is how long a base address must be missing on an enabled interface before it is added:
// ifdown removes the address, and then disables the interface.
const baseSettle = 250 * time.Millisecond

// mostMACs bounds the MAC addresses that are kept and published.
const mostMACs = 16

// ownMACs are the present and former MAC addresses of this server since the agent's start, the
// latest last. Frames with them are not a stranger's.
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

// note records the state of the interface. After it was enabled the system gets time to add its
// addresses; a new MAC address is announced at once.
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

// announceBase announces the base address, beside the main loop. Sending fails on a link that is
// down, and the kernel announces the base when it is up again.
func (a *link) announceBase() {
	n, base := a.net, a.net.base.Addr()
	a.wg.Go(func() {
		if n.budget.Await(a.ctx, arpbudget.Packets(base), arpbudget.Plain) {
			_ = n.wire.Announce(base)
		}
	})
}

// ensureBases adds missing base addresses of this server, unless the interface is down.
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

// missingBase returns a base address that the interface lacks; the zero prefix: none.
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

// tendAddresses adds missing addresses of this server: first the base, then the aliases that were
// removed while this was impossible.
func (a *link) tendAddresses(now time.Time) {
	if a.enabled.IsZero() {
		a.baseGone = time.Time{}
		return
	}
	missing, err := a.missingBase()
	switch {
	case err != nil:
		return // reported by check
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

// lookForBaseAdder checks, beside the main loop, whether the system has a file that adds the base
// address to an interface created anew. If not, the agent adds it at once, as this server serves
// nobody until then.
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

// mayAdd reports whether addresses may be added: the interface is enabled and has the base address.
func (a *link) mayAdd() bool {
	link, err := a.deps.Kernel.Link(a.net.ifname)
	if err != nil || !link.Enabled {
		return false
	}
	here, err := a.onInterface(a.net.ifname, a.net.base)
	return err == nil && here
}

// check checks whether the interface is up.
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
		a.aliases.announceAll() // clients may use another holder meanwhile
	}
	a.up = up
	switch {
	case up:
		a.down = time.Time{}
	case a.down.IsZero():
		a.down = time.Now()
	}
}
