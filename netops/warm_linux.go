package netops

import (
	"errors"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// CacheNeighbour tells the kernel where a neighbour is, so that the first packet to it needs
// no question. What the kernel knows of that neighbour already is left alone; what
// it is told here it makes sure of by itself once it is used (NUD_STALE).
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

// Point tells the kernel where a neighbour is that does not answer, whatever it knew:
// what is sent to it for the next seconds goes there, and the kernel asks nobody.
func (k *Kernel) Point(ifname string, addr netip.Addr, mac net.HardwareAddr) error {
	n, err := k.neighbour(ifname, addr, mac)
	if err != nil {
		return err
	}
	return wrap(k.rt.NeighSet(n), "note that %s is at %s on %s", addr, mac, ifname)
}

// Unresolved lists the neighbours on an interface that the kernel asks for, without an
// answer yet: packets to them wait.
func (k *Kernel) Unresolved(ifname string) ([]netip.Addr, error) {
	l, err := k.link(ifname)
	if err != nil {
		return nil, err
	}
	all, err := k.rt.NeighList(l.Attrs().Index, netlink.FAMILY_ALL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) { // what changes meanwhile is asked for anew
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
