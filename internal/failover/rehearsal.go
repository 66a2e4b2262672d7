package failover

import "time"

// Rehearsal is the result of starting a LIM's software on trial, confined.
type Rehearsal struct {
	At      time.Time       `json:"at"`                // end of the rehearsal
	Version string          `json:"version,omitempty"` // of the data that the software was started on; "": there were none
	Result  RehearsalResult `json:"result"`
	StartMs int64           `json:"startMs,omitempty"` // with ok: duration of the start, in milliseconds
	Text    string          `json:"text,omitempty"`    // what was seen, or why it was not started
}

// RehearsalResult is how a rehearsal ended.
type RehearsalResult string

// The results of rehearsals.
const (
	RehearsalOK      RehearsalResult = "ok"      // it started and was healthy
	RehearsalFailed  RehearsalResult = "failed"  // it did not start, or did not stay healthy
	RehearsalSkipped RehearsalResult = "skipped" // it was not started
	RehearsalAborted RehearsalResult = "aborted" // ended for something more important
)
