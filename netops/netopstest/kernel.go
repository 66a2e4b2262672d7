// Package netopstest has a kernel, a wire and an Ethernet segment in memory, with the methods of
// package netops, for tests. They behave like the real ones; the tests of netops check both.
package netopstest

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"mxcluster/internal/fanout"
	"mxcluster/netops"
)

// Kernel is a netops.Kernel in memory. Leases end by time.Now, so that it works
// in a testing/synctest bubble, after whole seconds as in Linux. It outlives
// the program under test as a real kernel does: leave it, and the leases run
// out. Its methods may be called from any goroutine.
type Kernel struct {
	name    string
	changes *fanout.Fanout[netops.Event]

	mu    sync.Mutex
	links []*fakeLink
	fail  func(op string) error

	denied []netip.Addr
	leaky  bool

	echoless bool
	routes   map[netops.Route]netip.Addr // to their preferred sources
}

type fakeLink struct {
	netops.Link
	gateways  []netip.Addr
	addresses []*fakeAddress
	blocked   []netip.Addr
	altnames  []string
	proxied   netip.Prefix // for which it answers in the place of others

	neighbours map[netip.Addr]string // MAC addresses
	unresolved []netip.Addr          // neighbours that do not answer
}

type fakeAddress struct {
	prefix  netip.Prefix
	expires time.Time   // zero for a permanent one
	timer   *time.Timer // tells of the expiry; nil for a permanent one
}

// NewKernel returns the kernel of a server with these interfaces; the name
// tells it from others on a Segment.
func NewKernel(name string, links ...netops.Link) *Kernel {
	k := &Kernel{name: name, changes: &fanout.Fanout[netops.Event]{Depth: 1, Merge: netops.Event.Merge}}
	for _, l := range links {
		k.AddLink(l)
	}
	return k
}

// AddLink gives the server another interface. One that is up is enabled.
func (k *Kernel) AddLink(l netops.Link) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l.Enabled = l.Enabled || l.Up
	k.links = append(k.links, &fakeLink{Link: l})
	k.changes.Send(netops.Event{Links: true})
}

// AddAltName gives an interface another name, by which it may be asked for, too.
func (k *Kernel) AddAltName(ifname, other string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l, err := k.find(ifname); err == nil {
		l.altnames = append(l.altnames, other)
	}
}

// SetEnabled sets an interface up or down as an administrator does; down it has no
// carrier either.
func (k *Kernel) SetEnabled(ifname string, enabled bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l, err := k.find(ifname); err == nil && l.Enabled != enabled {
		l.Enabled, l.Up = enabled, enabled
		k.changes.Send(netops.Event{Links: true})
	}
}

// Remake removes an interface and makes it anew, set up, with another index: its
// addresses are gone.
func (k *Kernel) Remake(ifname string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l, err := k.find(ifname); err == nil {
		l.Index += 100
		l.Enabled, l.Up, l.addresses = true, true, nil
		k.changes.Send(netops.Event{Links: true, Addresses: true})
	}
}

// SetMAC gives an interface another MAC address.
func (k *Kernel) SetMAC(ifname string, mac net.HardwareAddr) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l, err := k.find(ifname); err == nil {
		l.MAC = mac
		k.changes.Send(netops.Event{Links: true})
	}
}

// FailWith has every change (Hold, HoldBehind, Extend, Drop, EnsureBase, Block, Unblock, Uncover, Deny) ask fail first,
// with the method's name, and return its error if there is one. The function
// may block, as a hung kernel would, and may call the kernel; nil ends it.
func (k *Kernel) FailWith(fail func(op string) error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fail = fail
}

// SetUp sets an interface up or down; unknown interfaces are ignored.
func (k *Kernel) SetUp(ifname string, up bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l, err := k.find(ifname); err == nil && l.Up != up {
		l.Up = up
		k.changes.Send(netops.Event{Links: true})
	}
}

// SetGateways gives the server routes through an interface with these gateways.
func (k *Kernel) SetGateways(ifname string, gateways ...netip.Addr) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l, err := k.find(ifname); err == nil {
		l.gateways = gateways
		k.changes.Send(netops.Event{Routes: true})
	}
}

