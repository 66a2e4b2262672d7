package failover

import (
	"fmt"
	"time"
)

// quietTime is how long a LIM must have stayed on its regular server after a fallback for its next
// failure to count as the first one. It is also the longest backoff of a fallback.
const quietTime = time.Hour

// Flaps counts how often a LIM's regular server failed soon after a fallback (design rule 7). It is
// kept by the standby.
type Flaps struct {
	Count    int       `json:"count,omitempty"`
	FellBack time.Time `json:"fellBack,omitzero"` // the last fallback
}

// failed counts a failure of the regular server, at most one for each fallback.
func (f Flaps) failed(now time.Time) Flaps {
	switch {
	case f.FellBack.IsZero():
		return f
	case now.Sub(f.FellBack) >= quietTime:
		return Flaps{}
	}
	return Flaps{Count: f.Count + 1}
}

// Recent returns the count, or 0 if the server was up for quietTime after the last fallback.
func (f Flaps) Recent(now time.Time) int {
	if !f.FellBack.IsZero() && now.Sub(f.FellBack) >= quietTime {
		return 0
	}
	return f.Count
}

// Forgotten returns when the count is reset if the server does not fail before; zero if the LIM has
// not fallen back.
func (f Flaps) Forgotten() time.Time {
	if f.FellBack.IsZero() {
		return time.Time{}
	}
	return f.FellBack.Add(quietTime)
}

// Hold returns the backoff: how long the regular server must stay up before the next automatic
// fallback. It is first, doubled with each further failure.
func (f Flaps) Hold(first time.Duration) time.Duration {
	if f.Count == 0 {
		return 0
	}
	return min(first<<min(f.Count-1, 16), quietTime)
}

// words describes the count.
func (f Flaps) words(regular string) string {
	if f.Count == 1 {
		return regular + " failed again soon after a fallback"
	}
	return fmt.Sprintf("%s failed %d times soon after a fallback", regular, f.Count)
}
