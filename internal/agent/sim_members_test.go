package agent

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/netops"
)

// members are the servers that come into a life's system and go out of it.
type members struct {
	change bool            // they do
	added  []string        // by commands; somebody has to see to it that they come in; guarded by the world's mu
	again  map[string]bool // those that were, ever
	lost   []string        // that somebody gave up as lost for good
	bases  map[netip.Addr]holding
}

const otherName = "lan0" // of the interface eth0 of every server

// drawMembers gives two lives in three up to two free servers, and has membership
// change there.
func drawMembers(seed uint64, doc *clusterconf.Document) members {
	rnd := rand.New(rand.NewPCG(seed, 4))
	x := members{change: rnd.IntN(3) > 0, again: map[string]bool{}, bases: map[netip.Addr]holding{}}
	if x.change {
		for i := range rnd.IntN(3) {
			doc.Servers = append(doc.Servers, clusterconf.Server{Name: fmt.Sprintf("free%d", i+1), Base: hostAddress(60 + i), Interface: "eth0"})
		}
	}
	return x
}

func hostAddress(host int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(host)}), 24)
}

// drawMembership draws a command about servers that a document allows; nil: there is none.
func (s *simulation) drawMembership(rnd *rand.Rand, d *clusterconf.Document, via string) *command {
	var all []*command
	give := func(what string, apply func(d *clusterconf.Document) error) {
		all = append(all, &command{what: what, apply: apply})
	}
	renamed := pick(rnd, d.Servers...)
	ifname := map[string]string{"eth0": otherName, otherName: "eth0"}[renamed.Interface]
	give(fmt.Sprintf("server set %s --interface %s", renamed.Name, ifname), func(d *clusterconf.Document) error { return d.SetServer(renamed.Name, ifname, "") })
	for _, x := range d.Servers {
		if d.ClusterOfServer(x.Name) != nil {
			continue
		}
		if x.Name != via && len(d.Servers) > 2 {
			give("server remove "+x.Name, func(d *clusterconf.Document) error { return d.RemoveServer(x.Name) })
		}
		if x.LIM != 0 {
			continue
		}
		base := s.otherBase(rnd, x.Name)
		give(fmt.Sprintf("server set %s --base %s", x.Name, base), func(d *clusterconf.Document) error { return d.SetServer(x.Name, "", base.String()) })
		if x.Standby {
			give("server to-free "+x.Name, func(d *clusterconf.Document) error { return d.ToFree(x.Name) })
		} else {
			give("server to-standby "+x.Name, func(d *clusterconf.Document) error { return d.ToStandby(x.Name) })
		}
	}
	for _, name := range s.names() {
		if d.Server(name) == nil {
			add := s.addServer(rnd, name)
			all = append(all, add, add)
		}
	}
	return pick(rnd, all...)
}

// addServer is the command that brings a server back into the system, and its LIM.
func (s *simulation) addServer(rnd *rand.Rand, name string) *command {
	x := clusterconf.Server{Name: name, Base: s.otherBase(rnd, name), Interface: "eth0", LIM: s.doc.Server(name).LIM}
	if x.LIM != 0 {
		x.Base = s.alias(x.LIM)
	}
	return &command{what: fmt.Sprintf("server add %s --base %s", name, x.Base), adds: name, apply: func(d *clusterconf.Document) error {
		if err := d.AddServer(x); err != nil || x.LIM == 0 {
			return err
		}
		return d.SetServices(x.LIM, []clusterconf.Service{{Run: "exec:/lim"}})
	}}
}

// otherBase draws a base for a server without a LIM. One of them is drawn for all.
func (s *simulation) otherBase(rnd *rand.Rand, name string) netip.Prefix {
	i := slices.Index(s.names(), name)
	return hostAddress(pick(rnd, 170+i, 190+i, 210))
}

// newest is the newest document that a server of the system works by, but for those left
// out; of several servers' the first one's.
func (s *simulation) newest(but ...string) *clusterconf.Document {
	var newest *clusterconf.Document
	for _, name := range s.names() {
		d := s.worksBy(name)
		if d != nil && d.Server(name) != nil && !slices.Contains(but, name) && (newest == nil || d.Age().Compare(newest.Age()) > 0) {
			newest = d
		}
	}
	if newest == nil {
		return s.doc
	}
	return newest
}

