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
	cacheMost  = 256         // bound of neighbours added to the kernel's cache within cacheAgain
	cacheAgain = time.Minute // between two updates of one neighbour
	cacheLast  = 8           // how many of the last neighbours are remembered
)

// neighbourCache keeps the kernel's neighbour cache filled with likely clients, so that after a
// takeover the first answer to each needs no ARP request. Clients are the stations that ask for an
// alias, by broadcasts which every server receives.
type neighbourCache struct {
	mu      sync.Mutex
	subnet  netip.Prefix
	aliases []netip.Addr // those that this server may take
	gateway netip.Addr
	last    []netip.Addr // the last neighbours heard, the latest at the end
}

// set sets what to listen for.
func (w *neighbourCache) set(subnet netip.Prefix, aliases []netip.Addr, gateway netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.subnet, w.aliases, w.gateway = subnet, aliases, gateway
}

// wants reports whether the sender of a frame may become a client of this server.
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

// heard records a neighbour.
func (w *neighbourCache) heard(neighbour netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = slices.DeleteFunc(w.last, func(x netip.Addr) bool { return x == neighbour })
	w.last = append(w.last[max(0, len(w.last)-cacheLast+1):], neighbour)
}

// latest returns some of the last neighbours heard.
func (w *neighbourCache) latest() []netip.Addr {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.last)
}

// fillCache adds neighbours to the kernel's cache as they are heard, until ctx ends.
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
			continue // too many clients, or invented ones
		}
		told[o.SenderIP] = o.Time
		n.cache.heard(o.SenderIP)
		if err := a.deps.Kernel.CacheNeighbour(n.ifname, o.SenderIP, o.SenderMAC); err != nil {
			a.log.Debug("filling the neighbour cache", "err", err)
		}
	}
}

// cacheFor sets which neighbours matter by the present document.
func (a *core) cacheFor(gateway netip.Addr) {
	var aliases []netip.Addr
	if c := a.cluster(); c != nil {
		for _, m := range c.LIMs {
			aliases = append(aliases, m.Alias.Addr())
		}
	}
	a.net.cache.set(a.net.base.Masked(), aliases, gateway)
}

// askUnresolved asks, beside the main loop, for neighbours that the kernel fails to resolve. Its
// own requests were lost while the link passed nothing, or while the alias that they come from was
// blocked, and it repeats them only after a second. It learns from these answers as well.
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
			_ = n.wire.Ask(n.base.Addr(), addr, nil) // sending fails on a link that is down
		}
	})
}
