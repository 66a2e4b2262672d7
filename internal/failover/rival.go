package failover

import "time"

// RivalPatience is how long the other server of a LIM may take to answer whether it has
// the alias, before its last word decides.
const RivalPatience = 100 * time.Millisecond

// freeMargin is by how much longer than a frame is old its sender must have been without
// an alias, for the frame not to be its own: agents look at kernels once a second.
const freeMargin = 2 * time.Second

// AliasAnswer is what a server answers when it is asked for a LIM's alias. It travels as JSON
// between agents; fields are only ever added.
type AliasAnswer struct {
	Holds bool          `json:"holds,omitempty"` // it has it on the wire, or is about to
	Term  uint64        `json:"term,omitempty"`  // under which the LIM runs or last ran there
	Free  time.Duration `json:"free,omitempty"`  // !Holds: for how long it has not had it
}

// Rival is what is known when frames with the MAC address of a LIM's other server claim
// the alias, which this server holds. Anybody in the subnet can send such frames.
type Rival struct {
	Now    time.Time
	Asked  time.Time    // when the other server was asked
	Answer *AliasAnswer // to that; nil: none yet
	Yields bool         // this side gives way where both have it (see [Yields])
	Began  time.Time    // since when this server has the alias

	LastHolds bool      // by its last word the other server has it on the wire, an alias included that a stopped agent left
	LastHeard time.Time // when it last stood by that; zero: never
}

// RivalVerdict is what follows for the side that holds an alias.
type RivalVerdict string

// The verdicts.
const (
	RivalAwaited RivalVerdict = "awaited" // the answer may still come
	RivalWins    RivalVerdict = "wins"    // this side gives way
	RivalLoses   RivalVerdict = "loses"   // both may have it, and the other side gives way
	RivalDenies  RivalVerdict = "denies"  // the other server says that it does not have it
	RivalMute    RivalVerdict = "mute"    // it does not answer, and had not got it when it last spoke
)

// Judge decides by the word of the other server, which is authentic, and not by the
// frames, which are not.
func (r Rival) Judge() RivalVerdict {
	holds := RivalLoses
	if r.Yields {
		holds = RivalWins
	}
	switch {
	case r.Answer != nil && r.Answer.Holds:
		return holds
	case r.Answer != nil:
		return RivalDenies
	case r.Now.Sub(r.Asked) < RivalPatience:
		return RivalAwaited
	case r.LastHolds, !r.LastHeard.After(r.Began):
		return holds // it may have it, as far as anybody knows
	}
	return RivalMute
}

// Disowns reports whether a frame that came so long ago cannot be of the kernel of the
// server whose word it is.
func (w AliasAnswer) Disowns(age time.Duration) bool {
	return !w.Holds && w.Free >= max(age, 0)+freeMargin
}
