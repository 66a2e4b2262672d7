package netops

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/mdlayher/socket"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"mxcluster/internal/fanout"
)

// Kernel works on addresses in the network namespace in which it was opened. It is safe for
// concurrent use.
type Kernel struct {
	rt      *netlink.Handle
	raw     map[int]*nl.SocketHandle // for requests without a method in rt
	events  *socket.Conn
	rules   *socket.Conn // changes of nftables; nil without the permission to receive them
	blocks  *blocks
	changes *fanout.Fanout[Event]
}

// NewKernel opens netlink sockets in the network namespace of the calling thread. Reading needs no
// privileges; changes without CAP_NET_ADMIN are fault.NotPermitted.
func NewKernel() (_ *Kernel, err error) {
	k := &Kernel{changes: &fanout.Fanout[Event]{Depth: eventDepth, Merge: Event.Merge}}
	defer func() {
		if err != nil {
			_ = k.closeSockets() // the first error says more
		}
	}()
	if k.rt, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return nil, wrap(err, "open a netlink socket")
	}
	raw, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, wrap(err, "open a netlink socket")
	}
	k.raw = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: raw}}
	if k.events, err = openEvents(); err != nil {
		return nil, wrap(err, "subscribe to netlink events")
	}
	if k.rules, err = openRuleEvents(); err != nil {
		return nil, wrap(err, "subscribe to changes of rules")
	}
	k.blocks = openBlocks()
	go readEvents(k.events, k.changes)
	if k.rules != nil {
		go readRuleEvents(k.rules, k.changes)
	}
	return k, nil
}

// Close ends every Watch. Addresses and blocks stay. No other method may be called during or after
// it.
func (k *Kernel) Close() error {
	return wrap(k.closeSockets(), "close the netlink sockets")
}

// closeSockets closes the opened sockets.
func (k *Kernel) closeSockets() error {
	var errs []error
	if k.rt != nil {
		k.rt.Close()
	}
	if raw := k.raw[unix.NETLINK_ROUTE]; raw != nil {
		raw.Close()
	}
	for _, c := range []*socket.Conn{k.events, k.rules} {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	if k.blocks != nil {
		errs = append(errs, k.blocks.close())
	}
	return errors.Join(errs...)
}

// Watch returns a channel with changes of links, addresses, routes and blocks in the namespace. It
// is closed when ctx ends.
func (k *Kernel) Watch(ctx context.Context) (<-chan Event, error) {
	return k.changes.Subscribe(ctx), nil
}

// Link returns an interface; a missing one is fault.NotFound.
func (k *Kernel) Link(ifname string) (Link, error) {
	l, err := k.link(ifname)
	if err != nil {
		return Link{}, err
	}
	return linkOf(l), nil
}

// Links returns all interfaces.
func (k *Kernel) Links() ([]Link, error) {
	list, err := dump(k.rt.LinkList)
	links := make([]Link, 0, len(list))
	for _, l := range list {
		links = append(links, linkOf(l))
	}
	return links, wrap(err, "list the interfaces")
}

func linkOf(l netlink.Link) Link {
	attrs := l.Attrs()
	carrier := attrs.OperState == netlink.OperUp || attrs.OperState == netlink.OperUnknown
	found := Link{
		Name:  attrs.Name,
		Index: attrs.Index,
		MAC:   attrs.HardwareAddr,
		Up:    attrs.Flags&net.FlagUp != 0 && carrier,

		Enabled: attrs.Flags&net.FlagUp != 0,
		MTU:     attrs.MTU,
	}
	if attrs.Statistics != nil {
		found.Received = attrs.Statistics.RxPackets
	}
	return found
}

func (k *Kernel) link(ifname string) (netlink.Link, error) {
	l, err := k.rt.LinkByName(ifname)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil, NoInterface(ifname, k.interfaces())
	}
	return l, wrap(err, "find interface %s", ifname)
}

// ownName returns the kernel's name of an interface, which may be given by an alternative name.
func (k *Kernel) ownName(ifname string) (string, error) {
	l, err := k.link(ifname)
	if err != nil {
		return "", err
	}
	return l.Attrs().Name, nil
}

