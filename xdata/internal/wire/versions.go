package wire

import (
	"fmt"

	"mxcluster/internal/fault"
)

// Versions are those of the protocol that a side speaks: all from the oldest to the newest.
type Versions struct{ Oldest, Newest int }

// Spoken are the versions that this program speaks. What an older peer would misunderstand raises
// the newest one. The one before it is spoken still, so that a system is upgraded server by server.
var Spoken = Versions{Oldest: 7, Newest: 7}

// Greeting is the greeting of a server that speaks these versions.
func (v Versions) Greeting() Greeting {
	return Greeting{Magic: ProtocolMagic, Version: v.Oldest, Newest: v.Newest}
}

// Versions are those that the sender of a greeting speaks.
func (g Greeting) Versions() Versions {
	return Versions{Oldest: g.Version, Newest: max(g.Version, g.Newest)}
}

// Common is the newest version that both speak; 0: there is none.
func (v Versions) Common(w Versions) int {
	if newest := min(v.Newest, w.Newest); newest >= v.Oldest && newest >= w.Oldest {
		return newest
	}
	return 0
}

// Check refuses a version that a client asks for and that is not spoken.
func (v Versions) Check(asked int) error {
	asks := Versions{Oldest: asked, Newest: asked}
	if v.Common(asks) != 0 {
		return nil
	}
	return fault.New(fault.Refused, "upgrade mxcluster on the older of the two servers, then synchronise again",
		"the server that asks speaks %s of the protocol of syncs, this one %s", asks, v)
}

// String names the versions.
func (v Versions) String() string {
	if v.Oldest == v.Newest {
		return fmt.Sprintf("version %d", v.Oldest)
	}
	return fmt.Sprintf("versions %d to %d", v.Oldest, v.Newest)
}
