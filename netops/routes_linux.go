package netops

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// MoveRoutes changes the preferred source of routes from the address from to the address to, which
// this server must have, and returns these routes. only restricts it to some routes; nil: all. The
// kernel deletes routes together with their preferred source, so they are moved before that is
// removed. Routes made by the kernel are left alone, and so are those of IPv6, which keeps such
// routes.
func (k *Kernel) MoveRoutes(from, to netip.Addr, only []Route) ([]Route, error) {
	if !from.Is4() || !to.Is4() {
		return nil, nil
	}
	list, err := dump(func() ([]netlink.Route, error) {
		filter := &netlink.Route{Table: unix.RT_TABLE_UNSPEC, Src: from.AsSlice()}
		return k.rt.RouteListFiltered(netlink.FAMILY_V4, filter, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_SRC)
	})
	if err != nil {
		return nil, wrap(err, "list the routes with source %s", from)
	}
	var moved []Route
	var failed []error
	for _, r := range list {
		key := routeKey(r)
		if r.Protocol == unix.RTPROT_KERNEL || r.Table == unix.RT_TABLE_LOCAL || only != nil && !slices.Contains(only, key) {
			continue
		}
		r.Src = to.AsSlice()
		r.Flags &= int(netlink.FLAG_ONLINK) // the other flags describe the state of the link
		if err := k.rt.RouteReplace(&r); err != nil {
			failed = append(failed, wrap(err, "move the route to %s from source %s to %s", key.Dst, from, to))
			continue
		}
		moved = append(moved, key)
	}
	return moved, errors.Join(failed...)
}

func routeKey(r netlink.Route) Route {
	key := Route{Dst: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Table: r.Table, Metric: r.Priority, TOS: r.Tos}
	if r.Dst != nil {
		if addr, ok := netip.AddrFromSlice(r.Dst.IP); ok {
			bits, _ := r.Dst.Mask.Size()
			key.Dst = netip.PrefixFrom(addr.Unmap(), bits)
		}
	}
	return key
}
