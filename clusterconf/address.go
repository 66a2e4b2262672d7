package clusterconf

import (
	"fmt"
	"net/netip"

	"mxcluster/internal/fault"
)

// ParseAddress reads an address as commands take it: A.B.C.D/LEN, or A.B.C.D
// with the prefix length of like, or the same of IPv6. Text that is no address of a host is an
// error with code fault.Usage.
func ParseAddress(text string, like netip.Prefix) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		a, err := netip.ParseAddr(text)
		switch {
		case err != nil:
			return netip.Prefix{}, fault.New(fault.Usage, "write A.B.C.D or A.B.C.D/LEN, e.g. 10.0.0.11/24",
				"%q is not an address", text)
		case !like.IsValid():
			return netip.Prefix{}, fault.New(fault.Usage, "write the prefix length of the subnet too, e.g. "+text+"/24",
				"address %s has no prefix length", text)
		}
		if a.Is4() != like.Addr().Is4() {
			return netip.Prefix{}, fault.New(fault.Usage, "write an address of the subnet of "+like.String(), "address %s is of another family than %s", text, like)
		}
		p = netip.PrefixFrom(a, like.Bits())
	}
	if problem := hostProblem(p); problem != "" {
		return netip.Prefix{}, fault.New(fault.Usage, "give the address of a host", "%s %s", text, problem)
	}
	return p, nil
}

// userOf says what has an address, e.g. "the base of srv2", or "".
func (d *Document) userOf(a netip.Addr) string {
	if owner := d.ownerOf(a); owner != "" {
		return owner
	}
	for _, m := range d.mediaAddresses() {
		if m.kind == MediaServerStandalone && m.addr == a {
			return fmt.Sprintf("the %s address of the media server of LIM %d", m.key, m.lim)
		}
	}
	return ""
}

// ownerOf says which server or LIM has an address, or "".
func (d *Document) ownerOf(a netip.Addr) string {
	for _, u := range d.addresses() {
		if u.prefix.Addr() == a {
			return u.String()
		}
	}
	for _, s := range d.Servers {
		if s.ReachedAt.IsValid() && s.ReachedAt.Addr() == a {
			return "the former base of " + s.Name + ", which it keeps until every server knows the new one"
		}
	}
	return ""
}
