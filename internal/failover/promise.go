package failover

import "time"

// Promise says whether the loss of the server where a LIM is active would be covered now. It
// travels as JSON between agents; fields are only ever added.
type Promise struct {
	Covered *bool         `json:"covered"`          // nil: not known
	On      *string       `json:"on,omitempty"`     // the server whose loss it is about; "": the LIM ran nowhere; nil: that is not known, or not said by an earlier version
	By      string        `json:"by,omitempty"`     // covered: the server that would take over ...
	Detect  time.Duration `json:"detect,omitempty"` // ... after this much silence
	Lease   time.Duration `json:"lease,omitempty"`  // ... and not before the lost server's key at the arbiter has expired, which happens meanwhile; 0: there is no arbiter
	Why     string        `json:"why,omitempty"`    // why it is not covered, or what limits it
	Remedy  *Remedy       `json:"remedy,omitempty"` // nil: none is known
}