// untold reports whether a server was given up as lost for good and is not, and nobody
// can tell it: what it does then is for those who gave it up.
func (s *simulation) untold(name string) bool {
	if !slices.Contains(s.members.lost, name) {
		return false
	}
	d, own := s.newest(s.members.lost...), s.worksBy(name)
	return d.Server(name) == nil && own != nil && own.Server(name) != nil && !s.couldKnow(name, d, "")
}

// standby is the standby server of the cluster; where there is none, of the one that was.
func (s *simulation) standby() string {
	if !s.members.change {
		return s.doc.Clusters[0].Standby
	}
	if c := s.newest().Cluster("c1"); c != nil {
		return c.Standby
	}
	return s.doc.Clusters[0].Standby
}

// clustered are the servers of the cluster.
func clustered(d *clusterconf.Document) []string {
	c := d.Cluster("c1")
	if c == nil {
		return nil
	}
	names := []string{c.Standby}
	for _, m := range c.LIMs {
		if r := d.RegularOf(m.LIM); r != nil {
			names = append(names, r.Name)
		}
	}
	return names
}

// self is a server as its document has it, or had it before it was removed; false: it
// knows nothing of itself. Known is what it has kept.
func (s *simulation) self(name string, known persisted) (clusterconf.Server, bool) {
	d := s.worksBy(name)
	if d == nil {
		return clusterconf.Server{}, false
	}
	if x := d.Server(name); x != nil {
		return *x, true
	}
	return known.Self, known.Self.Name == name
}

// known is what an agent that starts now would know.
func (m *machine) known() persisted {
	m.state.mu.Lock()
	defer m.state.mu.Unlock()
	return m.state.known()
}

// comeIn has somebody bring servers that were added into the system, as `join` does: at
// once, or as long as that does not happen by itself.
func (s *simulation) comeIn(rnd *rand.Rand) {
	s.mu.Lock()
	names := s.members.added
	s.members.added = nil
	s.mu.Unlock()
	for _, name := range names {
		s.members.again[name] = true
		if rnd.IntN(2) == 0 {
			s.join(name, s.newest())
		}
	}
}

// joinLate does so at the end, where a server that was added is not in yet.
func (s *simulation) joinLate(left string) {
	d := s.newest(left)
	for name := range s.members.again {
		if own := s.worksBy(name); name != left && (own == nil || clusterconf.Hash(own) != clusterconf.Hash(d)) {
			s.join(name, d)
		}
	}
}

