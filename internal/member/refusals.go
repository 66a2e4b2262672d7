package member

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"mxcluster/internal/member/seal"
)

// refusedEvery is how often it is told of one kind of datagrams that they are refused.
const refusedEvery = time.Minute

// RefusedConnections is the kind of a refusal of connections; the others are of datagrams,
// or of what a server says of itself.
const RefusedConnections = "connection"

// Refusal is something that was not believed.
type Refusal struct {
	Kind    string       // in one word
	Reason  string       // what it is, in words
	Remedy  string       // what people can do; "": nothing is known
	Count   uint64       // since that kind was told of last
	From    netip.Addr   // where the last one came from, or says that it does
	Servers []netip.Addr // addresses of servers of the system among those where they came from
}

var reasons = map[string]string{
	RefusedConnections: "without a key of this system, or not in time",

	seal.Garbled.String():   "no agent's of this version, or changed on the way",
	seal.OtherKey.String():  "sealed with another gossip key",
	seal.NotForUs.String():  "meant for another server",
	seal.Replayed.String():  "received before",
	seal.Unwelcome.String(): "of a run of an agent that does not prove itself",
}

// remedies are for a server that is there and speaks so. Of the other kinds somebody may
// have recorded what it said.
var remedies = map[string]string{
	seal.Garbled.String():  "compare mxcluster version on both",
	seal.OtherKey.String(): "give it gossip.key of a server of the system, or see how far a change of the key is",
}

// refusals tells of what is refused: of each kind the first one at once, and the first of
// each server's address; what else came in the next minute at its end, whatever there is,
// and from wherever.
type refusals struct {
	tell func(Refusal) // may not block

	mu    sync.Mutex
	kinds map[string]*refused
	ended bool
}

type refused struct {
	last  Refusal             // not told yet, if it counts any
	told  map[netip.Addr]bool // servers' addresses, in this minute
	timer *time.Timer         // until when nothing else is told
}

// note counts something that is refused.
func (r *refusals) note(kind string, from netip.Addr, peer func(netip.Addr) bool) {
	known := peer(from)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return
	}
	k := r.kinds[kind]
	if k == nil {
		k = &refused{last: Refusal{Kind: kind, Reason: reasons[kind], Remedy: remedies[kind]}, told: map[netip.Addr]bool{}}
		if r.kinds == nil {
			r.kinds = map[string]*refused{}
		}
		r.kinds[kind] = k
	}
	k.last.Count++
	k.last.From = from
	fresh := known && !k.told[from]
	if known && !slices.Contains(k.last.Servers, from) {
		k.last.Servers = append(k.last.Servers, from)
	}
	if fresh || k.timer == nil {
		r.pass(k)
	}
}

// pass tells of what was counted; the caller holds the lock.
func (r *refusals) pass(k *refused) {
	if r.ended || k.last.Count == 0 {
		return
	}
	for _, s := range k.last.Servers {
		k.told[s] = true
	}
	r.tell(k.last)
	k.last.Count, k.last.Servers = 0, nil
	if k.timer == nil {
		k.timer = time.AfterFunc(refusedEvery, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			k.timer, k.told = nil, map[netip.Addr]bool{}
			r.pass(k)
		})
	}
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
