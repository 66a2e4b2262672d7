package netops

import (
	"net/netip"
	"slices"
)

// Block is as Kernel.Block.
func (k *FakeKernel) Block(ifname string, addr netip.Addr) error {
	if err := k.failing("Block"); err != nil {
		return err
	}
	return k.setBlocked(ifname, addr, true)
}

// Unblock is as Kernel.Unblock.
func (k *FakeKernel) Unblock(ifname string, addr netip.Addr) error {
	if err := k.failing("Unblock"); err != nil {
		return err
	}
	return k.setBlocked(ifname, addr, false)
}

func (k *FakeKernel) setBlocked(ifname string, addr netip.Addr, blocked bool) error {
	if err := checkBlockable(addr); err != nil {
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
	k.changes.send(Event{Blocks: true})
	return nil
}

// Blocked is as Kernel.Blocked.
func (k *FakeKernel) Blocked(ifname string) ([]netip.Addr, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l, err := k.find(ifname)
	if err != nil {
		return nil, err
	}
	return slices.Clone(l.blocked), nil
}

// FlushRules ends every block, as `nft flush ruleset` does.
func (k *FakeKernel) FlushRules() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, l := range k.links {
		l.blocked = nil
	}
	k.changes.send(Event{Blocks: true})
}

// blocks tells whether the interface keeps frames of an address off the wire.
func (k *FakeKernel) blocks(ifname string, addr netip.Addr) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	l, err := k.find(ifname)
	return err == nil && slices.Contains(l.blocked, addr)
}
