package detector

import (
	"net/netip"
	"time"

	"mxcluster/internal/detector/evidence"
)

const (
	emptyFirst  = 2 * time.Second  // from one question for an address that nobody has to the next, at first
	emptyPeriod = 20 * time.Second // and when there were enough
	emptyHaste  = 5 * time.Second  // from one time that somebody unknown makes them urgent to the next
	emptyEnough = 3
)

// proxies finds out who answers ARP for others, besides by asking for addresses that
// nobody has.
type proxies struct {
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
func (s *proxies) suspect(now time.Time) {
	if now.Sub(s.suspected) >= emptyHaste {
		s.suspected, s.hurry, s.next = now, emptyEnough, now
	}
}

// answered notes an answer. One for what nobody has makes the next questions urgent.
func (s *proxies) answered(mac string, addr netip.Addr, at time.Time) {
	if s.Answered(mac, addr, at) && !s.Proven(mac, at) {
		s.suspect(at)
	}
}

// ask asks for addresses that nobody has, and returns when to come again.
func (s *proxies) ask(q *questions, now time.Time, room func() bool) time.Time {
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

// SetOwners tells whose addresses there are on the subnet.
func (d *Detector) SetOwners(subnet netip.Prefix, owners map[netip.Addr]string, taken []netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.proxies.Know(owners)
	d.proxies.taken = taken
	if d.proxies.subnet != subnet {
		d.proxies.subnet, d.proxies.number = subnet, uint64(time.Now().UnixNano())
	}
}

// StandIns lists who answers for servers in their place.
func (d *Detector) StandIns(alive func(server string) bool, now time.Time) []evidence.StandIn {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.proxies.List(alive, now)
}