// join brings one server in by hand.
func (s *simulation) join(name string, d *clusterconf.Document) {
	m, self := s.servers[name], d.Server(name)
	if m.down || self == nil || s.trouble[name].isFrozen() {
		return
	}
	s.note("join on %s, which has %s from now on", name, self.Base)
	s.deafen()
	if m.agent != nil {
		s.kill(name)
	}
	err := os.Remove(m.store.Path)
	if _, adopted := m.store.Adopt(s.t.Context(), clusterconf.Freeze(d)); adopted != nil {
		s.t.Fatal(err, adopted)
	}
	keys, err := s.servers[d.EditedOn()].keys.Load()
	if err != nil {
		s.t.Fatal(err)
	}
	m.keys.edit(keys)
	addrs, err := m.kernel.Addresses("eth0")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, a := range addrs {
		if a.Prefix != self.Base {
			if err := m.kernel.Drop("eth0", a.Prefix); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	s.hold(m, self.Base)
	s.start(name)
	s.touched()
	s.live(time.Millisecond)
}

// lookForTwoBases checks that no two servers that hear each other have one address for
// long, whatever was edited. The aliases are checked more strictly elsewhere.
func (s *simulation) lookForTwoBases() {
	by := map[netip.Addr][]string{}
	for _, name := range s.names() {
		m := s.servers[name]
		addrs, err := m.kernel.Addresses("")
		denied, deniedErr := m.kernel.Denied()
		if err != nil || deniedErr != nil || m.down {
			continue
		}
		for _, a := range addrs {
			if addr := a.Prefix.Addr(); !s.isAlias(addr) && !slices.Contains(denied, addr) && !slices.Contains(by[addr], name) {
				by[addr] = append(by[addr], name)
			}
		}
	}
	for addr, h := range s.members.bases {
		if !slices.Equal(by[addr], h.by) {
			delete(s.members.bases, addr)
		}
	}
	for addr, names := range by {
		if len(names) < 2 {
			continue
		}
		h, ok := s.members.bases[addr]
		if !ok {
			h = holding{by: names, since: time.Now()}
		}
		since := later(h.since, s.deaf[pair(names[0], names[1])])
		if allowed := readyLife + documentLate + s.twiceFor(); s.hears(names[0], names[1]) && !h.told && time.Since(since) > allowed {
			s.violated("the address %s is on %v for %s", addr, names, time.Since(since))
			h.told = true
		}
		s.members.bases[addr] = h
	}
}

// lookForRemoved checks that a server that knows that it was removed idles.
func (s *simulation) lookForRemoved() {
	for _, name := range s.names() {
		if s.servers[name].down || s.calmFor(name) < 3*time.Minute {
			continue
		}
		d := s.worksBy(name)
		if d == nil || d.Server(name) != nil {
			continue
		}
		if why := s.busy(name); why != "" {
			s.violated("%s was removed at revision %d, and %s", name, d.Revision, why)
		}
	}
}

// busy says what a server does that is to idle; "": nothing.
func (s *simulation) busy(name string) string {
	m := s.servers[name]
	self, _ := s.self(name, m.known())
	for _, l := range s.doc.LIMs {
		switch key := fmt.Sprint(name, " ", l.Number); {
		case s.onWire(m, l.Number) && self.Base != s.alias(l.Number):
			return fmt.Sprintf("has the address of LIM %d", l.Number)
		case slices.Contains(s.running(name), l.Number) && !s.clings[key] && !s.slowed[key]:
			return fmt.Sprintf("runs LIM %d", l.Number)
		}
	}
	return ""
}

// wrongMembers says what is wrong at the end with servers that were removed, and with
// the addresses of those that are in.
func (s *simulation) wrongMembers(d *clusterconf.Document, left string) string {
	for _, name := range s.names() {
		m, self := s.servers[name], d.Server(name)
		switch {
		case name == left || m.down || m.agent == nil || m.agent.hasEnded():
		case self == nil && s.couldKnow(name, d, left):
			if own := s.worksBy(name); own == nil || own.Server(name) != nil {
				return name + " was removed and does not know it"
			}
			if why := s.busy(name); why != "" {
				return fmt.Sprintf("%s was removed, and %s", name, why)
			}
		case self != nil:
			if why := s.wrongAddresses(m, d, self); why != "" {
				return why
			}
		}
	}
	return ""
}

// couldKnow reports whether a server can hear of the present document: another one is
// where it looks for it, and has its key.
func (s *simulation) couldKnow(name string, d *clusterconf.Document, left string) bool {
	own := s.worksBy(name)
	return own != nil && slices.ContainsFunc(d.Servers, func(x clusterconf.Server) bool {
		was := own.Server(x.Name)
		return x.Name != left && was != nil && own.Gossip(was).Addr() == d.Gossip(&x).Addr() && s.shareKeys(name, x.Name)
	})
}

// shareKeys reports whether each of two servers accepts the gossip key of the other.
func (s *simulation) shareKeys(a, b string) bool {
	ours, err := s.servers[a].keys.Load()
	theirs, err2 := s.servers[b].keys.Load()
	return err == nil && err2 == nil && ours.Has(theirs[0]) && theirs.Has(ours[0])
}

// wrongAddresses says which address a server has too many, or lacks.
func (s *simulation) wrongAddresses(m *machine, d *clusterconf.Document, self *clusterconf.Server) string {
	addrs, err := m.kernel.Addresses("eth0")
	if err != nil {
		return err.Error()
	}
	wanted := bases(d, self)
	for _, b := range wanted {
		if !slices.ContainsFunc(addrs, func(a netops.Address) bool { return a.Prefix == b }) {
			return fmt.Sprintf("%s lacks its base %s", m.name, b)
		}
	}
	for _, a := range addrs {
		if !slices.Contains(wanted, a.Prefix) && !s.isAlias(a.Prefix.Addr()) {
			return fmt.Sprintf("%s has %s, which is none of its addresses", m.name, a.Prefix)
		}
	}
	return ""
}
