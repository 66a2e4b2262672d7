//go:build !linux

package netns

import (
	"net"
	"net/netip"

	"mxcluster/internal/fault"
)

// errOther says what this system lacks.
func errOther() error {
	return fault.New(fault.Refused, "use a Linux machine", "network namespaces exist on Linux only")
}

// NS is an open network namespace; no other system than Linux has any.
type NS struct{}

// New returns an error: not possible on this system.
func New() (*NS, error) { return nil, errOther() }

// Current returns an error: not possible on this system.
func Current() (*NS, error) { return nil, errOther() }

// FromPID returns an error: not possible on this system.
func FromPID(int) (*NS, error) { return nil, errOther() }

// AddBridge returns an error: not possible on this system.
func AddBridge(*NS, string) error { return errOther() }

// AddVeth returns an error: not possible on this system.
func AddVeth(*NS, string, *NS, string, net.HardwareAddr) error { return errOther() }

// Do returns an error: not possible on this system.
func (*NS) Do(func() error) error { return errOther() }

// FD returns -1.
func (*NS) FD() int { return -1 }

// Close returns nil.
func (*NS) Close() error { return nil }

// Attach returns an error: not possible on this system.
func (*NS) Attach(string, string) error { return errOther() }

// Detach returns an error: not possible on this system.
func (*NS) Detach(string) error { return errOther() }

// SetUp returns an error: not possible on this system.
func (*NS) SetUp(string) error { return errOther() }

// SetDown returns an error: not possible on this system.
func (*NS) SetDown(string) error { return errOther() }

// Delete returns an error: not possible on this system.
func (*NS) Delete(string) error { return errOther() }

// AddAddress returns an error: not possible on this system.
func (*NS) AddAddress(string, netip.Prefix) error { return errOther() }

// DeleteAddress returns an error: not possible on this system.
func (*NS) DeleteAddress(string, netip.Prefix) error { return errOther() }

// AddDefaultRoute returns an error: not possible on this system.
func (*NS) AddDefaultRoute(string, netip.Addr) error { return errOther() }

// AddRoute returns an error: not possible on this system.
func (*NS) AddRoute(string, netip.Prefix, netip.Addr) error { return errOther() }

// HardwareAddr returns an error: not possible on this system.
func (*NS) HardwareAddr(string) (net.HardwareAddr, error) { return nil, errOther() }
