package netops

import "net/netip"

// Route names an IPv4 route of the kernel by what tells it from others.
type Route struct {
	Dst    netip.Prefix `json:"dst"`
	Table  int          `json:"table"`
	Metric int          `json:"metric"`
	TOS    int          `json:"tos,omitempty"`
}
