package netops

import (
	"math"
	"net/netip"
	"slices"
	"time"

	"mxcluster/internal/fault"
)

// Leases is what renewing needs of a kernel, real or fake.
type Leases interface {
	Has(ifname string, alias netip.Prefix) (bool, error)
	Set(ifname string, alias netip.Prefix, seconds uint32) error
	Drop(ifname string, alias netip.Prefix) error
}

// Renew renews a lease that has not expired. The kernel cannot change an address only if it exists:
// it would create an expired one again. A process that was stopped for longer than its lease, when
// another server may have the address, must not do that. So Renew looks for the address first, and,
// as the process may be stopped between any two instructions, checks the clock afterwards.
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

// giveUp removes an address whose lease ended before it was renewed.
func giveUp(k Leases, ifname string, alias netip.Prefix) error {
	if err := k.Drop(ifname, alias); err != nil {
		return err
	}
	return wrap(ErrLeaseLost, "renew %s on %s: too late", alias, ifname)
}

// WholeSeconds rounds up to the kernel's unit; 0: permanent.
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

// Leads reports whether an address is the primary IPv4 address of a subnet with others.
func Leads(addresses []Address, p netip.Prefix) bool {
	primary := slices.ContainsFunc(addresses, func(a Address) bool { return a.Prefix == p && !a.Secondary })
	return primary && slices.ContainsFunc(addresses, func(a Address) bool { return a.Secondary && a.Prefix.Masked() == p.Masked() })
}
