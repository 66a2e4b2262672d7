package manager

import (
	"cmp"
	"fmt"
	"time"

	"mxcluster/clusterconf"
)

// State is what the PostgreSQL of a server is for the pair.
type State string

// The states. A server on which nothing is set up has none.
const (
	Active   State = "active"   // it accepts writes
	Passive  State = "passive"  // it is read-only, or does not run
	Released State = "released" // it accepted writes, and gave them up for the other server to take
	Unseen   State = "unseen"   // it is not known yet, as while it recovers after a loss of power
)

// Position is how far a history of data goes. One of a later timeline is later.
type Position struct {
	Timeline uint32 `json:"timeline,omitempty"`
	LSN      LSN    `json:"lsn,omitempty"`
}

// IsZero reports whether the position is not known.
func (p Position) IsZero() bool { return p == Position{} }

// Compare tells which of two positions is later, as cmp.Compare does.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.Timeline, q.Timeline), cmp.Compare(p.LSN, q.LSN))
}

// Word is what a server says to the other one of its half of the pair.
type Word struct {
	State    State    `json:"state,omitempty"`   // "": nothing is set up there
	Ready    bool     `json:"ready,omitempty"`   // passive: it streams from the other server
	Position Position `json:"position,omitzero"` // passive and not ready, or released
	Wants    bool     `json:"wants,omitempty"`   // somebody ordered the fallback there
	Leads    bool     `json:"leads,omitempty"`   // passive: it is about to accept writes
}

// View is what a server decides its half of the pair by.
type View struct {
	Role     Role
	Fallback clusterconf.FallbackType
	Here     Word
	LIM      bool          // LIM 1 is served here
	Since    time.Duration // since when the state here is what it is

	Heard    bool // the other server's agent is alive
	Other    Word // as far as it was heard
	OtherLIM bool // LIM 1 is served there
}

// Want is what a server's half of the pair should be.
type Want string

// The wants.
const (
	Stay    Want = "stay"    // as it is
	Lead    Want = "lead"    // accept writes
	Follow  Want = "follow"  // be read-only, and follow the other server
	Release Want = "release" // stop accepting writes, so that the other server can
)

// Contests reports whether this server, which accepts writes, has to take the virtual address off
// because the other one accepts them, too. The one that alone serves LIM 1 keeps it, else the side
// that does not stop in a split brain.
func (v View) Contests(stops clusterconf.Side) bool {
	if !v.Heard || v.Here.State != Active || v.Other.State != Active {
		return false
	}
	if v.LIM != v.OtherLIM {
		return v.OtherLIM
	}
	return (v.Role == Master) == (stops == clusterconf.SideRegular)
}

// releaseLimit is how long a server that gave its writes up waits for the other one to
// accept them.
const releaseLimit = 15 * time.Second

// recoveryLimit is how long a server that may lead waits for what the other one's data turn out
// to be.
const recoveryLimit = time.Minute

// Decide tells what this server's half of the pair should be, and why. It follows LIM 1: to
// the standby always, and back to the regular server by itself or by order, as the fallback
// type says. Of two that accept writes the one that LIM 1 has left gives way; of two that do
// not, the one whose data go further leads.
func Decide(v View) (Want, string) {
	switch {
	case v.Here.State == "":
		return Stay, "nothing is set up on this server"
	case v.Here.State == Active:
		return v.leading()
	case v.Heard && v.Other.State == Active:
		return Follow, "the other server accepts writes"
	case v.Heard && v.Other.State == Released:
		return Lead, "the other server gave its writes up"
	case v.Here.State == Released && v.Heard && v.Since < releaseLimit:
		return Stay, "its writes were given up for the other server"
	case v.Here.State == Released && v.Heard:
		return Follow, "its writes were given up, and the other server did not take them"
	case !v.Heard && v.LIM:
		return Lead, fmt.Sprintf("LIM %d is served here, and the other server is not heard", Home)
	case !v.Heard:
		return Follow, "the other server is not heard"
	case v.Other.State == Unseen && v.Since < recoveryLimit:
		return Follow, "the other server does not know yet how its data stand"
	case v.Other.State == Unseen && v.LIM:
		return Lead, fmt.Sprintf("LIM %d is served here, and the other server does not know how its data stand", Home)
	case v.Other.State == "" && v.LIM:
		return Lead, fmt.Sprintf("LIM %d is served here, and nothing is set up on the other server", Home)
	case v.Here.Position.IsZero() || v.Other.Position.IsZero() && !v.Other.Ready:
		return Follow, "it is not known how far the data go"
	}
	return v.further()
}

// leading decides for a server that accepts writes.
func (v View) leading() (Want, string) {
	switch {
	case !v.Heard:
		return Lead, "it accepts writes, and the other server is not heard"
	case v.Other.State == Active && v.OtherLIM && !v.LIM:
		return Follow, fmt.Sprintf("both servers accept writes, and LIM %d is served on the other one", Home)
	case v.Other.State == Active:
		return Lead, fmt.Sprintf("both servers accept writes; the one that LIM %d leaves gives way", Home)
	case !v.OtherLIM || v.LIM:
		return Lead, "it accepts writes"
	case v.Other.State != Passive || !v.Other.Ready:
		return Lead, fmt.Sprintf("LIM %d is served on the other server, which does not stream yet", Home)
	case v.Role == Master:
		return Release, fmt.Sprintf("LIM %d is served on the standby", Home)
	case v.Fallback == clusterconf.FallbackAutomatic:
		return Release, fmt.Sprintf("LIM %d is back on its regular server, and fallback is automatic", Home)
	case v.Other.Wants:
		return Release, "the fallback was ordered"
	}
	return Lead, fmt.Sprintf("LIM %d is back on its regular server; fallback is manual", Home)
}

// heardLimit is how long a server may take to hear that the other one is about to accept writes.
const heardLimit = 3 * time.Second

// further decides where neither server accepts writes.
func (v View) further() (Want, string) {
	if v.Other.Leads || v.Since < heardLimit {
		return Follow, "neither server accepts writes, and the other one may be about to"
	}
	switch order := v.Here.Position.Compare(v.Other.Position); {
	case order > 0:
		return Lead, "neither server accepts writes, and the data here go further"
	case order < 0:
		return Follow, "neither server accepts writes, and the data of the other server go further"
	case v.LIM:
		return Lead, fmt.Sprintf("neither server accepts writes, their data are the same, and LIM %d is served here", Home)
	}
	return Follow, fmt.Sprintf("neither server accepts writes, and LIM %d is not served here", Home)
}

// Report is what the PostgreSQL of a server says of itself at a moment.
type Report struct {
	SetUp    bool // this server's half of the pair is set up
	Running  bool // it answers
	Unclear  bool // it runs, as far as can be seen, and does not answer: how it stands is not known
	Writes   bool // it accepts writes
	Streams  bool // it receives from the other server
	Followed bool // the other server receives from it
	Position Position
	Problem  string // why it does not answer, or what is not as it should be; "": all is
}
