package member

import (
	"encoding/json"
	"net/netip"
	"time"
)

// record is one server's state, numbered in the order in which that server
// spoke. It travels straight and by push/pull.
type record struct {
	Origin  string          `json:"o"`
	Seq     uint64          `json:"s"`
	Payload json.RawMessage `json:"p,omitempty"`
}

// reach is how far the number of a state, which begins with a clock, may be ahead of this
// server's. A greater one is no server's. The bound moves with the clock, so that a number
// at it, which a server that lies put under another's name, is outlived at once.
const reach = 100 * 365 * 24 * time.Hour

// highest is the greatest number that a state can have now.
func highest(now time.Time) uint64 { return firstSeq(now) + uint64(reach) }

// valid reports whether the record is a state that a server can have.
func (r record) valid(now time.Time) bool {
	return r.Origin != "" && len(r.Payload) > 0 && r.Seq <= highest(now)
}

// firstSeq puts a run's states after those of earlier runs, as long as the
// clock does not go back; where it did, see [Pool.outlive].
func firstSeq(now time.Time) uint64 { return uint64(max(now.UnixNano(), 0)) }

// envelope is the form of every message.
type envelope struct {
	Kind    string          `json:"k"`
	Origin  string          `json:"o"`
	Addr    netip.AddrPort  `json:"a,omitzero"`  // where the origin is reached
	Sent    int64           `json:"t,omitempty"` // by the origin's clock, in milliseconds since 1970
	Seq     uint64          `json:"s,omitempty"` // of the origin's state; 0: it has none yet
	Known   uint64          `json:"n,omitempty"` // kindAsk: the receiver's state that the origin knows
	Payload json.RawMessage `json:"p,omitempty"`
}

// sentAt returns the time that the origin put on the envelope; zero if none.
func (e envelope) sentAt() time.Time {
	if e.Sent == 0 {
		return time.Time{}
	}
	return time.UnixMilli(e.Sent)
}

// The kinds of envelopes.
const (
	kindState   = "state"
	kindBeat    = "beat"
	kindAsk     = "ask"
	kindMessage = "message"
	kindNote    = "note"
)
