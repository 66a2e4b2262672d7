package netops_test

import (
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"

	"mxcluster/netops"
)

// Routes whose preferred source is an address survive it when they were moved before,
// in every table, with everything else about them as it was; and come back.
func TestMoveRoutes(t *testing.T) {
	t.Parallel()
	h := newHosts(t, 1)[0]
	must(t, h.kernel.Hold(eth0, alias, 0))
	gateway := netip.MustParseAddr("10.0.0.254")
	routes := func(src netip.Addr) (all []netlink.Route) {
		must(t, h.ns.Do(func() (err error) {
			all, err = netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Src: src.AsSlice(), Gw: gateway.AsSlice()}, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_SRC|netlink.RT_FILTER_GW)
			return err
		}))
		return all
	}
	must(t, h.ns.Do(func() error {
		l, err := netlink.LinkByName(eth0)
		for _, r := range []netlink.Route{
			{Priority: 100, Protocol: 16}, // the default route of DHCP
			{Dst: network("192.0.2.0/24"), Priority: 7, Protocol: 4}, {Dst: network("198.51.100.0/24"), Table: 77, MTU: 1400},
		} {
			r.LinkIndex, r.Gw, r.Src = l.Attrs().Index, gateway.AsSlice(), alias.Addr().AsSlice()
			if err == nil {
				err = netlink.RouteAdd(&r)
			}
		}
		return err
	}))
	before := routes(alias.Addr())
	if len(before) != 3 {
		t.Fatalf("routes %v", before)
	}
	moved, err := h.kernel.MoveRoutes(alias.Addr(), h.own().Addr(), nil)
	must(t, err)
	must(t, h.kernel.Drop(eth0, alias))
	if got := routes(h.own().Addr()); len(moved) != 3 || len(got) != 3 {
		t.Fatalf("moved %v, there are %v", moved, got)
	}
	must(t, h.kernel.Hold(eth0, alias, 0))
	back, err := h.kernel.MoveRoutes(h.own().Addr(), alias.Addr(), moved[:2])
	must(t, err)
	if len(back) != 2 || len(routes(h.own().Addr())) != 1 {
		t.Errorf("two were to come back, not %v", back)
	}
	_, err = h.kernel.MoveRoutes(h.own().Addr(), alias.Addr(), moved)
	must(t, err)
	for _, r := range routes(alias.Addr()) {
		if !slices.ContainsFunc(before, r.Equal) {
			t.Errorf("%v is not as it was", r)
		}
	}
	if moved, err := h.kernel.MoveRoutes(alias6.Addr(), h.own().Addr(), nil); err != nil || moved != nil {
		t.Errorf("IPv6: %v, %v", moved, err)
	}
	var none []netops.Route
	if moved, err := h.kernel.MoveRoutes(base.Addr(), alias.Addr(), none); err != nil || moved != nil {
		t.Errorf("of an address without routes: %v, %v", moved, err)
	}
}

func network(text string) *net.IPNet {
	p := netip.MustParsePrefix(text)
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}
}
