package clusterconf

import (
	"fmt"
	"time"

	"mxcluster/internal/fault"
)

// Reach is how far revision and epoch of another server's document may be ahead of
// those here. A number further ahead is a lie or damage: nothing could be edited above it.
const Reach = 1 << 20

// maxAhead is how far the time of a document may be ahead of this server's clock, as
// clocks that NTP keeps are not (spec ch. 3).
const maxAhead = 2 * time.Second

// Beyond says which number of another document's age is beyond reason, for a server that
// works by a; "" where none is.
func (a Age) Beyond(other Age) string {
	switch {
	case other.Revision > a.Revision && other.Revision-a.Revision > Reach:
		return fmt.Sprintf("revision %d of the cluster document, where %d is in force here", other.Revision, a.Revision)
	case other.Epoch > a.Epoch && other.Epoch-a.Epoch > Reach:
		return fmt.Sprintf("epoch %d of the cluster document, where %d is in force here", other.Epoch, a.Epoch)
	}
	return ""
}

// withinReach refuses a document whose numbers are beyond reason.
func withinReach(d, stored *Document) error {
	if why := stored.Age().Beyond(d.Age()); why != "" {
		return fault.New(fault.Refused, "look at the server that it came from: mxcluster events", "the document is not taken over: it has %s", why)
	}
	return nil
}

// ahead is 1 for a document that says that it was made in the future, else 0.
func ahead(d *Document, now time.Time) int {
	if d.Changed.At.Sub(now) > maxAhead {
		return 1
	}
	return 0
}