// interfaces returns the names of the interfaces, for a hint; nil on failure.
func (k *Kernel) interfaces() []string {
	links, err := k.rt.LinkList()
	if err != nil {
		return nil
	}
	var names []string
	for _, l := range links {
		names = append(names, l.Attrs().Name)
	}
	return names
}

// Addresses returns the addresses of the interface, or of all for "", in the kernel's order: the
// primary IPv4 address of a subnet before the others. Automatic IPv6 addresses are left out.
func (k *Kernel) Addresses(ifname string) ([]Address, error) {
	names, only, err := k.names(ifname)
	if err != nil {
		return nil, err
	}
	list, err := dump(func() ([]netlink.Addr, error) { return k.rt.AddrList(only, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, wrap(err, "list the addresses of %s", orAll(ifname))
	}
	addresses := make([]Address, 0, len(list))
	for _, a := range list {
		if r := address(a, names[a.LinkIndex]); !madeByIPv6(r.Prefix.Addr()) {
			addresses = append(addresses, r)
		}
	}
	return addresses, nil
}

// madeByIPv6 reports whether an address is one that interfaces, or the loopback, have
// automatically.
func madeByIPv6(a netip.Addr) bool { return a.Is6() && (a.IsLinkLocalUnicast() || a.IsLoopback()) }

// names returns the names of the interfaces by index, and the interface itself if one was named.
func (k *Kernel) names(ifname string) (map[int]string, netlink.Link, error) {
	if ifname != "" {
		l, err := k.link(ifname)
		if err != nil {
			return nil, nil, err
		}
		return map[int]string{l.Attrs().Index: l.Attrs().Name}, l, nil
	}
	links, err := dump(k.rt.LinkList)
	names := make(map[int]string, len(links))
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	return names, nil, wrap(err, "list the interfaces")
}

// address converts one address. The kernel reports a permanent one with the highest 32-bit number
// as lifetime, and a flag.
func address(a netlink.Addr, ifname string) Address {
	ip, _ := netip.AddrFromSlice(a.IP)
	ip = ip.Unmap()
	bits, _ := a.Mask.Size()
	r := Address{
		Interface: ifname,
		Prefix:    netip.PrefixFrom(ip, bits),
		Permanent: a.Flags&unix.IFA_F_PERMANENT != 0,
		Secondary: ip.Is4() && a.Flags&unix.IFA_F_SECONDARY != 0, // of IPv6 the flag means temporary
	}
	if !r.Permanent {
		r.Remaining = time.Duration(a.ValidLft) * time.Second
	}
	return r
}

// Gateways returns the gateways of all routes through the interface, without duplicates: those of
// default routes first, by metric.
func (k *Kernel) Gateways(ifname string) ([]netip.Addr, error) {
	l, err := k.link(ifname)
	if err != nil {
		return nil, err
	}
	routes, err := dump(func() ([]netlink.Route, error) { return k.rt.RouteList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, wrap(err, "list the routes of %s", ifname)
	}
	slices.SortStableFunc(routes, func(x, y netlink.Route) int {
		return cmp.Or(prefixLength(x.Dst)-prefixLength(y.Dst), x.Priority-y.Priority)
	})
	var all []netip.Addr
	for _, r := range routes {
		for _, hop := range append(r.MultiPath, &netlink.NexthopInfo{LinkIndex: r.LinkIndex, Gw: r.Gw}) {
			gw, ok := netip.AddrFromSlice(hop.Gw)
			if gw = gw.Unmap(); ok && hop.LinkIndex == l.Attrs().Index && !slices.Contains(all, gw) {
				all = append(all, gw)
			}
		}
	}
	return all, nil
}

// prefixLength returns that of a route's destination; 0 for a default route.
func prefixLength(dst *net.IPNet) int {
	if dst == nil {
		return 0
	}
	bits, _ := dst.Mask.Size()
	return bits
}

// dump repeats a listing that changed while it was read. After some attempts the last one is
// returned: it lacks at most what has just changed, and an event for that follows.
func dump[T any](list func() ([]T, error)) ([]T, error) {
	const tries = 5
	for range tries - 1 {
		all, err := list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return all, err
		}
	}
	all, err := list()
	if errors.Is(err, netlink.ErrDumpInterrupted) {
		err = nil
	}
	return all, err
}

func orAll(ifname string) string {
	if ifname == "" {
		return "all interfaces"
	}
	return "interface " + ifname
}
