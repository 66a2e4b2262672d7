package agent

import (
	"net/netip"
	"slices"

	"mxcluster/clusterconf"
)

// denials are the aliases that this server's kernel keeps off the wire of all
// interfaces, since it does not hold them (package netops).
type denials struct {
	wanted []netip.Addr // when they were looked at last
	there  []netip.Addr // that the kernel had then, as it was read back
	whole  bool         // those are all
	look   bool         // something changed: look now
	failed string       // why they could not be had; "": they could
}

// denyAtStart denies every alias that nothing says this server may have. It comes
// before everything else: what the operating system brought up at the boot is silent
// from now on at the latest.
func (a *Agent) denyAtStart(doc *clusterconf.Document, lost bool) {
	if lost {
		return // who may have what shows when the kernel's leases were looked at
	}
	var addrs []netip.Addr
	for _, c := range doc.Clusters {
		for _, m := range c.LIMs {
			was := a.state.LIMs[m.LIM]
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

// tendDenials brings the kernel's denials in line with what is held here. Who takes an
// alias lifts its denial itself, in the same step in which it is unblocked.
func (a *Agent) tendDenials() {
	d := &a.denials
	wanted, open := a.deniable()
	if !d.look && d.failed == "" && slices.Equal(wanted, d.wanted) {
		return
	}
	there, err := a.deps.Kernel.Denied()
	if err == nil {
		missing := slices.DeleteFunc(slices.Clone(wanted), func(x netip.Addr) bool { return slices.Contains(there, x) })
		if len(missing) > 0 {
			if err = a.deps.Kernel.Deny(missing...); err == nil {
				there, err = a.deps.Kernel.Denied()
			}
		}
	}
	for _, addr := range there {
		if err == nil && !slices.Contains(wanted, addr) && !slices.Contains(open, addr) {
			err = a.deps.Kernel.Unblock(a.net.ifname, addr) // it is held here, or no alias any more
		}
	}
	d.wanted, d.there, d.look = wanted, there, false
	d.whole = err == nil && !slices.ContainsFunc(wanted, func(x netip.Addr) bool { return !slices.Contains(there, x) })
	a.noteDenied(err)
}

// allowTaken lifts the denial of an alias that was just taken, and the block that an
// earlier run or an administrator left. Where the kernel's rules cannot be seen at all
// none was made either.
func (a *Agent) allowTaken(n *network, alias netip.Addr) error {
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
func (a *Agent) noteDenied(err error) {
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
func (a *Agent) deniable() (wanted, open []netip.Addr) {
	for _, c := range a.doc.Clusters {
		for _, m := range c.LIMs {
			addr, l := m.Alias.Addr(), a.lims[m.LIM]
			switch {
			case l == nil || !l.holds && !l.former && !l.taking:
				wanted = append(wanted, addr)
			case l.holds && l.hidden == "" || l.former:
			case l.holds && !l.taking:
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
func (a *Agent) notDenied(addr netip.Addr) bool {
	return slices.Contains(a.denials.wanted, addr) && !slices.Contains(a.denials.there, addr)
}
