package agent

import (
	"fmt"
	"slices"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/failover"
	"mxcluster/netops"
)

// adopt takes over the LIMs that a former run of the agent left running: an alias whose lease has
// not expired is renewed at once, so that clients notice nothing, and an alias that should not be
// here is removed. If the state file was lost, an alias with a lease shows that its LIM ran here,
// and any LIM's software may be up.
func (a *lims) adopt(lost bool) error {
	for n, p := range a.kept.state.LIMs {
		l := a.of(n)
		l.Term, l.Known, l.Flaps, l.Suspended, l.software.up = p.Term, p.Known, p.Flaps, p.Suspended, p.Loaded
		l.software.specs, l.alias.routes, l.tookToStart = p.Up, p.Routes, p.TookToStart
		l.cause, l.left, l.split = p.Cause, p.Left, p.Split
		if p.Active {
			l.State, l.since, l.serving, l.software.up = failover.Starting, p.Since, p.Serving, true
		} else if p.Loaded {
			l.software.role = rolePassive // if it is up, its role is set anew
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

// adoptAlias decides about one alias that was on this server at the start.
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
		l.alias.hold.kick <- struct{}{} // the lease may end soon
		return nil
	case l.Known.Term == 0 && regular != nil && regular.Name == l.cfg.Server:
		l.alias.former, l.alias.addr = true, m.Alias
		return nil // it is the base address until `create`, and in use by clients
	}
	if here.Permanent {
		return nil // the system added it: it is denied, and removed when the LIM is active elsewhere
	}
	l.journal.alias(m.LIM, m.Alias.Addr(), "left", fmt.Sprintf("the alias %s was left here by an earlier run; it is taken off", m.Alias.Addr()))
	if err := l.deps.Kernel.Drop(l.net.ifname, m.Alias); err != nil {
		return fmt.Errorf("taking off an alias that an earlier run left here: %w", err)
	}
	return nil
}
