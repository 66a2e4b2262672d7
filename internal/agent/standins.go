package agent

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"mxcluster/internal/alarms"
	"mxcluster/internal/detector/evidence"
	"mxcluster/internal/failover"
)

const (
	emptyFirst  = 2 * time.Second  // from one question for an address that nobody has to the next, at first
	emptyPeriod = 20 * time.Second // and when there were enough
	emptyHaste  = 5 * time.Second  // from one time that somebody unknown makes them urgent to the next
	emptyEnough = 3
)

// standIns finds out who answers ARP for others, besides by asking for addresses that
// nobody has.
type standIns struct {
	evidence.StandIns

	subnet    netip.Prefix
	taken     []netip.Addr
	number    uint64
	asked     int // so far
	next      time.Time
	hurry     int // that are to be asked now
	suspected time.Time
}

// suspect has it found out at once who answers for others: somebody unknown answers for
// a server.
func (s *standIns) suspect(now time.Time) {
	if now.Sub(s.suspected) >= emptyHaste {
		s.suspected, s.hurry, s.next = now, emptyEnough, now
	}
}

// answered notes an answer. One for what nobody has makes the next questions urgent.
func (s *standIns) answered(mac string, addr netip.Addr, at time.Time) {
	if s.Answered(mac, addr, at) && !s.Proven(mac, at) {
		s.suspect(at)
	}
}

// ask asks for addresses that nobody has, and returns when to come again.
func (s *standIns) ask(q *questions, now time.Time, room func() bool) time.Time {
	for !s.next.After(now) {
		if !s.subnet.IsValid() || !room() {
			s.next = now.Add(emptyFirst / 10)
			break
		}
		s.number++
		addr := s.Empty(s.subnet, s.taken, s.number)
		if !addr.IsValid() {
			s.next = now.Add(emptyPeriod) // there is no room in the subnet
			break
		}
		q.arp = append(q.arp, question{target: addr})
		s.asked++
		switch {
		case s.hurry > 1:
			s.hurry--
			s.next = now
		case s.asked < emptyEnough:
			s.next = now.Add(emptyFirst)
		default:
			s.hurry, s.next = 0, now.Add(emptyPeriod)
		}
	}
	return s.next
}

// know tells the supervisor whose addresses there are on the subnet.
func (s *supervisor) know(subnet netip.Prefix, owners map[netip.Addr]string, taken []netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stand.Know(owners)
	s.stand.taken = taken
	if s.stand.subnet != subnet {
		s.stand.subnet, s.stand.number = subnet, uint64(time.Now().UnixNano())
	}
}

// standing lists who answers for servers in their place.
func (s *supervisor) standing(alive func(server string) bool, now time.Time) []evidence.StandIn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stand.List(alive, now)
}

// knowOwners tells the supervisor whose addresses there are, by the document and the
// kernel's routes.
func (a *Agent) knowOwners(gateways []netip.Addr) {
	owners := map[netip.Addr]string{}
	for _, gw := range gateways {
		owners[gw] = "gateway " + gw.String() // no server's name
	}
	var taken []netip.Addr
	for _, p := range aliasesOf(a.doc) {
		taken = append(taken, p.Addr())
	}
	for i := range a.doc.Servers {
		s := &a.doc.Servers[i]
		owners[s.Base.Addr()] = s.Name
		if s.Name == a.cfg.Server {
			taken = append(taken, a.net.base.Addr())
			continue
		}
		for _, at := range a.addrsOf(s) {
			taken = append(taken, at.Addr())
		}
	}
	a.net.sup.know(a.net.base.Masked(), owners, taken)
}

// standInConditions tells of those who answer ARP for servers, while all is well: then
// somebody can see to it.
func (a *Agent) standInConditions(now time.Time) []alarms.Condition {
	var out []alarms.Condition
	alive := func(server string) bool {
		p := a.peers[server]
		return server == a.cfg.Server || p != nil && p.liveness == failover.Alive
	}
	for _, x := range a.net.sup.standing(alive, now) {
		c := alarms.Condition{Name: alarms.AddressProxied, Severity: alarms.Warning, Server: x.Server}
		const remedy = "switch proxy ARP, local proxy ARP or ARP suppression off for this subnet"
		switch s := a.doc.Server(x.Server); {
		case s == nil:
			c.Server = a.cfg.Server
			c.Text = fmt.Sprintf("%s answers ARP for addresses that nobody has, as seen by %s; %s", x.MAC, a.cfg.Server, remedy)
		case x.Proven:
			c.Text = fmt.Sprintf("%s answers ARP for %s, the base address of %s, and for others; its answers do not count as a sign of life; %s", x.MAC, s.Base.Addr(), x.Server, remedy)
		default:
			c.Text = fmt.Sprintf("%s answers ARP for %s, the base address of %s, too, and %s does not have that MAC address; %s, or take the address off that host", x.MAC, s.Base.Addr(), x.Server, x.Server, remedy)
		}
		out = append(out, c)
	}
	return out
}

// unseenDeaths says, on a standby, of which servers the death might not be seen: somebody
// answers ARP for them who cannot be told from them, for they answer no echo.
func (a *Agent) unseenDeaths() []string {
	self, now := a.doc.Server(a.cfg.Server), time.Now()
	if self == nil || !self.Standby || a.net == nil {
		return nil
	}
	seen := a.net.sup.sightings()
	var why []string
	for _, x := range a.net.sup.standing(func(string) bool { return true }, now) {
		for name, g := range seen {
			if g.everGossip && !g.echoes && !x.Proven && x.Server == name {
				why = append(why, fmt.Sprintf("%s answers ARP for %s, which answers no echo (ICMP): its death would not be seen; let echoes through to it", x.MAC, name))
			}
			if g.everGossip && !g.echoes && x.Server == "" {
				why = append(why, fmt.Sprintf("%s answers ARP for addresses of others, and %s answers no echo (ICMP): its death may be seen late; let echoes through to it", x.MAC, name))
			}
		}
	}
	slices.Sort(why)
	return why
}
