package failover

import (
	"fmt"
	"time"
)

// quietTime is how long a LIM must have stayed on its regular server after a
// fallback for its next failure to count as the first one again. It is also the
// longest time that a fallback is held back.
const quietTime = time.Hour

// Flaps counts how often a LIM's regular server failed soon after a fallback
// (design rule 7). The standby keeps it; the zero value counts none.
type Flaps struct {
	Count    int       `json:"count,omitempty"`
	FellBack time.Time `json:"fellBack,omitzero"` // the last fallback
}

// failed counts a failure of the regular server, once for each fallback.
func (f Flaps) failed(now time.Time) Flaps {
	switch {
	case f.FellBack.IsZero():
		return f
	case now.Sub(f.FellBack) >= quietTime:
		return Flaps{}
	}
	return Flaps{Count: f.Count + 1}
}

// Recent returns the count as long as it still matters: a server that has been
// quiet for an hour since the last fallback is forgiven.
func (f Flaps) Recent(now time.Time) int {
	if !f.FellBack.IsZero() && now.Sub(f.FellBack) >= quietTime {
		return 0
	}
	return f.Count
}

// Forgotten is when the count starts anew unless the server fails before; zero while
// the LIM has not fallen back.
func (f Flaps) Forgotten() time.Time {
	if f.FellBack.IsZero() {
		return time.Time{}
	}
	return f.FellBack.Add(quietTime)
}

// Hold is for how long the regular server must stay up before the next
// automatic fallback: the first time, doubled with each failure.
func (f Flaps) Hold(first time.Duration) time.Duration {
	if f.Count == 0 {
		return 0
	}
	return min(first<<min(f.Count-1, 16), quietTime)
}

// words says what the count means.
func (f Flaps) words(regular string) string {
	if f.Count == 1 {
		return regular + " failed again soon after a fallback"
	}
	return fmt.Sprintf("%s failed %d times soon after a fallback", regular, f.Count)
}
