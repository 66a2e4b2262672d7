package clusterconf

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
)

// addressUse is one place in the document where an address stands. Its texts
// are made when they are asked for: nearly always nothing is wrong.
type addressUse struct {
	prefix  netip.Prefix
	server  string // whose base it is
	lim     int    // whose alias it is, or the LIM of server
	cluster int    // -1: a base
	index   int    // of the server, or of the cluster's member
}

// addresses lists all addresses of the document.
func (d *Document) addresses() []addressUse {
	all := make([]addressUse, 0, 2*len(d.Servers))
	for i, s := range d.Servers {
		all = append(all, addressUse{s.Base, s.Name, s.LIM, -1, i})
	}
	for i, c := range d.Clusters {
		for j, m := range c.LIMs {
			all = append(all, addressUse{m.Alias, "", m.LIM, i, j})
		}
	}
	return all
}

// String says whose address it is, e.g. "the base of srv1". A server whose name cannot be read is told
// by its place.
func (u addressUse) String() string {
	if u.cluster < 0 {
		return "the base of " + cmp.Or(u.server, at("servers", u.index))
	}
	return fmt.Sprintf("the alias of LIM %d", u.lim)
}

func (u addressUse) path() string {
	if u.cluster < 0 {
		return at("servers", u.index) + ".base"
	}
	return memberPath(u.cluster, u.index) + ".alias"
}

// hostProblem says why a server cannot have the address, or "". All that
// depends on the address family is here. Loopback addresses are allowed:
// several servers on one machine are how the product is tried out.
func hostProblem(p netip.Prefix) string {
	a := p.Addr()
	switch {
	case !p.IsValid():
		return "is not an address with prefix length"
	case p.Bits() == 0:
		return "has no subnet"
	case a.Is6():
		return host6Problem(p)
	case a.As4()[0] == 0:
		return "is not the address of a host"
	case a.IsMulticast():
		return "is a multicast address"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "is the broadcast address"
	case p.Bits() < 31 && a == p.Masked().Addr():
		return "is the network address of its subnet"
	case p.Bits() < 31 && a == broadcast(p):
		return "is the broadcast address of its subnet"
	}
	return ""
}

// baseProblem says why a server cannot be given a base, or "". It is stricter than
// what a document may have: every other server must reach it.
func baseProblem(p netip.Prefix) string {
	switch problem := hostProblem(p); {
	case problem != "":
		return problem
	case p.Addr().IsLoopback():
		return "is a loopback address, which no other server reaches"
	case p.IsSingleIP():
		return "leaves no room for another server in its subnet"
	}
	return ""
}

// host6Problem is hostProblem for IPv6.
func host6Problem(p netip.Prefix) string {
	a := p.Addr()
	switch {
	case a.Is4In6():
		return "is an IPv4 address written as IPv6"
	case a.IsUnspecified():
		return "is not the address of a host"
	case a.IsMulticast():
		return "is a multicast address"
	case a.IsLinkLocalUnicast():
		return "is a link-local address, which every interface has for itself"
	case p.Bits() < 127 && a == p.Masked().Addr():
		return "is the address of the routers of its subnet"
	}
	return ""
}

// broadcast returns the last address of an IPv4 subnet.
func broadcast(p netip.Prefix) netip.Addr {
	a := p.Addr().As4()
	last := binary.BigEndian.Uint32(a[:]) | ^uint32(0)>>p.Bits()
	binary.BigEndian.PutUint32(a[:], last)
	return netip.AddrFrom4(a)
}

func checkAddresses(d *Document, report reportFunc) {
	for _, u := range d.addresses() {
		if problem := hostProblem(u.prefix); problem != "" {
			report(u.path(), "give an address of a host with the prefix length of its subnet, e.g. 10.0.0.11/24 or 2001:db8::11/64",
				"%s, %s, %s", u, u.prefix, problem)
		}
	}
}

func checkAddressesOnce(d *Document, report reportFunc) {
	seen := map[netip.Addr]addressUse{}
	for _, u := range d.addresses() {
		if !u.prefix.IsValid() {
			continue
		}
		if first, taken := seen[u.prefix.Addr()]; taken {
			report(u.path(), "give each its own address", "%s is %s and %s", u.prefix.Addr(), first, u)
			continue
		}
		seen[u.prefix.Addr()] = u
	}
}

// checkOneFamily holds the bases of a system to one address family: servers hear
// each other from base to base.
func checkOneFamily(d *Document, report reportFunc) {
	var first *Server
	for i := range d.Servers {
		s := &d.Servers[i]
		switch {
		case !s.Base.IsValid():
		case first == nil:
			first = s
		case s.Base.Addr().Is4() != first.Base.Addr().Is4():
			report(at("servers", i)+".base", "give all servers a base of the same kind, IPv4 or IPv6",
				"the base of %s is %s, that of %s is %s", s.Name, family(s.Base), first.Name, family(first.Base))
		}
	}
}

func family(p netip.Prefix) string {
	if p.Addr().Is4() {
		return "IPv4"
	}
	return "IPv6"
}

// sameSubnet tells whether two hosts are neighbours and agree on it: the
// prefix lengths must be equal too.
func sameSubnet(a, b netip.Prefix) bool { return a.Masked() == b.Masked() }

// checkSameSubnet holds bases and aliases of a cluster in the standby's
// subnet: gratuitous ARP reaches no further (spec ch. 6).
func checkSameSubnet(d *Document, report reportFunc) {
	standbyOf := map[int]*Server{} // by LIM
	for _, c := range d.Clusters {
		for _, m := range c.LIMs {
			standbyOf[m.LIM] = d.Server(c.Standby)
		}
	}
	for _, u := range d.addresses() {
		standby := standbyOf[u.lim]
		if standby != nil && u.prefix.IsValid() && standby.Base.IsValid() && !sameSubnet(u.prefix, standby.Base) {
			report(u.path(), "all addresses of a cluster must be in one subnet, with one prefix length",
				"%s, %s, is not in %s, the subnet of standby %s", u, u.prefix, standby.Base.Masked(), standby.Name)
		}
	}
}
