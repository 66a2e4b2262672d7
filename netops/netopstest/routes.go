package netopstest

import (
	"net/netip"
	"slices"

	"mxcluster/netops"
)

// AddRoute gives the server a route with a preferred source address. As in Linux it
// goes with that address.
func (k *Kernel) AddRoute(r netops.Route, src netip.Addr) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.routes == nil {
		k.routes = map[netops.Route]netip.Addr{}
	}
	k.routes[r] = src
}

// RouteSource returns the preferred source address of a route; false if there is none.
func (k *Kernel) RouteSource(r netops.Route) (netip.Addr, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sweepRoutes()
	src, ok := k.routes[r]
	return src, ok
}

// MoveRoutes is as netops.Kernel.MoveRoutes.
func (k *Kernel) MoveRoutes(from, to netip.Addr, only []netops.Route) ([]netops.Route, error) {
	if err := k.failing("MoveRoutes"); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sweepRoutes()
	var moved []netops.Route
	for r, src := range k.routes {
		if src == from && (only == nil || slices.Contains(only, r)) {
			k.routes[r] = to
			moved = append(moved, r)
		}
	}
	return moved, nil
}

// sweepRoutes removes the routes whose source is gone. The caller holds the lock.
func (k *Kernel) sweepRoutes() {
	for r, src := range k.routes {
		if !slices.ContainsFunc(k.links, func(l *fakeLink) bool {
			return slices.ContainsFunc(l.list(), func(a netops.Address) bool { return a.Prefix.Addr() == src })
		}) {
			delete(k.routes, r)
		}
	}
}
