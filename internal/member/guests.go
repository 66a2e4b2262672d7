package member

import (
	"net/netip"
	"sync"
)

const (
	maxGuests     = 64 // connections in all that have not shown a key yet
	guestsOfOne   = 8  // of one address
	guestsOfPeers = 8  // of the address of each server of the system; these do not count in all
)

// guests counts the connections whose other end has not shown a key yet, so that
// strangers keep nobody out and cost no more than so many.
type guests struct {
	mu    sync.Mutex
	all   int
	of    map[netip.Addr]int
	known func(netip.Addr) bool // whether a server of the system has the address
}

// admit counts a connection in, unless there are too many; leave is nil then.
func (g *guests) admit(from netip.Addr) (leave func()) {
	peer := g.known(from)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.of == nil {
		g.of = map[netip.Addr]int{}
	}
	limit := guestsOfOne
	if peer {
		limit = guestsOfPeers
	}
	if g.of[from] >= limit || !peer && g.all >= maxGuests {
		return nil
	}
	g.of[from]++
	if !peer {
		g.all++
	}
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.of[from]--; g.of[from] == 0 {
			delete(g.of, from)
		}
		if !peer {
			g.all--
		}
	}
}
