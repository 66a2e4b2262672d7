package agent

import (
	"net/netip"
	"slices"
	"time"

	"mxcluster/clusterconf"
)

// denyDelay is the time between a change and the update of the denials. An alias that was given up
// is gone from the kernel already, and taking one lifts its denial; reading the rules at that
// moment would delay the taking.
const denyDelay = 50 * time.Millisecond

// denials are the aliases that this server does not hold and that its kernel therefore keeps off
// the wire on all interfaces (see package netops).
type denials struct {
	wanted []netip.Addr // at the last update
	there  []netip.Addr // in the kernel at that time, as read back
	whole  bool         // there are no others
	look   bool         // a change was reported
	due    time.Time    // time of the next update; zero: none is needed
	failed string       // error of the last update; "": none
}

// denyAtStart denies every alias that this server is not known to hold. It comes before everything
// else: aliases that the operating system added at boot are silent from then on at the latest.
func (a *aliases) denyAtStart(doc *clusterconf.Document, kept map[int]persistedLIM, lost bool) {
	if lost {
		return // the kernel's leases show later what this server may hold
	}
	var addrs []netip.Addr
	for _, c := range doc.Clusters {
		for _, m := range c.LIMs {
			was := kept[m.LIM]
			regular := doc.RegularOf(m.LIM)
			first := was.Known.Term == 0 && regular != nil && regular.Name == a.cfg.Server // its base until `create`
			if !was.Active && !first {
				addrs = append(addrs, m.Alias.Addr())
			}
		}
	}
	if len(addrs) > 0 {
		a.noteDenied(a.deps.Kernel.Deny(addrs...))
	}
}

// tendDenials updates the kernel's denials some time after a change. It returns how long to wait
// for that; 0: nothing is due.
func (a *aliases) tendDenials(now time.Time) time.Duration {
	d := &a.denials
	wanted, open := a.deniable()
	lacking := lacks(d.there, wanted)
	if !d.look && d.failed == "" && !lacking && !lacks(slices.Concat(wanted, open), d.there) {
		d.due = time.Time{}
		return 0
	}
	d.whole = d.whole && !lacking
	if d.due.IsZero() {
		d.due = now.Add(denyDelay)
	}
	if wait := d.due.Sub(now); wait > 0 {
		return wait
	}
	a.mendDenials(wanted, open)
	return 0
}

// lacks reports whether one of addrs is not in there.
func lacks(there, addrs []netip.Addr) bool {
	return slices.ContainsFunc(addrs, func(x netip.Addr) bool { return !slices.Contains(there, x) })
}

// mendDenials updates the denials now. Denials of aliases that are being taken are left to the
// operation that takes them.
func (a *aliases) mendDenials(wanted, open []netip.Addr) {
	d := &a.denials
	there, err := a.deps.Kernel.Denied()
	if err == nil {
		missing := slices.DeleteFunc(slices.Clone(wanted), func(x netip.Addr) bool { return slices.Contains(there, x) })
		if len(missing) > 0 {
			if err = a.deps.Kernel.Deny(missing...); err == nil {
				there, err = a.deps.Kernel.Denied()
			}
		}
	}
	there = slices.DeleteFunc(there, func(x netip.Addr) bool {
		if err != nil || slices.Contains(wanted, x) || slices.Contains(open, x) {
			return false
		}
		err = a.deps.Kernel.Unblock(a.net.ifname, x) // held here, or no alias any more
		return err == nil
	})
	d.wanted, d.there, d.look, d.due = wanted, there, false, time.Time{}
	d.whole = err == nil && !lacks(there, wanted)
	a.noteDenied(err)
}

// allowTaken removes the denial of an alias that was just taken, and any block that an earlier run
// or an administrator left. If the kernel's rules cannot be read, no denial was made either.
func (a *aliases) allowTaken(n *network, alias netip.Addr) error {
	err := a.deps.Kernel.Unblock(n.ifname, alias)
	if err == nil {
		return nil
	}
	if _, unseen := a.deps.Kernel.Denied(); unseen != nil {
		return nil
	}
	return err
}

// noteDenied records the result of denying, and logs what is new about it.
func (a *aliases) noteDenied(err error) {
	if err == nil {
		a.denials.failed = ""
		return
	}
	a.denials.whole = false
	if text := err.Error(); a.denials.failed != text {
		a.denials.failed = text
		a.log.Error("denying the aliases that are not held here", "err", err)
	}
}

// deniable returns the sorted aliases to deny here, and those that are being taken, for which both
// is right. The virtual address of the management system is treated as one.
func (a *aliases) deniable() (wanted, open []netip.Addr) {
	for _, c := range a.doc.Clusters {
		for _, m := range c.LIMs {
			addr, x := m.Alias.Addr(), a.all[m.LIM]
			switch {
			case x == nil || !x.holds && !x.former && !x.taking:
				wanted = append(wanted, addr)
			case x.holds && x.blocked == "" || x.former:
			case x.holds && !x.taking:
				wanted = append(wanted, addr)
			default:
				open = append(open, addr)
			}
		}
	}
	switch addr, here := a.virtual(); here {
	case addressNotHere:
		wanted = append(wanted, addr)
	case addressOpen:
		open = append(open, addr)
	case addressHere:
	}
	slices.SortFunc(wanted, netip.Addr.Compare)
	return wanted, open
}

// notDenied reports whether an alias that should be denied was seen not to be.
func (a *aliases) notDenied(addr netip.Addr) bool {
	return slices.Contains(a.denials.wanted, addr) && !slices.Contains(a.denials.there, addr)
}
