// Package arpbudget bounds the ARP packets that a server sends on one interface, and says
// whose turn it is when there is little room.
package arpbudget

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// Urgency is whose turn it is to send ARP when there is little room for it.
type Urgency int

// The urgencies.
const (
	Urgent Urgency = iota // what a takeover waits for: sent in any case, and counted
	Anew                  // what clients wait for whose alias was on the wire before: whatever others ask this server
	Plain                 // probes and announcements besides
	Poll                  // what is asked again anyway
)

// Retry is the time from one look whether there is room by now to the next.
const Retry = 20 * time.Millisecond

const (
	countedFor = time.Second + 20*time.Millisecond // in which ARP packets are counted
	reserve    = 8                                 // of the budget: the two questions and six announcements of the first second of a takeover
)

// Budget bounds the ARP packets that this server sends on one interface: switches with
// ARP inspection shut a port that sends more than some in a second, 15 by default. What
// the kernel sends by itself counts, too, as the wire tells; who asks this server often
// takes the room of its polls by that, no more than half of that of anything else, and
// nothing of what clients wait for.
type Budget struct {
	most int           // ARP packets in any second; 0: as many as there are
	sent func() uint64 // by now

	mu       sync.Mutex
	counted  uint64
	granted  int         // packets that were granted and that the wire has not counted yet
	own      []time.Time // of the last packets
	kernel   []time.Time // of the last ones that the kernel sent
	lastTook time.Time
}

// New returns the budget of an interface on which fewer packets a second are to be
// sent than perSecond; 0: there is no bound.
func New(perSecond int, sent func() uint64) *Budget {
	return &Budget{most: max(perSecond-1, 0), sent: sent, counted: sent()}
}

// Take reports whether so many packets may be sent now; then they must be.
func (b *Budget) Take(now time.Time, packets int, u Urgency) bool {
	if b.most == 0 {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count(now)
	room := b.most - len(b.own) - min(len(b.kernel), b.most/2)
	switch u {
	case Anew:
		room = b.most - len(b.own)
	case Poll:
		room = b.most - len(b.own) - len(b.kernel) - min(reserve, b.most*2/3)
	}
	if u != Urgent && room < packets {
		return false
	}
	b.own = b.note(b.own, now, packets)
	b.granted += packets
	b.lastTook = now
	return true
}

// count brings the window up to what was sent by now.
func (b *Budget) count(now time.Time) {
	if now.Sub(b.lastTook) >= time.Second {
		b.granted = 0 // what was not counted was not sent: the link is down
	}
	total := b.sent()
	more := int(total - b.counted)
	b.counted = total
	known := min(more, b.granted)
	b.granted -= known
	b.own, b.kernel = b.note(b.own, now, 0), b.note(b.kernel, now, more-known)
}

// note counts packets, and forgets old ones; of more than the bound no more is known
// than that.
func (b *Budget) note(window []time.Time, now time.Time, packets int) []time.Time {
	old := 0
	for old < len(window) && now.Sub(window[old]) >= countedFor {
		old++
	}
	window = window[old:]
	for range min(packets, max(2*b.most-len(window), 0)) {
		window = append(window, now)
	}
	return window
}

// Await waits until so many packets may be sent; false when ctx ends first.
func (b *Budget) Await(ctx context.Context, packets int, u Urgency) bool {
	for !b.Take(time.Now(), packets, u) {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(Retry):
		}
	}
	return ctx.Err() == nil
}

// Packets is how many ARP packets an announcement of an address is.
func Packets(addr netip.Addr) int {
	if addr.Is4() {
		return 2
	}
	return 1
}
