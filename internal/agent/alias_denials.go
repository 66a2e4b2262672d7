package agent

import (
	"net/netip"
	"slices"
	"time"

	"mxcluster/clusterconf"
)

// denyDelay is how long after a change the denials are looked at: an alias that was given
// up is off the kernel already, one that is taken lifts its denial itself, and reading the
// rules meanwhile would delay whoever takes it.
const denyDelay = 50 * time.Millisecond

// denials are the aliases that this server's kernel keeps off the wire of all
// interfaces, since it does not hold them (package netops).
type denials struct {
	wanted []netip.Addr // when they were looked at last
	there  []netip.Addr // that the kernel had then, as it was read back
	whole  bool         // those are all
	look   bool         // something changed them
	due    time.Time    // when they are looked at; zero: they are as they are to be
	failed string       // why they could not be had; "": they could
}

// denyAtStart denies every alias that nothing says this server may have. It comes
// before everything else: what the operating system brought up at the boot is silent
// from now on at the latest.
func (a *aliases) denyAtStart(doc *clusterconf.Document, kept map[int]persistedLIM, lost bool) {
	if lost {
		return // who may have what shows when the kernel's leases were looked at
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

// tendDenials brings the kernel's denials in line with what is held here, some time after
// that or they changed. It returns how long to wait with that; 0: there is nothing to do.
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

// lacks reports whether one of the addresses is not among those that are there.
func lacks(there, addrs []netip.Addr) bool {
	return slices.ContainsFunc(addrs, func(x netip.Addr) bool { return !slices.Contains(there, x) })
}

// mendDenials does so now. Who takes an alias lifts its denial itself, in the same step
// in which it is unblocked.
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
		err = a.deps.Kernel.Unblock(a.net.ifname, x) // it is held here, or no alias any more
		return err == nil
	})
	d.wanted, d.there, d.look, d.due = wanted, there, false, time.Time{}
	d.whole = err == nil && !lacks(there, wanted)
	a.noteDenied(err)
}

// allowTaken lifts the denial of an alias that was just taken, and the block that an
// earlier run or an administrator left. Where the kernel's rules cannot be seen at all
// none was made either.
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

// noteDenied notes how denying went, and logs what is new about it.
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

// deniable lists the aliases that are to be denied here, in order, and those that may
// be denied or not: they are being taken, and whoever takes them lifts the denial.
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
	slices.SortFunc(wanted, netip.Addr.Compare)
	return wanted, open
}

// notDenied reports whether the kernel was seen not to keep an alias off the wire that
// is to be.
func (a *aliases) notDenied(addr netip.Addr) bool {
	return slices.Contains(a.denials.wanted, addr) && !slices.Contains(a.denials.there, addr)
}
