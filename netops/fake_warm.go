package netops

import (
	"maps"
	"net"
	"net/netip"
)

// Warm is as Kernel.Warm.
func (k *FakeKernel) Warm(ifname string, addr netip.Addr, mac net.HardwareAddr) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	l, err := k.find(ifname)
	if err != nil {
		return err
	}
	if _, known := l.neighbours[addr]; !known {
		if l.neighbours == nil {
			l.neighbours = map[netip.Addr]string{}
		}
		l.neighbours[addr] = mac.String()
	}
	return nil
}

// Point is as Kernel.Point.
func (k *FakeKernel) Point(ifname string, _ netip.Addr, _ net.HardwareAddr) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, err := k.find(ifname)
	return err // there is nobody to be asked less
}

// Neighbours returns what Warm told of the neighbours on an interface.
func (k *FakeKernel) Neighbours(ifname string) map[netip.Addr]string {
	k.mu.Lock()
	defer k.mu.Unlock()
	l, err := k.find(ifname)
	if err != nil {
		return nil
	}
	return maps.Clone(l.neighbours)
}
