package agent

import (
	"net/netip"
	"slices"

	"mxcluster/clusterconf"
)

// leaveAliases stops holding every alias that the document makes this server's base again, without
// removing it, and removes those that have no owner any more. Clients' connections to the address
// survive.
func (a *lims) leaveAliases(d *clusterconf.Document, base netip.Prefix) error {
	for _, l := range a.all {
		if !l.alias.holds && !l.alias.former || slices.Contains(aliasesOf(d), l.alias.addr) {
			continue
		}
		if l.alias.holds {
			l.alias.letGo()
		}
		if l.alias.addr != base {
			if err := a.deps.Kernel.Drop(a.net.ifname, l.alias.addr); err != nil {
				return err // still present, and blocked if it was
			}
		}
		l.alias.former = false
		if l.alias.blocked != "" {
			l.alias.endBlock()
		}
		if err := a.deps.Kernel.Unblock(a.net.ifname, l.alias.addr.Addr()); err != nil {
			a.log.Error("unblocking what is no alias any more", "lim", l.number, "address", l.alias.addr, "err", err)
		}
	}
	return nil
}

// noteFormer marks the alias that was this server's base as present.
func (a *lims) noteFormer(old *network) {
	if old == nil || old.base == a.net.base {
		return
	}
	for _, c := range a.doc.Clusters {
		for _, m := range c.LIMs {
			if m.Alias != old.base {
				continue
			}
			if l := a.of(m.LIM); !l.alias.holds {
				l.alias.former, l.alias.addr = true, m.Alias
			}
		}
	}
}

// aliasesOf returns the aliases of all LIMs.
func aliasesOf(d *clusterconf.Document) []netip.Prefix {
	var all []netip.Prefix
	for _, c := range d.Clusters {
		for _, m := range c.LIMs {
			all = append(all, m.Alias)
		}
	}
	return all
}
