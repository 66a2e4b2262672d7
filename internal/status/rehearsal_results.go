package status

import "mxcluster/internal/failover"

// What came of a rehearsal, as `status` and `rehearse` have it.
const (
	RehearsalOK      = string(failover.RehearsalOK)
	RehearsalFailed  = string(failover.RehearsalFailed)
	RehearsalSkipped = string(failover.RehearsalSkipped)
	RehearsalAborted = string(failover.RehearsalAborted)
)
