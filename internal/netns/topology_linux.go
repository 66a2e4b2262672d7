package netns

import (
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// AddBridge makes a bridge in n, without spanning tree (ports forward at
// once), and sets it up.
func AddBridge(n *NS, name string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	// Without multicast snooping the bridge floods from the first moment on.
	snooping := false
	bridge := &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}
	if err := n.links.LinkAdd(bridge); err != nil {
		return wrap(err, "add bridge %s", name)
	}
	return n.SetUp(name)
}

// AddVeth lays a cable: interface aName in a, interface bName in b, both
// down. The address mac goes to b's end; nil leaves the choice to the kernel.
func AddVeth(a *NS, aName string, b *NS, bName string, mac net.HardwareAddr) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = aName
	veth := &netlink.Veth{
		LinkAttrs:        attrs,
		PeerName:         bName,
		PeerHardwareAddr: mac,
		PeerNamespace:    netlink.NsFd(b.FD()),
	}
	return wrap(a.links.LinkAdd(veth), "add veth pair %s and %s", aName, bName)
}

// Attach makes the interface link a port of the bridge in the same namespace.
func (n *NS) Attach(link, bridge string) error {
	master, err := n.links.LinkByName(bridge)
	if err != nil {
		return wrap(err, "find bridge %s", bridge)
	}
	return n.change(link, "attach to bridge "+bridge, func(l netlink.Link) error {
		return n.links.LinkSetMaster(l, master)
	})
}

// Detach takes the interface out of its bridge: the link stays up at both ends,
// and every frame is lost.
func (n *NS) Detach(link string) error {
	return n.change(link, "detach from its bridge", n.links.LinkSetNoMaster)
}

// SetUp sets the interface up.
func (n *NS) SetUp(link string) error { return n.change(link, "set up", n.links.LinkSetUp) }

// SetDown sets the interface down; the far end of a veth loses its carrier.
func (n *NS) SetDown(link string) error { return n.change(link, "set down", n.links.LinkSetDown) }

// Delete removes the interface, and the far end of a veth with it.
func (n *NS) Delete(link string) error { return n.change(link, "delete", n.links.LinkDel) }

// AddAddress gives the interface a permanent address, of use at once: IPv6 does
// not look first whether another has it.
func (n *NS) AddAddress(link string, address netip.Prefix) error {
	flags := 0
	if address.Addr().Is6() {
		flags = unix.IFA_F_NODAD
	}
	return n.change(link, "add address "+address.String()+" to", func(l netlink.Link) error {
		return n.links.AddrAdd(l, &netlink.Addr{IPNet: ipNet(address), Flags: flags})
	})
}

// DeleteAddress takes an address away.
func (n *NS) DeleteAddress(link string, address netip.Prefix) error {
	return n.change(link, "delete address "+address.String()+" from", func(l netlink.Link) error {
		return n.links.AddrDel(l, &netlink.Addr{IPNet: ipNet(address)})
	})
}

// AddDefaultRoute routes everything else over gateway.
func (n *NS) AddDefaultRoute(link string, gateway netip.Addr) error {
	return n.change(link, "add default route by "+gateway.String()+" to", func(l netlink.Link) error {
		return n.links.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Gw: gateway.AsSlice()})
	})
}

// AddRoute routes a network over gateway.
func (n *NS) AddRoute(link string, network netip.Prefix, gateway netip.Addr) error {
	return n.change(link, "add route to "+network.String()+" by "+gateway.String()+" to", func(l netlink.Link) error {
		dst := &net.IPNet{IP: network.Addr().AsSlice(), Mask: net.CIDRMask(network.Bits(), network.Addr().BitLen())}
		return n.links.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: dst, Gw: gateway.AsSlice()})
	})
}

// HardwareAddr returns the interface's MAC address.
func (n *NS) HardwareAddr(link string) (net.HardwareAddr, error) {
	l, err := n.links.LinkByName(link)
	if err != nil {
		return nil, wrap(err, "find interface %s", link)
	}
	return l.Attrs().HardwareAddr, nil
}

// change finds the interface and applies fn to it; what names the change in errors.
func (n *NS) change(link, what string, fn func(netlink.Link) error) error {
	l, err := n.links.LinkByName(link)
	if err != nil {
		return wrap(err, "find interface %s", link)
	}
	return wrap(fn(l), "%s interface %s", what, link)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
