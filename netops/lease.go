package netops

import (
	"math"
	"net/netip"
	"slices"
	"time"

	"mxcluster/internal/fault"
)

// Leases is what renewing needs of a kernel, real or fake: whether an address is there,
// and how it is given a lifetime, or taken off.
type Leases interface {
	Has(ifname string, alias netip.Prefix) (bool, error)
	Set(ifname string, alias netip.Prefix, seconds uint32) error
	Drop(ifname string, alias netip.Prefix) error
}

// Renew renews a lease while it is still ours. The kernel cannot be asked to
// change an address only if it exists: asked for an expired one it makes it
// anew. A process that was stopped past its lease (and another server may hold
// the address by now) must not do that; hence the look before, and, since it
// may be stopped between any two instructions, the look at the clock after.
func Renew(k Leases, ifname string, alias netip.Prefix, lease time.Duration, until time.Time) error {
	seconds, err := WholeSeconds(lease)
	if err != nil {
		return err
	}
	if seconds == 0 {
		return fault.New(fault.Usage, "give a time of a second or more", "renew %s on %s: a lease cannot be renewed for ever", alias, ifname)
	}
	present, err := k.Has(ifname, alias)
	if err != nil {
		return wrap(err, "renew %s on %s", alias, ifname)
	}
	if !present {
		return wrap(ErrLeaseLost, "renew %s on %s: the address is gone", alias, ifname)
	}
	if !time.Now().Before(until) {
		return giveUp(k, ifname, alias)
	}
	if err := k.Set(ifname, alias, seconds); err != nil {
		return wrap(err, "renew %s on %s", alias, ifname)
	}
	if !time.Now().Before(until) {
		return giveUp(k, ifname, alias)
	}
	return nil
}

// giveUp removes an address whose time ran out before it was renewed.
func giveUp(k Leases, ifname string, alias netip.Prefix) error {
	if err := k.Drop(ifname, alias); err != nil {
		return err
	}
	return wrap(ErrLeaseLost, "renew %s on %s: too late", alias, ifname)
}

// WholeSeconds rounds up to the kernel's unit; 0 stands for ever.
func WholeSeconds(lease time.Duration) (uint32, error) {
	seconds := int64(lease / time.Second)
	if lease%time.Second > 0 {
		seconds++
	}
	if lease < 0 || seconds > math.MaxInt32 {
		return 0, fault.New(fault.Usage, "give a time such as 3s, or 0 for a permanent address", "lease of %s is out of range", lease)
	}
	return uint32(seconds), nil
}

// Leads tells whether an address is the primary IPv4 one of a subnet with others.
func Leads(addresses []Address, p netip.Prefix) bool {
	primary := slices.ContainsFunc(addresses, func(a Address) bool { return a.Prefix == p && !a.Secondary })
	return primary && slices.ContainsFunc(addresses, func(a Address) bool { return a.Secondary && a.Prefix.Masked() == p.Masked() })
}
