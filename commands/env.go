// Package commands is the command line: one file per verb, with its flags, its arguments and its
// output. It contains no decisions and no I/O of its own.
package commands

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/events"
	"mxcluster/internal/manager"
	"mxcluster/internal/status"
	"mxcluster/internal/whatif"
	"mxcluster/netops"
)

// Env is everything that commands get from outside.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer

	// Environ are the environment variables, as in os.Environ.
	Environ []string
	// Terminal reports whether a stream above is a terminal.
	Terminal func(stream any) bool
	// Screen opens the terminal to show one page in the place of the other; nil: not possible.
	Screen func() (Screen, error)
	// User returns the user that runs the command, for the record of changes.
	User func() string
	// Now is the clock.
	Now func() time.Time

	// Kernel opens this server's kernel.
	Kernel func() (Kernel, error)
	// Wire opens an interface for ARP.
	Wire func(ifname string) (Wire, error)
	// Agent returns the client of the agent that listens at socket, or at spare while there is no
	// room for socket; start is what a person types to start it.
	Agent func(socket, spare, start string) Agent
	// Edit lets the user change a file in an editor, given as program and arguments.
	Edit func(ctx context.Context, editor []string, file string) error
	// Watch returns a function that waits for the end of a process.
	Watch func(pid int) (wait func(context.Context) error, err error)

	// Machine is what check tries on this server.
	Machine Machine

	// Tell runs a program that only looks, and returns what it prints, at most [bundle.MaxFile]
	// bytes of it: the end.
	Tell func(ctx context.Context, words []string) ([]byte, error)

	// Postgres examines the PostgreSQL of this server, whose name is server.
	Postgres func(ctx context.Context, server string) (*manager.Node, error)

	// PackageVersion is that of a package of this server; "": it is not installed. Install installs packages.
	PackageVersion func(ctx context.Context, name string) (string, error)
	Install        func(ctx context.Context, names []string) error

	// Management opens this server's half of the management system's pair, in a folder.
	Management func(folder string) ManagementPlace
	// HasAccount reports whether this server has an account, and SetPassword gives it a password.
	HasAccount  func(account string) bool
	SetPassword func(ctx context.Context, account, password string) error

	// OwnUser is the user that runs the command if it is the agent's own user; "": it is not.
	OwnUser string
	// ActAs executes the program again as another user, in place of this process; nil: not
	// possible, as for other users than root.
	ActAs func(uid int) error

	// RunAgent runs the agent until ctx ends or it is told to stop.
	RunAgent func(context.Context, AgentSetup) error
	// Fetch fetches the cluster document from the agent at an address.
	Fetch func(ctx context.Context, from netip.AddrPort, keys [][]byte, log *slog.Logger) (*clusterconf.Document, error)

	// ExportWork is the work factor of the encryption of an export (package export).
	ExportWork int

	Version Version
}

// Kernel is what commands ask of this server's kernel (package netops).
type Kernel interface {
	Link(ifname string) (netops.Link, error)
	Links() ([]netops.Link, error)
	Addresses(ifname string) ([]netops.Address, error)
	Hold(ifname string, alias netip.Prefix, lease time.Duration) error
	Drop(ifname string, alias netip.Prefix) error
	EnsureBase(ifname string, base netip.Prefix) error
	Block(ifname string, addr netip.Addr) error
	Unblock(ifname string, addr netip.Addr) error
	Blocked(ifname string) ([]netip.Addr, error)
	Deny(addrs ...netip.Addr) error
	Denied() ([]netip.Addr, error)
	Gateways(ifname string) ([]netip.Addr, error)
	Promotes(ifname string) (bool, error)
	AllowAll() error
	Close() error
}

// Wire is ARP on one interface (package netops).
type Wire interface {
	netops.Prober
	Announce(addr netip.Addr) error
	Close() error
}

// Agent is what commands ask of the agent on this server.
type Agent interface {
	Status(context.Context) (*status.ClusterStatus, error)
	Agent(context.Context) (*control.AgentInfo, error)
	Events(context.Context, events.Query) (*events.List, error)
	Simulate(context.Context, whatif.Scenario) (*whatif.Result, error)
	Order(context.Context, control.Order) (*control.OrderResult, error)
	Exchange(context.Context, control.ExchangeRequest) error
	Edit(context.Context, control.EditRequest) (*control.EditResult, error)
	Stop(context.Context, control.StopRequest) (*control.StopResult, error)
	Reload(context.Context) error
	LookAtData(context.Context) error
	Keys(context.Context) (*control.KeyInfo, error)
	RotateKey(context.Context, control.KeyRequest) (*control.KeyInfo, error)
	Alarms(context.Context) (*status.AlarmList, error)
	Notice(context.Context, control.NoticeRequest) (*control.NoticeResult, error)
	TestSinks(context.Context, control.TestRequest) (*control.TestResult, error)
	Running(context.Context) bool
}
