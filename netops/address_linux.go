package netops

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Hold makes sure that the interface has alias with a lifetime of lease from
// now, rounded up to whole seconds; 0 is for ever. An address that is there
// already, even a permanent one, is changed in place: connections through it
// go on. A prefix of another length is another address.
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

// HoldBehind is Hold for an alias that is blocked. Its other addresses are to be taken
// for what this server sends: an IPv4 alias that is the primary address of a subnet with
// others is taken off and added anew, behind them.
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

// Extend renews the lease of alias, unless the address is gone or the time
// until has come: then it makes sure that it is gone and returns ErrLeaseLost.
// Call it with until the time of the last renewal plus the lease. A process
// stopped in the middle of the renewal may have the expired address made anew
// by the kernel, and deletes it as the first thing when it goes on.
func (k *Kernel) Extend(ifname string, alias netip.Prefix, lease time.Duration, until time.Time) error {
	return Renew(kernelLeases{k}, ifname, alias, lease, until)
}

// kernelLeases are the leases of a kernel.
type kernelLeases struct{ *Kernel }

// Has tells whether the interface has an address.
func (k kernelLeases) Has(ifname string, alias netip.Prefix) (bool, error) {
	return k.has(ifname, alias)
}

// Set gives an address this lifetime.
func (k kernelLeases) Set(ifname string, alias netip.Prefix, seconds uint32) error {
	return k.set(ifname, alias, seconds)
}

// EnsureBase makes sure that the interface has base for ever.
func (k *Kernel) EnsureBase(ifname string, base netip.Prefix) error {
	current, err := k.find(ifname, base)
	if err != nil || (current != nil && current.Permanent) {
		return err
	}
	return k.Hold(ifname, base, 0)
}

// Drop takes alias with exactly this prefix length away; no error if it is not
// there. Other addresses of the subnet stay.
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

// has tells whether the interface has the address.
func (k *Kernel) has(ifname string, p netip.Prefix) (bool, error) {
	a, err := k.find(ifname, p)
	return a != nil, err
}

// find returns the address, or nil if the interface does not have it.
func (k *Kernel) find(ifname string, p netip.Prefix) (*Address, error) {
	addresses, err := k.Addresses(ifname)
	for i, a := range addresses {
		if a.Prefix == p {
			return &addresses[i], nil
		}
	}
	return nil, err
}

// set adds the address or changes its lifetime. The lifetimes left out, as
// netlink does with 0, stand for ever.
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

// preferred is the preferred lifetime, in seconds, of an IPv4 address with that lifetime.
// It ends two seconds earlier where it can: the kernel's timers are the coarser the longer
// they run (at 250 Hz, 32 ms up to 2 s and 256 ms beyond), and it sets the one for the
// end anew when this one fires. No IPv4 address is treated otherwise for being deprecated.
func preferred(lifetime int) int { return min(lifetime, max(1, lifetime-2)) }

// routed tells whether another, permanent address brings the route to the subnet.
func (k *Kernel) routed(ifname string, p netip.Prefix) (bool, error) {
	addresses, err := k.Addresses(ifname)
	return slices.ContainsFunc(addresses, func(a Address) bool {
		return a.Permanent && a.Prefix != p && a.Prefix.Masked() == p.Masked()
	}), err
}

// devconfPromoteSecondaries is IPV4_DEVCONF_PROMOTE_SECONDARIES of linux/ip.h;
// the numbers start with 1.
const devconfPromoteSecondaries = 20

// promote makes the kernel keep the other addresses of a subnet when the
// primary one goes: the next in line takes its place. It is asked for by
// netlink, since /proc/sys shows the calling thread's namespace, which need
// not be ours, and may be mounted read-only. It is set only where it is not,
// since everybody who watches links is told of each setting.
func (k *Kernel) promote(ifname string) error {
	l, err := k.link(ifname)
	if err != nil {
		return err
	}
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(l.Attrs().Index)
	answer, err := k.request(unix.RTM_GETLINK, 0, msg)
	if err == nil && promotes(answer) {
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

// promotes tells whether the settings in the answer to RTM_GETLINK have
// promote_secondaries set. What cannot be read counts as not set.
func promotes(answer [][]byte) bool {
	if len(answer) != 1 || len(answer[0]) < unix.SizeofIfInfomsg {
		return false
	}
	attrs := answer[0][unix.SizeofIfInfomsg:]
	for _, nested := range []uint16{unix.IFLA_AF_SPEC, unix.AF_INET, unix.IFLA_INET_CONF} {
		list, err := nl.ParseRouteAttr(attrs)
		i := slices.IndexFunc(list, func(a syscall.NetlinkRouteAttr) bool { return a.Attr.Type&^unix.NLA_F_NESTED == nested })
		if err != nil || i < 0 {
			return false
		}
		attrs = list[i].Value
	}
	const at = 4 * (devconfPromoteSecondaries - 1) // the settings are an array of 32-bit numbers
	return len(attrs) >= at+4 && binary.NativeEndian.Uint32(attrs[at:]) != 0
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
