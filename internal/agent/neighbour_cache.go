package agent

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"mxcluster/internal/arpbudget"
	"mxcluster/netops"
)

const (
	cacheMost  = 256         // neighbours that the kernel is told of within cacheAgain, at most
	cacheAgain = time.Minute // from one time that it is told of a neighbour to the next
	cacheLast  = 8           // neighbours of which it is known that they were the last to be heard
)

// neighbourCache fills the neighbour cache of the kernel for the day that this server
// takes an alias over: the first answer to each client then needs no question of
// its own. Clients are those who ask who has an alias; everybody hears that.
type neighbourCache struct {
	mu      sync.Mutex
	subnet  netip.Prefix
	aliases []netip.Addr // that this server may take
	gateway netip.Addr
	last    []netip.Addr // neighbours that were heard last, the latest at the end
}

// set tells for whom to listen.
func (w *neighbourCache) set(subnet netip.Prefix, aliases []netip.Addr, gateway netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.subnet, w.aliases, w.gateway = subnet, aliases, gateway
}

// wants tells whether the sender of a frame is one whom this server would answer.
func (w *neighbourCache) wants(o netops.Observation) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case !w.subnet.Contains(o.SenderIP) || slices.Contains(w.aliases, o.SenderIP):
		return false
	case o.Op == netops.Request:
		return slices.Contains(w.aliases, o.TargetIP)
	}
	return o.SenderIP == w.gateway
}

// heard notes that a neighbour was heard.
func (w *neighbourCache) heard(neighbour netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = slices.DeleteFunc(w.last, func(x netip.Addr) bool { return x == neighbour })
	w.last = append(w.last[max(0, len(w.last)-cacheLast+1):], neighbour)
}

// latest lists some neighbours that were heard last.
func (w *neighbourCache) latest() []netip.Addr {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.last)
}

// fillCache tells the kernel of the neighbours that are heard until ctx ends.
func (a *core) fillCache(ctx context.Context, n *network) {
	told := map[netip.Addr]time.Time{}
	for o := range n.wire.Subscribe(ctx) {
		if !n.cache.wants(o) || o.Time.Sub(told[o.SenderIP]) < cacheAgain {
			continue
		}
		if len(told) >= cacheMost {
			maps.DeleteFunc(told, func(_ netip.Addr, at time.Time) bool { return o.Time.Sub(at) >= cacheAgain })
		}
		if len(told) >= cacheMost {
			continue // so many clients, or somebody makes them up
		}
		told[o.SenderIP] = o.Time
		n.cache.heard(o.SenderIP)
		if err := a.deps.Kernel.CacheNeighbour(n.ifname, o.SenderIP, o.SenderMAC); err != nil {
			a.log.Debug("filling the neighbour cache", "err", err)
		}
	}
}

// cacheFor has the neighbours kept in the cache that matter by the present document.
func (a *core) cacheFor(gateway netip.Addr) {
	var aliases []netip.Addr
	if c := a.cluster(); c != nil {
		for _, m := range c.LIMs {
			aliases = append(aliases, m.Alias.Addr())
		}
	}
	a.net.cache.set(a.net.base.Masked(), aliases, gateway)
}

// askUnresolved asks, beside the main loop, for the neighbours that the kernel does not
// find. What it asked was lost while the link passed nothing or the alias that it asks
// from was blocked, and it asks again after a second; it learns from this answer as well.
func (a *core) askUnresolved() {
	n := a.net
	a.wg.Go(func() {
		all, err := a.deps.Kernel.Unresolved(n.ifname)
		if err != nil {
			a.log.Debug("looking for neighbours that are not found", "err", err)
		}
		for _, addr := range all {
			if !n.base.Masked().Contains(addr) {
				continue
			}
			if !n.budget.Take(time.Now(), 1, arpbudget.Anew) {
				return
			}
			_ = n.wire.Ask(n.base.Addr(), addr, nil) // a failed send is a link that is down
		}
	})
}
