package netopstest

import (
	"net/netip"
	"slices"

	"mxcluster/netops"
)

// Block is as netops.Kernel.Block.
func (k *Kernel) Block(ifname string, addr netip.Addr) error {
	if err := k.failing("Block"); err != nil {
		return err
	}
	return k.setBlocked(ifname, addr, true)
}

// Unblock is as netops.Kernel.Unblock.
func (k *Kernel) Unblock(ifname string, addr netip.Addr) error {
	if err := k.failing("Unblock"); err != nil {
		return err
	}
	return k.setBlocked(ifname, addr, false)
}

// Uncover is as netops.Kernel.Uncover.
func (k *Kernel) Uncover(ifname string, addr netip.Addr) error {
	if err := k.failing("Uncover"); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	l, err := k.find(ifname)
	if err == nil {
		l.blocked = slices.DeleteFunc(l.blocked, func(a netip.Addr) bool { return a == addr })
		k.changes.Send(netops.Event{Blocks: true})
	}
	return err
}

// Deny is as netops.Kernel.Deny.
func (k *Kernel) Deny(addrs ...netip.Addr) error {
	if err := k.failing("Deny"); err != nil {
		return err
	}
	if err := netops.CheckDeniable(addrs); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, a := range addrs {
		k.deny(a)
	}
	return nil
}

// deny does so for one address. The caller holds the lock.
func (k *Kernel) deny(addr netip.Addr) {
	if !slices.Contains(k.denied, addr) {
		k.denied = append(k.denied, addr)
		k.changes.Send(netops.Event{Blocks: true})
	}
}

// Denied is as netops.Kernel.Denied.
func (k *Kernel) Denied() ([]netip.Addr, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.SortedFunc(slices.Values(k.denied), netip.Addr.Compare), nil
}

// AllowAll is as netops.Kernel.AllowAll.
func (k *Kernel) AllowAll() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.denied = nil
	k.changes.Send(netops.Event{Blocks: true})
	return nil
}

func (k *Kernel) setBlocked(ifname string, addr netip.Addr, blocked bool) error {
	if err := netops.CheckBlockable(addr); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	l, err := k.find(ifname)
	if err != nil {
		return err
	}
	i := slices.Index(l.blocked, addr)
	switch {
	case blocked && i < 0:
		l.blocked = append(l.blocked, addr)
	case !blocked && i >= 0:
		l.blocked = slices.Delete(l.blocked, i, i+1)
	}
	if blocked {
		k.deny(addr)
	} else {
		k.denied = slices.DeleteFunc(k.denied, func(a netip.Addr) bool { return a == addr })
	}
	k.changes.Send(netops.Event{Blocks: true})
	return nil
}

// Blocked is as netops.Kernel.Blocked.
func (k *Kernel) Blocked(ifname string) ([]netip.Addr, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l, err := k.find(ifname)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(l.blocked), func(a netip.Addr) bool { return !slices.Contains(k.denied, a) }), nil
}

// Leak makes the kernel answer for addresses that it reports as blocked.
func (k *Kernel) Leak(on bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.leaky = on
}

// FlushRules removes every block, as `nft flush ruleset` does.
func (k *Kernel) FlushRules() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, l := range k.links {
		l.blocked = nil
	}
	k.denied = nil
	k.changes.Send(netops.Event{Blocks: true})
}

// blocks reports whether frames of an address are blocked on the interface.
func (k *Kernel) blocks(ifname string, addr netip.Addr) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	l, err := k.find(ifname)
	return err == nil && slices.Contains(l.blocked, addr)
}
