package member

import (
	"net/netip"
	"sync"
	"time"
)

// incoming is one datagram, one message or one remote state, as it arrived.
type incoming struct {
	at     time.Time
	body   []byte
	states bool           // body came with a push/pull
	from   string         // of a datagram: who sealed it; "": it came over a connection
	source netip.AddrPort // of a datagram: where it really came from

	refusal *Refusal // nothing came that counts, but this
}

// queueLimit is how many may wait before datagrams are lost, as UDP loses them.
const queueLimit = 8192

// queue never blocks who puts something into it: a delegate may not.
type queue struct {
	mu     sync.Mutex
	cond   *sync.Cond
	items  []incoming
	closed bool
}

func newQueue() *queue {
	q := &queue{}
	q.cond = sync.NewCond(&q.mu)
	return q
}

// put adds an item, unless the queue is closed. What came reliably is kept however
// many wait.
func (q *queue) put(in incoming, reliable bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || !reliable && len(q.items) >= queueLimit {
		return
	}
	q.items = append(q.items, in)
	q.cond.Signal()
}

// take waits for the next item; false when the queue is closed.
func (q *queue) take() (incoming, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) == 0 && !q.closed {
		q.cond.Wait()
	}
	if q.closed {
		return incoming{}, false
	}
	in := q.items[0]
	q.items[0] = incoming{} // its body may go before the slice does
	q.items = q.items[1:]
	return in, true
}

// close ends the queue; what is still in it is dropped.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed, q.items = true, nil
	q.cond.Broadcast()
}
