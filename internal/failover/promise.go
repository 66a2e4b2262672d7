package failover

import "time"

// Promise says whether the loss of the server where a LIM is active, now, would be
// covered. It travels as JSON between agents; fields are only ever added.
type Promise struct {
	Covered *bool         `json:"covered"`          // nil: that cannot be seen
	By      string        `json:"by,omitempty"`     // covered: the server that takes over ...
	Detect  time.Duration `json:"detect,omitempty"` // ... after so much silence
	Lease   time.Duration `json:"lease,omitempty"`  // ... and not before the lost server's key at the arbiter has run out, which it does meanwhile; 0: there is none
	Why     string        `json:"why,omitempty"`    // it is not, or what limits it
	Remedy  *Remedy       `json:"remedy,omitempty"` // what people can do about it; nil: nothing is known
}