// Close ends every Watch.
func (k *Kernel) Close() error {
	k.changes.Close()
	return nil
}

// Link returns the interface; a missing one is fault.NotFound.
func (k *Kernel) Link(ifname string) (netops.Link, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l, err := k.find(ifname)
	if err != nil {
		return netops.Link{}, err
	}
	return l.Link, nil
}

// Links returns all interfaces.
func (k *Kernel) Links() ([]netops.Link, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []netops.Link
	for _, l := range k.links {
		all = append(all, l.Link)
	}
	return all, nil
}

// received counts a frame that came in.
func (k *Kernel) received(ifname string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l, err := k.find(ifname); err == nil {
		l.Received++
	}
}

// Addresses returns the addresses of the interface, or of all with "".
func (k *Kernel) Addresses(ifname string) ([]netops.Address, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, err := k.find(ifname); ifname != "" && err != nil {
		return nil, err
	}
	var all []netops.Address
	for _, l := range k.links {
		if ifname == "" || l.Name == ifname || slices.Contains(l.altnames, ifname) {
			all = append(all, l.list()...)
		}
	}
	return all, nil
}

// Hold is as netops.Kernel.Hold.
func (k *Kernel) Hold(ifname string, alias netip.Prefix, lease time.Duration) error {
	if err := k.failing("Hold"); err != nil {
		return err
	}
	seconds, err := netops.WholeSeconds(lease)
	if err != nil {
		return err
	}
	return k.Set(ifname, alias, seconds)
}

// HoldBehind is as netops.Kernel.HoldBehind.
func (k *Kernel) HoldBehind(ifname string, alias netip.Prefix, lease time.Duration) error {
	if err := k.failing("HoldBehind"); err != nil {
		return err
	}
	seconds, err := netops.WholeSeconds(lease)
	if err != nil {
		return err
	}
	addresses, err := k.Addresses(ifname)
	if err == nil && netops.Leads(addresses, alias) {
		err = k.drop(ifname, alias)
	}
	if err != nil {
		return err
	}
	return k.Set(ifname, alias, seconds)
}

// Extend is as netops.Kernel.Extend.
func (k *Kernel) Extend(ifname string, alias netip.Prefix, lease time.Duration, until time.Time) error {
	if err := k.failing("Extend"); err != nil {
		return err
	}
	return netops.Renew(k, ifname, alias, lease, until)
}

// EnsureBase is as netops.Kernel.EnsureBase.
func (k *Kernel) EnsureBase(ifname string, base netip.Prefix) error {
	if err := k.failing("EnsureBase"); err != nil {
		return err
	}
	return k.Set(ifname, base, 0)
}

// Drop is as netops.Kernel.Drop; a test takes an address away with it as an
// administrator would.
func (k *Kernel) Drop(ifname string, alias netip.Prefix) error {
	if err := k.failing("Drop"); err != nil {
		return err
	}
	return k.drop(ifname, alias)
}

// Gateways is as netops.Kernel.Gateways.
func (k *Kernel) Gateways(ifname string) ([]netip.Addr, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l, err := k.find(ifname)
	if err != nil {
		return nil, err
	}
	return slices.Clone(l.gateways), nil
}

// Promotes is as netops.Kernel.Promotes: here the other addresses of a subnet always stay.
func (k *Kernel) Promotes(ifname string) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, err := k.find(ifname)
	return err == nil, err
}

// Watch is as netops.Kernel.Watch.
func (k *Kernel) Watch(ctx context.Context) (<-chan netops.Event, error) {
	return k.changes.Subscribe(ctx), nil
}

// failing asks the function given to FailWith, without holding the lock.
func (k *Kernel) failing(op string) error {
	k.mu.Lock()
	fail := k.fail
	k.mu.Unlock()
	if fail == nil {
		return nil
	}
	return fail(op)
}

