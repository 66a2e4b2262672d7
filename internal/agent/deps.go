package agent

import (
	"context"
	"io/fs"
	"net"
	"net/netip"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/arbiter/keeper"
	"mxcluster/internal/failover"
	"mxcluster/internal/member"
	"mxcluster/internal/rehearsal"
	"mxcluster/internal/rotation"
	"mxcluster/internal/services"
	"mxcluster/internal/sinks"
	"mxcluster/netops"
)

// Kernel is what the agent asks of this server's kernel (package netops).
type Kernel interface {
	Link(ifname string) (netops.Link, error)
	Addresses(ifname string) ([]netops.Address, error)
	Hold(ifname string, alias netip.Prefix, lease time.Duration) error
	HoldBehind(ifname string, alias netip.Prefix, lease time.Duration) error
	Extend(ifname string, alias netip.Prefix, lease time.Duration, until time.Time) error
	Drop(ifname string, alias netip.Prefix) error
	EnsureBase(ifname string, base netip.Prefix) error
	Block(ifname string, addr netip.Addr) error
	Unblock(ifname string, addr netip.Addr) error
	Uncover(ifname string, addr netip.Addr) error
	Blocked(ifname string) ([]netip.Addr, error)
	Deny(addrs ...netip.Addr) error
	Denied() ([]netip.Addr, error)
	Links() ([]netops.Link, error)
	MoveRoutes(from, to netip.Addr, only []netops.Route) ([]netops.Route, error)
	CacheNeighbour(ifname string, addr netip.Addr, mac net.HardwareAddr) error
	Point(ifname string, addr netip.Addr, mac net.HardwareAddr) error
	Unresolved(ifname string) ([]netip.Addr, error)
	Gateways(ifname string) ([]netip.Addr, error)
	Watch(ctx context.Context) (<-chan netops.Event, error)
}

// Wire is ARP and ICMP echo on one interface (package netops).
type Wire interface {
	Subscribe(ctx context.Context) <-chan netops.Observation
	CatchUp() (lost uint64, err error)
	Ask(from, target netip.Addr, to net.HardwareAddr) error
	Announce(addr netip.Addr) error
	Echo(from, target netip.Addr, to net.HardwareAddr) error
	Echoes(ctx context.Context) <-chan netops.Echo
	Sent() uint64
	Close() error
}

// Pool is the gossip with the other servers (package member).
type Pool interface {
	Events() <-chan member.Event
	SetPeers(peers map[string][]netip.AddrPort)
	Publish(payload []byte)
	Beat(names ...string)
	Ask(name string)
	Tell(name string, payload []byte)
	SetKeys(keys [][]byte) error
	Send(ctx context.Context, name string, payload []byte) error
	Members() []string
	Join(addrs ...netip.AddrPort) (int, error)
	Leave(timeout time.Duration) error
	Close() error
}

// Documents is the store of the cluster document (package clusterconf).
type Documents interface {
	Adopt(ctx context.Context, d *clusterconf.Encoded) (clusterconf.Adoption, error)
	Edit(ctx context.Context, change clusterconf.Change, fn func(*clusterconf.Document) error) (clusterconf.Result, error)
	EditFrom(ctx context.Context, hash string, change clusterconf.Change, fn func(*clusterconf.Document) error) (clusterconf.Result, error)
	Look() clusterconf.Found
	SetAside(ctx context.Context, found clusterconf.Found, d *clusterconf.Encoded) (kept string, err error)
	TakeByHand(ctx context.Context, found clusterconf.Found, before *clusterconf.Encoded, change clusterconf.Change) (clusterconf.Result, error)
	Remember(d *clusterconf.Encoded) error
	Remembered() *clusterconf.Encoded
}

// Deps are the effects of an agent. Run fills them in for production; tests and simulations use
// their own.
type Deps struct {
	Kernel    Kernel
	OpenWire  func(ifname string) (Wire, error)
	Probe     func(ctx context.Context, w Wire, addr netip.Addr) (mac net.HardwareAddr, inUse bool, err error)
	OpenPool  func(bind netip.AddrPort, keys [][]byte) (Pool, error)
	Keys      rotation.File
	Documents Documents
	Changed   func(ctx context.Context) <-chan struct{} // receives a value when the document's file may have changed
	State     StateFile
	Events    EventLog
	Software  func(lim *clusterconf.LIM, side clusterconf.Side) (services.Set, error)
	Ability   func(ctx context.Context, lim *clusterconf.LIM, env services.Env) (failed, unknown string) // runs the LIM's checks of this server, see [services.Ability]; nil: there are none
	Prune     func(ctx context.Context, lim int) (removed int, err error)                                // removes all data versions but the newest, after that was verified
	Data      func(lim int) DataHere                                                                     // lists data versions

	Room    func() error                        // why a disk has no room for the agent's state; nil: not checked
	Started func(lim int, version string) error // records that a LIM is started on a version; nil: not recorded

	OtherSettings func() string // how the settings on the disk differ from those in use; "": they do not; nil: not checked
	// Rehearse starts a LIM's software on trial, confined, and returns when all of it has ended;
	// nil: not possible on this server. EndRehearsals ends all software on trial of this and
	// earlier runs of the agent, and returns when it is gone or the limit is over.
	Rehearse      func(ctx context.Context, spec rehearsal.Spec) (failover.Rehearsal, error)
	EndRehearsals func(limit time.Duration) error

	Prompts      func(dir string) error         // why announcement prompts cannot be read from a folder; nil: not checked
	Files        fs.FS                          // the server's files, to find the one that adds an address; nil: not searched
	Notify       func(state string) error       // tells the service manager the agent's state (sd_notify)
	ShuttingDown func(ctx context.Context) bool // whether the operating system is shutting down
	Sync         SyncFunc                       // copies new data to the other side; nil: not done by the agent

	Arbiter keeper.Arbiter // nil: there is none
	Sinks   []sinks.Sink   // that are told of alarms

	Management ManagementSystem // nil: this server cannot have one

	// Synced returns the history of a LIM's syncs; nil: there is none.
	Synced func(lim int, now time.Time) (SyncRecord, error)
}
