package member

import (
	"net/netip"
	"sync"
	"time"

	"mxcluster/internal/member/seal"
)

// refusedEvery is how often it is told of one kind of datagrams that they are refused.
const refusedEvery = time.Minute

// Refusal is datagrams of one kind that were refused.
type Refusal struct {
	Kind   string     // in one word
	Reason string     // why, in words
	Count  uint64     // since that kind was told of last
	From   netip.Addr // where the last one came from, or says that it does
	Peer   bool       // that is the address of a server of the system
}

var reasons = map[seal.Verdict]string{
	seal.Garbled:   "they are no agent's of this version, or were changed on the way",
	seal.OtherKey:  "they are sealed with another gossip key",
	seal.NotForUs:  "they are meant for another server",
	seal.Replayed:  "they were received before",
	seal.Unwelcome: "they are of a run of an agent that does not prove itself",
}

// refusals tells of what is refused: of each kind the first one at once, and what came
// in the next minute at its end, whatever there is, and from wherever.
type refusals struct {
	tell func(Refusal) // may not block

	mu    sync.Mutex
	kinds map[seal.Verdict]*refused
	ended bool
}

type refused struct {
	last  Refusal     // not told yet, if it counts any
	timer *time.Timer // until when nothing is told
}

// note counts a datagram that is refused.
func (r *refusals) note(v seal.Verdict, from netip.Addr, peer func(netip.Addr) bool) {
	known := peer(from)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return
	}
	k := r.kinds[v]
	if k == nil {
		k = &refused{last: Refusal{Kind: v.String(), Reason: reasons[v]}}
		if r.kinds == nil {
			r.kinds = map[seal.Verdict]*refused{}
		}
		r.kinds[v] = k
	}
	k.last.Count++
	k.last.From, k.last.Peer = from, known
	if k.timer == nil {
		r.pass(k)
	}
}

// pass tells of what was counted; the caller holds the lock.
func (r *refusals) pass(k *refused) {
	k.timer = nil
	if r.ended || k.last.Count == 0 {
		return
	}
	r.tell(k.last)
	k.last.Count = 0
	k.timer = time.AfterFunc(refusedEvery, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.pass(k)
	})
}

// end tells nothing any more.
func (r *refusals) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	for _, k := range r.kinds {
		if k.timer != nil {
			k.timer.Stop()
		}
	}
}
