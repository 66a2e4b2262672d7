package member

import (
	"io"
	"net/netip"
	"slices"
	"sync"
)

const (
	maxGuests     = 64 // connections in all that have not shown a key yet
	guestsOfOne   = 8  // of one address
	guestsOfPeers = 8  // of the address of each server of the system; these do not count in all
)

// guests counts the connections whose other end has not shown a key yet, so that
// strangers keep nobody out and cost no more than so many. Of a server's address the
// newest stay: a user of that server has its address, too, and could hold all places.
type guests struct {
	mu    sync.Mutex
	all   int
	of    map[netip.Addr][]io.Closer // the oldest first
	known func(netip.Addr) bool      // whether a server of the system has the address
}

// admit counts a connection in, unless there are too many; leave is nil then.
func (g *guests) admit(from netip.Addr, conn io.Closer) (leave func()) {
	peer := g.known(from)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.of == nil {
		g.of = map[netip.Addr][]io.Closer{}
	}
	switch held := g.of[from]; {
	case peer && len(held) >= guestsOfPeers:
		_ = held[0].Close() // it has said nothing yet
		g.of[from] = slices.Delete(held, 0, 1)
	case !peer && (len(held) >= guestsOfOne || g.all >= maxGuests):
		return nil
	}
	g.of[from] = append(g.of[from], conn)
	if !peer {
		g.all++
	}
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if i := slices.Index(g.of[from], conn); i >= 0 {
			g.of[from] = slices.Delete(g.of[from], i, i+1)
		}
		if len(g.of[from]) == 0 {
			delete(g.of, from)
		}
		if !peer {
			g.all--
		}
	}
}
