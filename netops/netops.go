// Package netops is the interface to the operating system's network. It carries out requests and
// decides nothing. A Kernel holds, renews and drops addresses and reports changes; a Wire sends and
// receives ARP and, for IPv6, neighbour discovery on one interface. Package netopstest has the same
// methods in memory, on the clock of time.Now, so that a whole cluster runs in a testing/synctest
// bubble.
//
// # The address is a lease
//
// Hold gives an address a limited lifetime, Extend renews it, and a process
// that is killed, stopped or hung does neither: the kernel itself takes the
// address away. The kernel counts lifetimes in whole seconds; a lease of 2.5 s
// becomes 3 s. It takes an expired address away about a third of a second late
// at most; only if another address of the namespace was added or renewed less
// than a second before the expiry, up to one second more.
//
// The kernel drops every secondary address of a subnet together with the
// primary one unless promote_secondaries is set, and the alias is the primary
// one where it was there first. Every method that changes addresses therefore
// sets promote_secondaries on the interface before anything else.
//
// The kernel sends from the primary address where a program names none. IPv6 addresses
// know no primary one, and the kernel would take the one that came last: there a lease
// is deprecated from the start, which serves callers and is not sent from unasked. Nor
// does it have a route of its own to the subnet: the kernel has one such route for all
// addresses, and would have it end with the lease. No address is held back for duplicate address detection
// (IFA_F_NODAD), which takes a second: whoever takes one probes first.
//
// Linux does all this; elsewhere NewKernel and OpenWire say that it cannot be
// done.
package netops

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"mxcluster/internal/fault"
)

// Link is one network interface.
type Link struct {
	Name  string // the kernel's name, even if another one was asked for
	Index int
	MAC   net.HardwareAddr
	Up    bool // enabled, and with a carrier

	Enabled bool // enabled by the administrator

	Received uint64 // frames received since the interface was created
	MTU      int    // bytes of the largest packet
}

// Address is one address of an interface.
type Address struct {
	Interface string
	Prefix    netip.Prefix
	Permanent bool
	Remaining time.Duration // time to live, in whole seconds, rounded up; 0 for a permanent one
	Secondary bool          // another IPv4 address of the subnet was added before
}

// Event says that something changed in the network namespace; the receiver reads what it needs
// again. Events that are not received in time are merged. The renewal of a lease is no change.
type Event struct {
	Addresses bool // an address was added, removed, or became permanent or leased
	Links     bool // an interface was added, removed, or changed, for instance lost its carrier
	Blocks    bool // rules of nftables changed, and perhaps blocks with them
	Routes    bool // a route that may have a gateway was added, removed, or changed
}

// Merge returns an event that covers both.
func (e Event) Merge(other Event) Event {
	return Event{Addresses: e.Addresses || other.Addresses, Links: e.Links || other.Links, Blocks: e.Blocks || other.Blocks, Routes: e.Routes || other.Routes}
}

// ErrLeaseLost says that a lease cannot be renewed: it has expired, or the address is gone. The
// address is not on the interface when this error is returned.
var ErrLeaseLost = errors.New("the lease ran out")

const (
	hintPermission = "run as root, or give the program CAP_NET_ADMIN and CAP_NET_RAW"
	// eventDepth of one, since events merge.
	eventDepth = 1
	// heardDepth is enough for the frames of a busy subnet while a subscriber
	// does something else for some tens of milliseconds.
	heardDepth = 256
)

// wrap adds what was being done to an error of the kernel. A missing privilege gets its own exit
// code and remedy.
func wrap(err error, format string, args ...any) error {
	if fault.CodeOf(err) == fault.NotPermitted {
		return fault.Wrap(err, fault.NotPermitted, hintPermission, format, args...)
	}
	return fault.Wrap(err, fault.CodeOf(err), fault.HintOf(err), format, args...)
}

// CheckAddress refuses addresses that the calls for addresses cannot handle.
func CheckAddress(p netip.Prefix) error {
	a := p.Addr()
	if p.IsValid() && (a.Is4() || isIPv6(a)) && !a.IsUnspecified() && !a.IsMulticast() {
		return nil
	}
	return fault.New(fault.Usage, "give an address as A.B.C.D/LEN, or of IPv6", "%q is not an address with a prefix length", p)
}
