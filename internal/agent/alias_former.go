package agent

import (
	"net/netip"
	"slices"

	"mxcluster/clusterconf"
)

// leaveAliases gives up, without taking it off, every alias that the document
// makes this server's base again, and takes off those that it gives to nobody.
// The address that clients know stays all the time.
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
				return err // while it is here it stays blocked if it was
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

// noteFormer marks the alias that was this server's base as being here.
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

// aliasesOf lists the aliases of all LIMs.
func aliasesOf(d *clusterconf.Document) []netip.Prefix {
	var all []netip.Prefix
	for _, c := range d.Clusters {
		for _, m := range c.LIMs {
			all = append(all, m.Alias)
		}
	}
	return all
}
