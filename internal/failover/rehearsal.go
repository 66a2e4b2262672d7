package failover

import "time"

// Rehearsal is what came of starting a LIM's software on trial, where nobody sees it.
type Rehearsal struct {
	At      time.Time       `json:"at"`                // when it ended
	Version string          `json:"version,omitempty"` // of the data that it was started on; "": there were none
	Result  RehearsalResult `json:"result"`
	StartMs int64           `json:"startMs,omitempty"` // ok: how long the start took, in milliseconds
	Text    string          `json:"text,omitempty"`    // what was seen, or why not
}

// RehearsalResult says how a rehearsal ended.
type RehearsalResult string

// The results of rehearsals.
const (
	RehearsalOK      RehearsalResult = "ok"      // it started, and was healthy
	RehearsalFailed  RehearsalResult = "failed"  // it did not, or not for long
	RehearsalSkipped RehearsalResult = "skipped" // it was not started
	RehearsalAborted RehearsalResult = "aborted" // something more important ended it
)
