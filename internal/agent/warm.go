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
	warmMost  = 256         // neighbours that the kernel is told of within warmAgain, at most
	warmAgain = time.Minute // from one time that it is told of a neighbour to the next
	warmLast  = 8           // neighbours of which it is known that they were the last to be heard
)

// warmth keeps the kernel's neighbour entries warm for the day that this server
// takes an alias over: the first answer to each client then needs no question of
// its own. Clients are those who ask who has an alias; everybody hears that.
type warmth struct {
	mu      sync.Mutex
	subnet  netip.Prefix
	aliases []netip.Addr // that this server may take
	gateway netip.Addr
	last    []netip.Addr // neighbours that were heard last, the latest at the end
}

// set tells for whom to listen.
func (w *warmth) set(subnet netip.Prefix, aliases []netip.Addr, gateway netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.subnet, w.aliases, w.gateway = subnet, aliases, gateway
}

// wants tells whether the sender of a frame is one whom this server would answer.
func (w *warmth) wants(o netops.Observation) bool {
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
func (w *warmth) heard(neighbour netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = slices.DeleteFunc(w.last, func(x netip.Addr) bool { return x == neighbour })
	w.last = append(w.last[max(0, len(w.last)-warmLast+1):], neighbour)
}

// latest lists some neighbours that were heard last.
func (w *warmth) latest() []netip.Addr {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.last)
}

// keepWarm tells the kernel of the neighbours that are heard until ctx ends.
func (a *core) keepWarm(ctx context.Context, n *network) {
	told := map[netip.Addr]time.Time{}
	for o := range n.wire.Subscribe(ctx) {
		if !n.warm.wants(o) || o.Time.Sub(told[o.SenderIP]) < warmAgain {
			continue
		}
		if len(told) >= warmMost {
			maps.DeleteFunc(told, func(_ netip.Addr, at time.Time) bool { return o.Time.Sub(at) >= warmAgain })
		}
		if len(told) >= warmMost {
			continue // so many clients, or somebody makes them up
		}
		told[o.SenderIP] = o.Time
		n.warm.heard(o.SenderIP)
		if err := a.deps.Kernel.Warm(n.ifname, o.SenderIP, o.SenderMAC); err != nil {
			a.log.Debug("keeping a neighbour warm", "err", err)
		}
	}
}

// warmFor has the neighbours kept warm that matter by the present document.
func (a *core) warmFor(gateway netip.Addr) {
	var aliases []netip.Addr
	if c := a.cluster(); c != nil {
		for _, m := range c.LIMs {
			aliases = append(aliases, m.Alias.Addr())
		}
	}
	a.net.warm.set(a.net.base.Masked(), aliases, gateway)
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
