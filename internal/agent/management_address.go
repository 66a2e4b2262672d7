package agent

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"mxcluster/internal/arpbudget"
	"mxcluster/internal/manager"
	"mxcluster/netops"
)

// fence waits until nobody has the virtual address: a lease that runs out may be there for a
// moment yet.
func (m *management) fence(ctx context.Context, n *network, addr netip.Prefix) error {
	end := time.Now().Add(managementRetry)
	for {
		n.budget.Take(time.Now(), probeCount, arpbudget.Urgent)
		mac, used, err := m.deps.Probe(ctx, n.wire, addr.Addr())
		switch {
		case err != nil || !used:
			return err
		case time.Now().After(end):
			return fmt.Errorf("the virtual address %s of the management system is in use by %s", addr.Addr(), mac)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(managementProbe):
		}
	}
}

// whereabouts tells whether an address is held on this server.
type whereabouts int

const (
	addressHere    whereabouts = iota // it is, or there is none
	addressOpen                       // it is being taken, or not known
	addressNotHere                    // it is kept off the wire
)

// virtual returns the virtual address, and whether it is held here. One that an earlier run of the
// agent left, whose lease goes on, serves until it is seen how PostgreSQL stands.
func (m *management) virtual() (netip.Addr, whereabouts) {
	d := m.doc.Management
	if d == nil {
		return netip.Addr{}, addressHere
	}
	pair, err := manager.Find(m.doc)
	_, ours := pair.RoleOf(m.cfg.Server)
	switch {
	case m.hold != nil && m.addr == d.Address:
		return d.Address.Addr(), addressHere
	case err != nil || !ours || m.deps.Management == nil || m.known && !m.wanted && m.doing != manager.Lead:
		return d.Address.Addr(), addressNotHere
	}
	return d.Address.Addr(), addressOpen
}

// regain takes the virtual address again where writes are accepted, once nobody has it.
func (m *management) regain(addr netip.Prefix) {
	n := m.net
	m.operate(manager.Stay, func(ctx context.Context) (func(), error) {
		err := m.fence(ctx, n, addr)
		return func() {
			if err == nil && m.hold == nil && m.state == manager.Active && m.link.up {
				m.takeAddress(addr)
			}
		}, err
	})
}

// wantsAddress reports whether the virtual address may be here: where writes are accepted, and,
// until the other server has it, where they were given up. As LIM 1's alias it is not on a wire
// on which it is not clear who may have it. With an arbiter it is where LIM 1 has its key, unless the
// other server, which has the key then, agrees.
func (m *management) wantsAddress(v manager.View) bool {
	alias := m.lims.of(manager.Home).alias
	if !m.link.up || v.LIM && alias.blocked != "" || v.Contests(m.cluster().SplitBrainStop) || m.keeper != nil && !v.LIM && !v.Heard {
		return false
	}
	return m.state == manager.Active || m.state == manager.Released && m.hold != nil && v.Other.State != manager.Active
}

// tendAddress brings the virtual address here in line with that.
func (m *management) tendAddress(addr netip.Prefix, v manager.View) {
	wanted := m.wantsAddress(v)
	m.wanted = wanted
	switch {
	case m.hold != nil && (!wanted || m.addr != addr || m.hold.ifname != m.net.ifname):
		m.letGo()
	case m.hold == nil && wanted && m.op == nil:
		if !time.Now().Before(m.retry) {
			m.regain(addr)
		}
	case m.hold == nil && !wanted && len(found(m.copies.all, addr.Addr())) > 0:
		m.takeOff(addr)
	}
}

// takeAddress takes the virtual address and tells the network.
func (m *management) takeAddress(addr netip.Prefix) {
	err := m.deps.Kernel.Hold(m.net.ifname, addr, m.cfg.Lease)
	if err == nil {
		err = m.aliases.allowTaken(m.net, addr.Addr())
	}
	if err != nil {
		m.failure = errText(err)
		m.log.Error("taking the virtual address of the management system", "address", addr, "err", err)
		return
	}
	ctx, cancel := context.WithCancel(m.ctx)
	h := &holder{kernel: m.deps.Kernel, wire: m.net.wire, budget: m.net.budget, ifname: m.net.ifname, alias: addr, lease: m.cfg.Lease, refresh: m.cfg.ARPRefresh,
		log: m.log, alive: m.alive, kick: make(chan struct{}, 1), renewing: newSemaphore(), burst: arpbudget.Urgent}
	h.lost = func(bool) { m.post(func() { m.lostBy(h) }) }
	h.told = func(_ time.Time, err error) {
		if err != nil {
			m.log.Error("announcing the virtual address of the management system", "address", addr, "err", err)
		}
	}
	m.hold, m.endHold, m.addr = h, cancel, addr
	until := time.Now().Add(m.cfg.Lease)
	m.wg.Go(func() { h.keep(ctx, until) })
	m.wg.Go(func() { h.announce(ctx) })
}

// lostBy handles a virtual address that left this server without us: it is taken anew.
func (m *management) lostBy(h *holder) {
	if m.hold != h {
		return
	}
	m.endHold()
	m.hold = nil
	m.journal.management("address", fmt.Sprintf("the virtual address %s left %s without the agent", m.addr.Addr(), m.cfg.Server))
}

// letGo takes the virtual address off, if it is here.
func (m *management) letGo() {
	if m.hold == nil {
		return
	}
	h := m.hold
	m.endHold()
	m.hold = nil
	if err := h.with(func() error { return m.deps.Kernel.Drop(h.ifname, h.alias) }); err != nil {
		m.log.Error("taking the virtual address of the management system off", "address", h.alias, "err", err)
	}
}

// takeOff takes a virtual address off that an earlier run, or somebody, left here.
func (m *management) takeOff(addr netip.Prefix) {
	for _, at := range found(m.copies.all, addr.Addr()) {
		if err := m.deps.Kernel.Drop(at.ifname, at.prefix); err != nil {
			m.log.Error("taking the virtual address of the management system off", "address", at.prefix, "err", err)
			return
		}
	}
	m.copies.all = slices.DeleteFunc(m.copies.all, func(a netops.Address) bool { return a.Prefix.Addr() == addr.Addr() })
}
