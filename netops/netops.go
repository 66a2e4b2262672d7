// Package netops is the whole boundary to the operating system's network: what
// the kernel is asked for, and nothing that decides when. A Kernel holds,
// renews and drops addresses and says what changed; a Wire speaks ARP and, for
// IPv6, neighbour discovery on one interface. Package netopstest has the same methods
// over memory and follows time.Now, so that a whole cluster runs in a testing/synctest bubble.
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
	Name  string // the kernel's own, whatever it was asked for by
	Index int
	MAC   net.HardwareAddr
	Up    bool // set up by the administrator, and with a carrier

	Enabled bool // set up by the administrator

	Received uint64 // frames that came in since the interface was made
}

// Address is one address of an interface.
type Address struct {
	Interface string
	Prefix    netip.Prefix
	Permanent bool
	Remaining time.Duration // time to live, in whole seconds, rounded up; 0 for a permanent one
	Secondary bool          // another IPv4 address of the subnet was there first
}

// Event says that something changed in the network namespace; the receiver
// reads what it cares about anew. Events that are not received in time are
// merged into one. The renewal of a lease is no change.
type Event struct {
	Addresses bool // an address came, went, or became permanent or a lease
	Links     bool // an interface came, went, or changed, for instance lost its carrier
	Blocks    bool // the kernel's rules changed, and with them perhaps what is blocked
	Routes    bool // a route that may have a gateway came, went, or changed
}

// Merge returns an event that stands for both.
func (e Event) Merge(other Event) Event {
	return Event{Addresses: e.Addresses || other.Addresses, Links: e.Links || other.Links, Blocks: e.Blocks || other.Blocks, Routes: e.Routes || other.Routes}
}

// ErrLeaseLost says that an address is no longer ours to renew: its time ran
// out or it is gone. It is not on the interface when this error is returned.
var ErrLeaseLost = errors.New("the lease ran out")

const (
	hintPermission = "run as root, or give the program CAP_NET_ADMIN and CAP_NET_RAW"
	// eventDepth of one, since events merge.
	eventDepth = 1
	// heardDepth is enough for the frames of a busy subnet while a subscriber
	// does something else for some tens of milliseconds.
	heardDepth = 256
)

// wrap says what was being done when the kernel refused, and gives a missing
// right its own exit code and remedy.
func wrap(err error, format string, args ...any) error {
	if fault.CodeOf(err) == fault.NotPermitted {
		return fault.Wrap(err, fault.NotPermitted, hintPermission, format, args...)
	}
	return fault.Wrap(err, fault.CodeOf(err), fault.HintOf(err), format, args...)
}

// CheckAddress refuses what the address calls here cannot handle.
func CheckAddress(p netip.Prefix) error {
	a := p.Addr()
	if p.IsValid() && (a.Is4() || isIPv6(a)) && !a.IsUnspecified() && !a.IsMulticast() {
		return nil
	}
	return fault.New(fault.Usage, "give an address as A.B.C.D/LEN, or of IPv6", "%q is not an address with a prefix length", p)
}
