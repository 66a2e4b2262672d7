// Package swap is what one server does to its addresses when its LIM enters or leaves
// a cluster: the base becomes the alias and another address the base, or the other way
// round. What to do is decided by what is on the interface; the kernel and the network
// are asked through small interfaces, by an agent or by a command where none runs.
package swap

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/netops"
)

// Kernel is what is asked of this server's kernel.
type Kernel interface {
	Addresses(ifname string) ([]netops.Address, error)
	EnsureBase(ifname string, base netip.Prefix) error
	Hold(ifname string, alias netip.Prefix, lease time.Duration) error
	Drop(ifname string, addr netip.Prefix) error
}

// Probe returns the MAC of the station that has an address on an interface; nil: none has.
type Probe func(ctx context.Context, ifname string, addr netip.Addr) (net.HardwareAddr, error)

// Undo takes back what was made ready.
type Undo func(Kernel) error

// Plan is what a server does so that an exchange can follow. The address that clients
// use stays on the interface all the time, so that connections through it go on.
type Plan struct {
	Exchange clusterconf.Exchange
	Add      netip.Prefix  // comes up for good, or stays for good where it was leased; invalid: nothing does
	Probe    bool          // nobody may have Add before it comes up
	Leased   time.Duration // what was left of Add's lease; 0: it was not leased
	Last     netip.Prefix  // goes when the document has followed; invalid: nothing does
}

// Decide says what a server does for an exchange, by what is on its interface.
func Decide(e clusterconf.Exchange, here []netops.Address) Plan {
	p := Plan{Exchange: e}
	if e.Direction == clusterconf.DirectionLeave {
		p.Last = e.OldBase
	}
	// The alias is the new base of what leaves.
	i := slices.IndexFunc(here, func(a netops.Address) bool { return a.Prefix == e.NewBase })
	switch {
	case i < 0:
		p.Add, p.Probe = e.NewBase, true
	case e.Direction == clusterconf.DirectionLeave && !here[i].Permanent:
		p.Add, p.Leased = e.NewBase, here[i].Remaining
	}
	return p
}

// MakeReady does what can be undone, and returns how; nil: there is nothing to undo.
func (p Plan) MakeReady(ctx context.Context, k Kernel, probe Probe) (Undo, error) {
	if !p.Add.IsValid() {
		return nil, nil
	}
	e := p.Exchange
	if p.Probe {
		mac, err := probe(ctx, e.Interface, p.Add.Addr())
		if err == nil {
			err = p.free(mac)
		}
		if err != nil {
			return nil, err
		}
	}
	undo := func(k Kernel) error { return k.Drop(e.Interface, p.Add) }
	if p.Leased > 0 {
		undo = func(k Kernel) error { return k.Hold(e.Interface, p.Add, p.Leased) }
	}
	return undo, k.EnsureBase(e.Interface, p.Add)
}

// free refuses an address that another station has.
func (p Plan) free(mac net.HardwareAddr) error {
	switch {
	case p.Exchange.Direction == clusterconf.DirectionLeave:
		return MayLeave(p.Exchange, Home{Other: mac})
	case mac != nil:
		return fault.New(fault.Refused, "free the address there, or choose another that nobody uses",
			"the new base %s of %s is in use by %s", p.Add.Addr(), p.Exchange.Server, mac)
	}
	return nil
}

// Home is what is known of the place of a LIM that is to leave its cluster at one go.
type Home struct {
	Here   bool             // its regular server has the alias
	Agents bool             // agents run: the other side may have the alias without being heard
	Other  net.HardwareAddr // another station that answers for the alias; nil: none does
}

// MayLeave refuses to take a LIM out of its cluster while it is elsewhere, or may be:
// its regular server is about to take the alias for its own, and two servers would
// have it. Where no agents run, none holds the alias beyond what answers for it.
func MayLeave(e clusterconf.Exchange, h Home) error {
	if h.Here || !h.Agents && h.Other == nil {
		return nil
	}
	text := fmt.Sprintf("LIM %d does not run on its regular server %s", e.LIM, e.Server)
	if h.Other != nil {
		text += fmt.Sprintf(": its alias %s is in use by %s", e.Alias.Addr(), h.Other)
	}
	return fault.New(fault.Refused, fmt.Sprintf("bring it back first: mxcluster fallback %d", e.LIM), "%s", text)
}
