package netops

import (
	"errors"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// CacheNeighbour adds a neighbour to the kernel's cache, so that the first packet to it needs no
// ARP request. An existing entry is not changed; a new one is verified by the kernel when it is
// used (NUD_STALE).
func (k *Kernel) CacheNeighbour(ifname string, addr netip.Addr, mac net.HardwareAddr) error {
	n, err := k.neighbour(ifname, addr, mac)
	if err != nil {
		return err
	}
	if err = k.rt.NeighAdd(n); errors.Is(err, unix.EEXIST) {
		return nil
	}
	return wrap(err, "note that %s is at %s on %s", addr, mac, ifname)
}

// Point sets the MAC address of a neighbour that does not answer: for some seconds, packets to it
// are sent there and the kernel sends no requests.
func (k *Kernel) Point(ifname string, addr netip.Addr, mac net.HardwareAddr) error {
	n, err := k.neighbour(ifname, addr, mac)
	if err != nil {
		return err
	}
	return wrap(k.rt.NeighSet(n), "note that %s is at %s on %s", addr, mac, ifname)
}

// Unresolved returns the neighbours on an interface that the kernel is still asking for: packets to
// them wait.
func (k *Kernel) Unresolved(ifname string) ([]netip.Addr, error) {
	l, err := k.link(ifname)
	if err != nil {
		return nil, err
	}
	all, err := k.rt.NeighList(l.Attrs().Index, netlink.FAMILY_ALL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) { // what changes meanwhile is read again
		return nil, wrap(err, "list the neighbours on %s", ifname)
	}
	var out []netip.Addr
	for _, n := range all {
		if addr, ok := netip.AddrFromSlice(n.IP); ok && n.State == netlink.NUD_INCOMPLETE {
			out = append(out, addr.Unmap())
		}
	}
	return out, nil
}

func (k *Kernel) neighbour(ifname string, addr netip.Addr, mac net.HardwareAddr) (*netlink.Neigh, error) {
	l, err := k.link(ifname)
	if err != nil {
		return nil, err
	}
	family := netlink.FAMILY_V4
	if addr.Is6() {
		family = netlink.FAMILY_V6
	}
	return &netlink.Neigh{LinkIndex: l.Attrs().Index, Family: family, State: netlink.NUD_STALE, IP: addr.AsSlice(), HardwareAddr: mac}, nil
}
