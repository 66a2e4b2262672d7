package agent

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"

	"mxcluster/clusterconf"
	"mxcluster/netops"
	"mxcluster/netops/netopstest"
)

// routers are gateways: they go down and come back, and so do the servers' routes. Now
// and then one answers ARP for others.
type routers struct {
	all []*router
}

type router struct {
	name   string
	addr   netip.Prefix
	kernel *netopstest.Kernel
	down   bool
}

// drawRouters gives a network up to two of them.
func drawRouters(s *simulation, rnd *rand.Rand) routers {
	var x routers
	for i := range rnd.IntN(3) {
		r := &router{name: fmt.Sprintf("gw%d", i+1), addr: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + i)}), 24)}
		r.kernel = netopstest.NewKernel(r.name, netops.Link{Name: "eth0", Index: 2, Up: true, MAC: net.HardwareAddr{2, 0, 0, 0, 2, byte(i)}})
		if err := r.kernel.EnsureBase("eth0", r.addr); err != nil {
			s.t.Fatal(err)
		}
		s.segment.Connect(r.kernel, "eth0")
		x.all = append(x.all, r)
	}
	for _, name := range s.names() {
		x.route(s, name, len(x.all))
	}
	return x
}

// route gives a server routes by the first n.
func (x *routers) route(s *simulation, on string, n int) {
	var by []netip.Addr
	for _, r := range x.all[:n] {
		by = append(by, r.addr.Addr())
	}
	s.servers[on].kernel.SetGateways("eth0", by...)
}

func (x *routers) begin(s *simulation, rnd *rand.Rand, on string) {
	if len(x.all) == 0 {
		return
	}
	if rnd.IntN(2) == 0 {
		n := rnd.IntN(len(x.all))
		s.note("%s has routes by %d gateways", on, n)
		x.route(s, on, n)
		return
	}
	r := pick(rnd, x.all...)
	if rnd.IntN(2) == 0 {
		s.note("%s answers for others", r.name)
		r.kernel.Proxy("eth0", r.addr.Masked())
		return
	}
	if !r.down {
		s.note("%s is down", r.name)
		s.segment.Disconnect(r.kernel)
		r.down = true
	}
}

func (x *routers) end(s *simulation, on string) {
	x.route(s, on, len(x.all))
	for _, r := range x.all {
		r.kernel.Proxy("eth0", netip.Prefix{})
		if r.down {
			s.note("%s is up", r.name)
			s.segment.Connect(r.kernel, "eth0")
			r.down = false
		}
	}
}

// names are those that a server which is cut off does not hear either.
func (x *routers) names() []string {
	var out []string
	for _, r := range x.all {
		out = append(out, r.name)
	}
	return out
}

// secondCards are interfaces of servers in the same network, with an address of their
// own. Linux answers on each interface for the addresses of all.
type secondCards map[string]bool

const secondCard = "eth1"

func (x secondCards) begin(s *simulation, _ *rand.Rand, on string) {
	m := s.servers[on]
	if m.down {
		return
	}
	s.note("%s has a second card in the network", on)
	if !x[on] {
		x[on] = true
		m.kernel.AddLink(netops.Link{Name: secondCard, Index: 3, MAC: net.HardwareAddr{2, 0, 0, 0, 1, x.host(s, on)}})
		x.plug(s, on)
	}
	m.kernel.SetEnabled(secondCard, true)
}

// plug connects the second card of a server that has one, as at a boot.
func (x secondCards) plug(s *simulation, on string) {
	if !x[on] {
		return
	}
	m := s.servers[on]
	s.segment.Connect(m.kernel, secondCard)
	own := netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, 150 + x.host(s, on)}), 24)
	if err := m.kernel.EnsureBase(secondCard, own); err != nil {
		s.t.Fatal(err)
	}
}

func (x secondCards) host(s *simulation, name string) byte {
	return byte(slices.Index(s.names(), name))
}

func (x secondCards) end(s *simulation, on string) {
	if x[on] {
		s.note("the second card of %s is down", on)
		s.servers[on].kernel.SetEnabled(secondCard, false)
	}
}

// strayAliases are aliases that somebody else than the agent adds to a server that
// does not hold them: an old network file, a person.
type strayAliases struct{}

func (strayAliases) begin(s *simulation, rnd *rand.Rand, on string) {
	m, lim := s.servers[on], pick(rnd, s.doc.LIMs...).Number
	ifname, bits := pick(rnd, "eth0", secondCard), pick(rnd, 24, 24, 32)
	if _, err := m.kernel.Link(ifname); err != nil {
		ifname = "eth0"
	}
	// Without an agent nothing is denied that was active before: what comes up then is
	// whoever's who stopped it.
	if m.down || m.agent == nil || m.agent.hasEnded() || s.trouble[on].isFrozen() || slices.Contains(s.holders(lim), on) {
		return
	}
	if _, clustered := s.member(on, lim); !clustered {
		return // it is no alias
	}
	p := netip.PrefixFrom(s.alias(lim).Addr(), bits)
	s.note("somebody adds %s, the alias of LIM %d, to %s of %s", p, lim, ifname, on)
	if err := m.kernel.EnsureBase(ifname, p); err != nil {
		s.note("adding it: %v", err)
	}
}

func (strayAliases) end(s *simulation, on string) {
	m := s.servers[on]
	all, err := m.kernel.Addresses("")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, a := range all {
		if a.Permanent && s.isAlias(a.Prefix.Addr()) && !s.isHome(on, a.Prefix) {
			s.note("%s is taken off %s of %s again", a.Prefix, a.Interface, on)
			if err := m.kernel.Drop(a.Interface, a.Prefix); err != nil {
				s.note("taking it off: %v", err)
			}
		}
	}
}

// isAlias reports whether an address is known to clients.
func (s *simulation) isAlias(addr netip.Addr) bool {
	return slices.ContainsFunc(s.doc.Clusters[0].LIMs, func(m clusterconf.Member) bool { return m.Alias.Addr() == addr })
}

// isHome reports whether an address is a server's own by its document.
func (s *simulation) isHome(on string, p netip.Prefix) bool {
	self, ok := s.self(on, s.servers[on].known())
	return !ok || self.Base == p
}

// holders returns the servers that answer for a LIM's alias, on whichever interface
// and with whatever prefix they have it.
func (s *simulation) holders(lim int) []string {
	var out []string
	for _, name := range s.names() {
		if s.onWire(s.servers[name], lim) && !s.untold(name) {
			out = append(out, name)
		}
	}
	return out
}

// boot gives a server its power back, with all its interfaces, and the addresses that
// its document gives it for good.
func (s *simulation) boot(name string) {
	s.disorders.cards.plug(s, name)
	d := s.worksBy(name)
	switch self, ok := s.self(name, s.servers[name].known()); {
	case !ok:
	case d.Server(name) == nil:
		s.bootAs(name, self.Base)
	default:
		s.bootAs(name, bases(d, &self)...)
	}
}

// powerCut takes a server's power; what it had on any interface is gone.
func (s *simulation) powerCut(name string) {
	s.world.powerCut(name)
	kernel := s.servers[name].kernel
	addrs, err := kernel.Addresses("")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, a := range addrs {
		if err := kernel.Drop(a.Interface, a.Prefix); err != nil {
			s.t.Fatal(err)
		}
	}
}