// find returns the interface. The caller holds the lock.
func (k *Kernel) find(ifname string) (*fakeLink, error) {
	var names []string
	for _, l := range k.links {
		if l.Name == ifname || slices.Contains(l.altnames, ifname) {
			return l, nil
		}
		names = append(names, l.Name)
	}
	return nil, netops.NoInterface(ifname, names)
}

// Has tells whether an interface has an address.
func (k *Kernel) Has(ifname string, p netip.Prefix) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l, err := k.find(ifname)
	return err == nil && l.index(p) >= 0, err
}

// Set adds an address or changes its lifetime; 0 is for ever.
func (k *Kernel) Set(ifname string, p netip.Prefix, seconds uint32) error {
	if err := netops.CheckAddress(p); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	l, err := k.find(ifname)
	if err != nil {
		return err
	}
	i := l.index(p)
	if i < 0 {
		i = len(l.addresses)
		l.addresses = append(l.addresses, &fakeAddress{prefix: p})
		k.changes.Send(netops.Event{Addresses: true})
	} else if l.addresses[i].expires.IsZero() != (seconds == 0) {
		k.changes.Send(netops.Event{Addresses: true})
	}
	a := l.addresses[i]
	a.stop()
	a.expires = time.Time{}
	if seconds > 0 {
		lease := time.Duration(seconds) * time.Second
		a.expires = time.Now().Add(lease)
		a.timer = time.AfterFunc(lease, func() { k.expire(l, a) })
	}
	return nil
}

func (k *Kernel) drop(ifname string, p netip.Prefix) error {
	if err := netops.CheckAddress(p); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	l, err := k.find(ifname)
	if err != nil {
		return err
	}
	if i := l.index(p); i >= 0 {
		l.addresses[i].stop()
		l.addresses = slices.Delete(l.addresses, i, i+1)
		k.changes.Send(netops.Event{Addresses: true})
	}
	return nil
}

// expire removes an address unless it was renewed meanwhile, and tells of it
// even if somebody who looked at this very instant removed it already.
func (k *Kernel) expire(l *fakeLink, a *fakeAddress) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if a.expired() {
		l.sweep()
		k.changes.Send(netops.Event{Addresses: true})
	}
}

// owns tells whether the kernel answers for addr on an interface that is up:
// as Linux, for the addresses of all its interfaces on each of them.
func (k *Kernel) owns(ifname string, addr netip.Addr) (mac net.HardwareAddr, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	on, err := k.find(ifname)
	if err != nil || !on.Up || !k.leaky && (slices.Contains(on.blocked, addr) || slices.Contains(k.denied, addr)) {
		return nil, false
	}
	for _, l := range k.links {
		for _, a := range l.list() {
			if a.Prefix.Addr() == addr {
				return on.MAC, true
			}
		}
	}
	return nil, false
}

// index returns the position of a live address, or -1.
func (l *fakeLink) index(p netip.Prefix) int {
	l.sweep()
	return slices.IndexFunc(l.addresses, func(a *fakeAddress) bool { return a.prefix == p })
}

// list returns the live addresses.
func (l *fakeLink) list() []netops.Address {
	l.sweep()
	var all []netops.Address
	for _, a := range l.addresses {
		r := netops.Address{Interface: l.Name, Prefix: a.prefix, Permanent: a.expires.IsZero()}
		if !r.Permanent {
			// Linux subtracts the whole seconds that passed: what is left is rounded up.
			r.Remaining = (time.Until(a.expires) + time.Second - 1).Truncate(time.Second)
		}
		r.Secondary = slices.ContainsFunc(all, func(before netops.Address) bool {
			return before.Prefix.Masked() == a.prefix.Masked()
		})
		all = append(all, r)
	}
	return all
}

// sweep removes what expired at this very instant, before its timer ran.
func (l *fakeLink) sweep() {
	l.addresses = slices.DeleteFunc(l.addresses, (*fakeAddress).expired)
}

func (a *fakeAddress) expired() bool {
	return !a.expires.IsZero() && !time.Now().Before(a.expires)
}

// stop ends the timer of the lifetime before.
func (a *fakeAddress) stop() {
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
}
