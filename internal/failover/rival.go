package failover

import "time"

// RivalPatience is how long the other server of a LIM may take to answer whether it has the alias,
// before its last claim decides.
const RivalPatience = 100 * time.Millisecond

// freeMargin is by how much longer than the age of a frame its apparent sender must have been
// without the alias for the frame to come from another host: agents check the kernel once a second.
const freeMargin = 2 * time.Second

// AliasAnswer is a server's answer whether it has a LIM's alias. It travels as JSON between agents;
// fields are only ever added.
type AliasAnswer struct {
	Holds bool          `json:"holds,omitempty"` // the alias is on the wire there, or about to be
	Term  uint64        `json:"term,omitempty"`  // under which the LIM runs or last ran there
	Free  time.Duration `json:"free,omitempty"`  // without Holds: for how long it has not been on the wire
}

// Rival is what is known when frames with the MAC address of a LIM's other server claim the alias
// that this server holds. Any host in the subnet can send such frames.
type Rival struct {
	Now    time.Time
	Asked  time.Time    // when the other server was asked
	Answer *AliasAnswer // nil: none yet
	Yields bool         // this side yields if both have it (see [Yields])
	Began  time.Time    // since when this server has the alias

	LastHolds bool      // by its last claim the other server has it on the wire, possibly left there by a stopped agent
	LastHeard time.Time // when that claim was last confirmed; zero: never
}

// RivalVerdict is the decision about a rival's claim.
type RivalVerdict string

// The verdicts.
const (
	RivalAwaited RivalVerdict = "awaited" // the answer may still come
	RivalWins    RivalVerdict = "wins"    // this side yields
	RivalLoses   RivalVerdict = "loses"   // both may have it, and the other side yields
	RivalDenies  RivalVerdict = "denies"  // the other server answers that it does not have it
	RivalMute    RivalVerdict = "mute"    // it does not answer, and did not have it by its last claim
)

// Judge decides by the other server's answer and claim, which are authenticated, and not by the
// frames.
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
		return holds // it may have it
	}
	return RivalMute
}

// Disowns reports whether a frame of this age cannot come from the server that gave the answer.
func (w AliasAnswer) Disowns(age time.Duration) bool {
	return !w.Holds && w.Free >= max(age, 0)+freeMargin
}
