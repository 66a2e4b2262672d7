package whatif

import (
	"time"

	"mxcluster/internal/detector/evidence"
)

// ARP returns how many ARP packets a second a server sends, at the most and whatever its
// budget, for each other one whose kernel answers no echoes: while all is well, and while
// signs of life are missing. 0: with this silence limit the budget bounds them.
func ARP(limit time.Duration) (well, doubt int) { return evidence.ARPRates(limit) }
