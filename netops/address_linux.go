package netops

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Hold gives the interface the alias with a lifetime of lease from now, rounded up to whole
// seconds; 0: permanent. An address that is present, even a permanent one, is changed in place, and
// connections through it go on. The same address with another prefix length is a different address.
func (k *Kernel) Hold(ifname string, alias netip.Prefix, lease time.Duration) error {
	seconds, err := WholeSeconds(lease)
	if err != nil {
		return err
	}
	if alias.Addr().Is4() {
		if err := k.promote(ifname); err != nil {
			return err
		}
	}
	return k.set(ifname, alias, seconds)
}

// HoldBehind is Hold for an alias that is blocked, so that it is not chosen as source address: an
// IPv4 alias that is the primary address of a subnet with others is removed and added again behind
// them.
func (k *Kernel) HoldBehind(ifname string, alias netip.Prefix, lease time.Duration) error {
	addresses, err := k.Addresses(ifname)
	if err != nil {
		return err
	}
	if Leads(addresses, alias) {
		if err := k.Drop(ifname, alias); err != nil {
			return err
		}
	}
	return k.Hold(ifname, alias, lease)
}

// Extend renews the lease of an alias. If the address is gone, or the time until has come, it makes
// sure that the address is gone and returns ErrLeaseLost. until is the time of the last renewal
// plus the lease. If the process is stopped in the middle of a renewal, the kernel may create the
// expired address again; Extend removes it as its first action afterwards.
func (k *Kernel) Extend(ifname string, alias netip.Prefix, lease time.Duration, until time.Time) error {
	return Renew(kernelLeases{k}, ifname, alias, lease, until)
}

// kernelLeases is a Kernel as Leases.
type kernelLeases struct{ *Kernel }

// Has reports whether the interface has an address.
func (k kernelLeases) Has(ifname string, alias netip.Prefix) (bool, error) {
	return k.has(ifname, alias)
}

// Set sets the lifetime of an address.
func (k kernelLeases) Set(ifname string, alias netip.Prefix, seconds uint32) error {
	return k.set(ifname, alias, seconds)
}

// EnsureBase gives the interface base as a permanent address.
func (k *Kernel) EnsureBase(ifname string, base netip.Prefix) error {
	current, err := k.find(ifname, base)
	if err != nil || (current != nil && current.Permanent) {
		return err
	}
	return k.Hold(ifname, base, 0)
}

// Drop removes alias with exactly this prefix length; a missing one is no error. Other addresses of
// the subnet stay.
func (k *Kernel) Drop(ifname string, alias netip.Prefix) error {
	if err := CheckAddress(alias); err != nil {
		return err
	}
	if alias.Addr().Is4() {
		if err := k.promote(ifname); err != nil {
			return err
		}
	}
	l, err := k.link(ifname)
	if err != nil {
		return err
	}
	err = k.rt.AddrDel(l, &netlink.Addr{IPNet: ipNet(alias)})
	if errors.Is(err, unix.EADDRNOTAVAIL) { // both families
		return nil
	}
	return wrap(err, "delete %s from %s", alias, ifname)
}

// has reports whether the interface has the address.
func (k *Kernel) has(ifname string, p netip.Prefix) (bool, error) {
	a, err := k.find(ifname, p)
	return a != nil, err
}

// find returns the address; nil: the interface does not have it.
func (k *Kernel) find(ifname string, p netip.Prefix) (*Address, error) {
	addresses, err := k.Addresses(ifname)
	for i, a := range addresses {
		if a.Prefix == p {
			return &addresses[i], nil
		}
	}
	return nil, err
}

// set adds the address or changes its lifetime. netlink omits lifetimes of 0, which means
// permanent.
func (k *Kernel) set(ifname string, p netip.Prefix, seconds uint32) error {
	if err := CheckAddress(p); err != nil {
		return err
	}
	l, err := k.link(ifname)
	if err != nil {
		return err
	}
	flags, prefer := 0, preferred(int(seconds))
	if p.Addr().Is6() {
		flags, prefer = unix.IFA_F_NODAD, 0 // a lease: never; what is permanent: for ever
		if routed, err := k.routed(ifname, p); seconds > 0 && routed {
			flags |= unix.IFA_F_NOPREFIXROUTE
		} else if err != nil {
			return err
		}
	}
	err = k.rt.AddrReplace(l, &netlink.Addr{IPNet: ipNet(p), ValidLft: int(seconds), PreferedLft: prefer, Flags: flags})
	return wrap(err, "set %s on %s", p, ifname)
}

