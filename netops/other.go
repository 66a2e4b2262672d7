//go:build !linux

package netops

import (
	"context"
	"net"
	"net/netip"
	"runtime"
	"time"

	"mxcluster/internal/fault"
)

// errOther says what this system lacks.
func errOther() error {
	return fault.New(fault.Refused, "run this on the Linux server itself",
		"addresses with a lifetime and raw ARP are asked of the Linux kernel; this is %s", runtime.GOOS)
}

// Kernel cannot be opened on this system.
type Kernel struct{}

// NewKernel returns fault.Refused: not possible on this system.
func NewKernel() (*Kernel, error) { return nil, errOther() }

// Close does nothing.
func (*Kernel) Close() error { return nil }

// Link returns fault.Refused.
func (*Kernel) Link(string) (Link, error) { return Link{}, errOther() }

// Addresses returns fault.Refused.
func (*Kernel) Addresses(string) ([]Address, error) { return nil, errOther() }

// Hold returns fault.Refused.
func (*Kernel) Hold(string, netip.Prefix, time.Duration) error { return errOther() }

// HoldBehind returns fault.Refused.
func (*Kernel) HoldBehind(string, netip.Prefix, time.Duration) error { return errOther() }

// Extend returns fault.Refused.
func (*Kernel) Extend(string, netip.Prefix, time.Duration, time.Time) error { return errOther() }

// Drop returns fault.Refused.
func (*Kernel) Drop(string, netip.Prefix) error { return errOther() }

// EnsureBase returns fault.Refused.
func (*Kernel) EnsureBase(string, netip.Prefix) error { return errOther() }

// Block returns fault.Refused.
func (*Kernel) Block(string, netip.Addr) error { return errOther() }

// Unblock returns fault.Refused.
func (*Kernel) Unblock(string, netip.Addr) error { return errOther() }

// Uncover returns fault.Refused.
func (*Kernel) Uncover(string, netip.Addr) error { return errOther() }

// Deny returns fault.Refused.
func (*Kernel) Deny(...netip.Addr) error { return errOther() }

// Denied returns fault.Refused.
func (*Kernel) Denied() ([]netip.Addr, error) { return nil, errOther() }

// AllowAll returns fault.Refused.
func (*Kernel) AllowAll() error { return errOther() }

// MoveRoutes returns fault.Refused.
func (*Kernel) MoveRoutes(netip.Addr, netip.Addr, []Route) ([]Route, error) { return nil, errOther() }

// Links returns fault.Refused.
func (*Kernel) Links() ([]Link, error) { return nil, errOther() }

// Blocked returns fault.Refused.
func (*Kernel) Blocked(string) ([]netip.Addr, error) { return nil, errOther() }

// CacheNeighbour returns fault.Refused.
func (*Kernel) CacheNeighbour(string, netip.Addr, net.HardwareAddr) error { return errOther() }

// Promotes returns fault.Refused.
func (*Kernel) Promotes(string) (bool, error) { return false, errOther() }

// Gateways returns fault.Refused.
func (*Kernel) Gateways(string) ([]netip.Addr, error) { return nil, errOther() }

// TrySegment returns fault.Refused.
func TrySegment(context.Context, netip.Addr, netip.Addr, int) (full, small bool, err error) {
	return false, false, errOther()
}

// TryBlocking returns fault.Refused.
func TryBlocking() error { return errOther() }

// Point returns fault.Refused.
func (*Kernel) Point(string, netip.Addr, net.HardwareAddr) error { return errOther() }

// Unresolved returns fault.Refused.
func (*Kernel) Unresolved(string) ([]netip.Addr, error) { return nil, errOther() }

// Watch returns fault.Refused.
func (*Kernel) Watch(context.Context) (<-chan Event, error) { return nil, errOther() }

// Wire cannot be opened on this system.
type Wire struct{}

// OpenWire returns fault.Refused: not possible on this system.
func OpenWire(string) (*Wire, error) { return nil, errOther() }

// Subscribe returns a closed channel.
func (*Wire) Subscribe(context.Context) <-chan Observation {
	ch := make(chan Observation)
	close(ch)
	return ch
}

// Echoes returns a closed channel.
func (*Wire) Echoes(context.Context) <-chan Echo {
	ch := make(chan Echo)
	close(ch)
	return ch
}

// Echo returns fault.Refused.
func (*Wire) Echo(netip.Addr, netip.Addr, net.HardwareAddr) error { return errOther() }

// Sent returns 0.
func (*Wire) Sent() uint64 { return 0 }

// Lost returns 0.
func (*Wire) Lost() uint64 { return 0 }

// CatchUp returns fault.Refused.
func (*Wire) CatchUp() (uint64, error) { return 0, errOther() }

// Ask returns fault.Refused.
func (*Wire) Ask(netip.Addr, netip.Addr, net.HardwareAddr) error { return errOther() }

// Announce returns fault.Refused.
func (*Wire) Announce(netip.Addr) error { return errOther() }

// Close does nothing.
func (*Wire) Close() error { return nil }
