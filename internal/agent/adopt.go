package agent

import (
	"fmt"
	"slices"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/failover"
	"mxcluster/netops"
)

// adopt takes hold of the LIMs that ran here before this agent started: an
// alias whose lease has not run out is renewed at once, so that nobody notices;
// an alias that is here without right is taken off.
// With the state lost, an alias with a lease is what tells that its LIM ran here,
// and any LIM's software may be up.
func (a *lims) adopt(lost bool) error {
	for n, p := range a.kept.state.LIMs {
		l := a.of(n)
		l.Term, l.Known, l.Flaps, l.Suspended, l.software.up = p.Term, p.Known, p.Flaps, p.Suspended, p.Loaded
		l.software.specs, l.alias.routes, l.tookToStart = p.Up, p.Routes, p.TookToStart
		if p.Active {
			l.State, l.since, l.software.up = failover.Starting, p.Since, true
		} else if p.Loaded {
			l.software.role = rolePassive // as far as it runs, it is not told to serve
		}
	}
	for _, entry := range a.doc.LIMs {
		if lost && a.concerns(entry.Number) {
			a.of(entry.Number).software.up = true
		}
	}
	addrs, err := a.deps.Kernel.Addresses(a.net.ifname)
	if err != nil {
		return fmt.Errorf("looking for aliases of an earlier run: %w", err)
	}
	a.aliases.forgetBlocks()
	for _, c := range a.doc.Clusters {
		for _, m := range c.LIMs {
			if i := slices.IndexFunc(addrs, func(x netops.Address) bool { return x.Prefix == m.Alias }); i >= 0 {
				if lost && !addrs[i].Permanent {
					a.of(m.LIM).State = failover.Starting
				}
				if err := a.of(m.LIM).adoptAlias(m, addrs[i]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// adoptAlias judges one alias that was found on this server at the start.
func (l *lim) adoptAlias(m clusterconf.Member, here netops.Address) error {
	regular := l.doc.RegularOf(m.LIM)
	switch {
	case l.State.Active():
		until := time.Now().Add(l.cfg.Lease)
		if !here.Permanent {
			until = time.Now().Add(here.Remaining)
		}
		l.journal.adopted(l.number, l.Term)
		if l.keeper != nil {
			l.keeper.Adopt(l.number, until)
		}
		l.alias.holdOn(m.Alias, until)
		l.alias.adoptBlock()
		if here.Permanent && l.alias.blocked == "" {
			l.alias.block(permanent)
		}
		l.alias.hold.kick <- struct{}{} // there may be little time left
		return nil
	case l.Known.Term == 0 && regular != nil && regular.Name == l.cfg.Server:
		l.alias.former, l.alias.addr = true, m.Alias
		return nil // its base address until `create`: clients use it this moment
	}
	if here.Permanent {
		return nil // the system brought it up: it is denied, and goes when its LIM is heard elsewhere
	}
	l.journal.alias(m.LIM, m.Alias.Addr(), "left", fmt.Sprintf("the alias %s was left here by an earlier run; it is taken off", m.Alias.Addr()))
	if err := l.deps.Kernel.Drop(l.net.ifname, m.Alias); err != nil {
		return fmt.Errorf("taking off an alias that an earlier run left here: %w", err)
	}
	return nil
}
