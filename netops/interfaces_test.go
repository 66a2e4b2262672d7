package netops_test

import (
	"context"
	"net"
	"net/netip"
	"time"

	"mxcluster/netops"
	"mxcluster/netops/netopstest"
)

// What consumers rely on: the real and the fake have the same methods.
type (
	kernel interface {
		Link(ifname string) (netops.Link, error)
		Addresses(ifname string) ([]netops.Address, error)
		Hold(ifname string, alias netip.Prefix, lease time.Duration) error
		HoldBehind(ifname string, alias netip.Prefix, lease time.Duration) error
		Extend(ifname string, alias netip.Prefix, lease time.Duration, until time.Time) error
		Drop(ifname string, alias netip.Prefix) error
		EnsureBase(ifname string, base netip.Prefix) error
		Block(ifname string, addr netip.Addr) error
		Unblock(ifname string, addr netip.Addr) error
		Blocked(ifname string) ([]netip.Addr, error)
		CacheNeighbour(ifname string, addr netip.Addr, mac net.HardwareAddr) error
		Gateways(ifname string) ([]netip.Addr, error)
		Promotes(ifname string) (bool, error)
		Point(ifname string, addr netip.Addr, mac net.HardwareAddr) error
		Watch(ctx context.Context) (<-chan netops.Event, error)
		Close() error
	}
	wire interface {
		Subscribe(ctx context.Context) <-chan netops.Observation
		Ask(from, target netip.Addr, to net.HardwareAddr) error
		Announce(addr netip.Addr) error
		Echo(from, target netip.Addr, to net.HardwareAddr) error
		Echoes(ctx context.Context) <-chan netops.Echo
		Sent() uint64
		CatchUp() (lost uint64, err error)
		Lost() uint64
		Close() error
	}
)

var (
	_ kernel        = (*netops.Kernel)(nil)
	_ kernel        = (*netopstest.Kernel)(nil)
	_ wire          = (*netops.Wire)(nil)
	_ wire          = (*netopstest.Wire)(nil)
	_ netops.Prober = wire(nil)
)
