package netops

import "net/netip"

// Route identifies an IPv4 route in the kernel.
type Route struct {
	Dst    netip.Prefix `json:"dst"`
	Table  int          `json:"table"`
	Metric int          `json:"metric"`
	TOS    int          `json:"tos,omitempty"`
}
