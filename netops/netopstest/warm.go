package netopstest

import (
	"maps"
	"net"
	"net/netip"
	"slices"
)

// CacheNeighbour is as netops.Kernel.CacheNeighbour.
func (k *Kernel) CacheNeighbour(ifname string, addr netip.Addr, mac net.HardwareAddr) error {
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

// Point is as netops.Kernel.Point.
func (k *Kernel) Point(ifname string, _ netip.Addr, _ net.HardwareAddr) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, err := k.find(ifname)
	return err // there is nobody to be asked less
}

// Unresolved is as netops.Kernel.Unresolved: what SetUnresolved told.
func (k *Kernel) Unresolved(ifname string) ([]netip.Addr, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l, err := k.find(ifname)
	if err != nil {
		return nil, err
	}
	return slices.Clone(l.unresolved), nil
}

// SetUnresolved tells which neighbours on an interface are asked for without an answer.
func (k *Kernel) SetUnresolved(ifname string, all ...netip.Addr) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l, err := k.find(ifname); err == nil {
		l.unresolved = all
	}
}

// Neighbours returns what CacheNeighbour told of the neighbours on an interface.
func (k *Kernel) Neighbours(ifname string) map[netip.Addr]string {
	k.mu.Lock()
	defer k.mu.Unlock()
	l, err := k.find(ifname)
	if err != nil {
		return nil
	}
	return maps.Clone(l.neighbours)
}