// preferred returns the preferred lifetime, in seconds, for an IPv4 address with a lifetime. If
// possible it ends two seconds earlier: the longer the kernel's timers run, the coarser they are
// (at 250 Hz, 32 ms up to 2 s and 256 ms beyond), and at the end of the preferred lifetime the
// kernel sets the timer for the end anew. IPv4 treats deprecated addresses like others.
func preferred(lifetime int) int { return min(lifetime, max(1, lifetime-2)) }

// routed reports whether another, permanent address provides the route to the subnet.
func (k *Kernel) routed(ifname string, p netip.Prefix) (bool, error) {
	addresses, err := k.Addresses(ifname)
	return slices.ContainsFunc(addresses, func(a Address) bool {
		return a.Permanent && a.Prefix != p && a.Prefix.Masked() == p.Masked()
	}), err
}

// devconfPromoteSecondaries is IPV4_DEVCONF_PROMOTE_SECONDARIES of linux/ip.h;
// the numbers start with 1.
const devconfPromoteSecondaries = 20

// promote sets promote_secondaries, by which the kernel keeps the other addresses of a subnet when
// the primary one goes: the next one takes its place. It uses netlink, as /proc/sys shows the
// namespace of the calling thread, which may be another one, and may be read-only. It is set only
// if it is not, as everybody who watches links receives an event.
func (k *Kernel) promote(ifname string) error {
	l, err := k.link(ifname)
	if err != nil {
		return err
	}
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(l.Attrs().Index)
	answer, err := k.request(unix.RTM_GETLINK, 0, msg)
	if on, seen := promotes(answer); err == nil && seen && on {
		return nil
	}
	value := make([]byte, 4)
	binary.NativeEndian.PutUint32(value, 1)
	spec := nl.NewRtAttr(unix.IFLA_AF_SPEC, nil)
	inet := spec.AddRtAttr(unix.AF_INET, nil)
	inet.AddRtAttr(unix.IFLA_INET_CONF, nil).AddRtAttr(devconfPromoteSecondaries, value)
	_, err = k.request(unix.RTM_SETLINK, unix.NLM_F_ACK, msg, spec)
	return wrap(err, "set promote_secondaries on %s", ifname)
}

// Promotes reports whether promote_secondaries is set on the interface.
func (k *Kernel) Promotes(ifname string) (bool, error) {
	l, err := k.link(ifname)
	if err != nil {
		return false, err
	}
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(l.Attrs().Index)
	answer, err := k.request(unix.RTM_GETLINK, 0, msg)
	if err != nil {
		return false, wrap(err, "read promote_secondaries of %s", ifname)
	}
	on, seen := promotes(answer)
	if !seen {
		return false, fmt.Errorf("read promote_secondaries of %s: the kernel does not say", ifname)
	}
	return on, nil
}

// promotes reports whether promote_secondaries is set in an answer to RTM_GETLINK, and whether the
// answer says so at all.
func promotes(answer [][]byte) (on, seen bool) {
	if len(answer) != 1 || len(answer[0]) < unix.SizeofIfInfomsg {
		return false, false
	}
	attrs := answer[0][unix.SizeofIfInfomsg:]
	for _, nested := range []uint16{unix.IFLA_AF_SPEC, unix.AF_INET, unix.IFLA_INET_CONF} {
		list, err := nl.ParseRouteAttr(attrs)
		i := slices.IndexFunc(list, func(a syscall.NetlinkRouteAttr) bool { return a.Attr.Type&^unix.NLA_F_NESTED == nested })
		if err != nil || i < 0 {
			return false, false
		}
		attrs = list[i].Value
	}
	const at = 4 * (devconfPromoteSecondaries - 1) // the settings are an array of 32-bit numbers
	if len(attrs) < at+4 {
		return false, false
	}
	return binary.NativeEndian.Uint32(attrs[at:]) != 0, true
}

// request sends one message and returns the answers.
func (k *Kernel) request(kind, flags int, parts ...nl.NetlinkRequestData) ([][]byte, error) {
	req := nl.NewNetlinkRequest(kind, flags)
	req.Sockets = k.raw
	for _, part := range parts {
		req.AddData(part)
	}
	return req.Execute(unix.NETLINK_ROUTE, 0)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
