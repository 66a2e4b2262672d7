package evidence

import (
	"cmp"
	"hash/fnv"
	"maps"
	"net/netip"
	"slices"
	"time"
)

const (
	standInFor  = 5 * time.Minute // after its last answer for others, somebody counts as one who does so no more
	standInSure = 2 * time.Second // from an answer for a live server to another, to be told: its own MAC may be new
	emptyProofs = 3               // answers in a row for addresses that nobody has: who has many would not have these
	emptyBits   = 5               // of a subnet's host part, at the least, for that to mean something
	answersMost = 256             // MAC addresses of which answers are kept
)

// Worth is what an ARP answer for a server's address is worth as a sign of its life.
type Worth int

// The worths.
const (
	WorthNothing Worth = iota // its sender is proven to answer for others
	WorthUnknown              // nobody knows the sender: a server's MAC address may change
	WorthOwn                  // the server claims the sender's MAC address
)

// StandIn is a station that answers ARP for a server in its place.
type StandIn struct {
	MAC    string
	Server string // for which; "": for addresses that nobody has
	Proven bool   // that it is not the server itself
}

// StandIns finds out who answers ARP for others: routers with proxy ARP, for instance.
// The zero value knows nothing. It is not safe for concurrent use.
type StandIns struct {
	owners map[netip.Addr]string // of base addresses and gateways
	claims map[string][]string   // MAC addresses by server
	heard  map[string]*answers   // by MAC address
	empty  []netip.Addr          // addresses that nobody should have, as they were asked for
}

// answers are those of one MAC address.
type answers struct {
	owners map[string]*span    // for whose addresses
	empty  map[netip.Addr]bool // of those that nobody should have
	last   time.Time
	proven time.Time // when it had answered for all of those that were asked for
}

// span is from the first to the last of answers that belong together.
type span struct{ first, last time.Time }

// Know tells whose an address is.
func (s *StandIns) Know(owners map[netip.Addr]string) { s.owners = owners }

// Claim notes which MAC addresses a server says it has.
func (s *StandIns) Claim(server string, macs []string) {
	if s.claims == nil {
		s.claims = map[string][]string{}
	}
	s.claims[server] = slices.Clone(macs)
	for _, mac := range macs {
		if a := s.heard[mac]; a != nil {
			delete(a.owners, server)
		}
	}
}

// Answered records that a MAC address answered for an address, and reports whether that
// is one that nobody should have.
func (s *StandIns) Answered(mac string, addr netip.Addr, at time.Time) (nobodys bool) {
	owner, known := s.owners[addr]
	if known && slices.Contains(s.claims[owner], mac) || !known && !slices.Contains(s.empty, addr) {
		return false
	}
	if s.heard == nil {
		s.heard = map[string]*answers{}
	}
	a := s.heard[mac]
	if a == nil {
		if len(s.heard) >= answersMost {
			s.forget()
		}
		a = &answers{owners: map[string]*span{}, empty: map[netip.Addr]bool{}}
		s.heard[mac] = a
	}
	a.last = at
	if !known {
		a.empty[addr] = true
		if len(s.empty) == emptyProofs && !slices.ContainsFunc(s.empty, func(x netip.Addr) bool { return !a.empty[x] }) {
			a.proven = at
		}
		return true
	}
	if seen := a.owners[owner]; seen == nil || at.Sub(seen.last) > standInFor {
		a.owners[owner] = &span{at, at}
	} else {
		seen.last = at
	}
	return false
}

// Again returns when everybody is to be asked for a server once more, because a MAC address that it
// does not claim answered for it and a second answer would tell; the zero time if that is known.
func (s *StandIns) Again(mac, server string) time.Time {
	a := s.heard[mac]
	if a == nil || a.owners[server] == nil || a.owners[server].last.Sub(a.owners[server].first) >= standInSure {
		return time.Time{}
	}
	return a.owners[server].first.Add(standInSure)
}

// forget drops the MAC address that was heard longest ago.
func (s *StandIns) forget() {
	oldest := slices.MinFunc(slices.Collect(maps.Keys(s.heard)), func(x, y string) int {
		return cmp.Or(s.heard[x].last.Compare(s.heard[y].last), cmp.Compare(x, y))
	})
	delete(s.heard, oldest)
}

// Worth returns what an answer of a MAC address for a server is worth.
func (s *StandIns) Worth(mac, server string, now time.Time) Worth {
	switch {
	case slices.Contains(s.claims[server], mac):
		return WorthOwn
	case s.proven(mac, server, now):
		return WorthNothing
	}
	return WorthUnknown
}

// proven reports whether a MAC address that a server does not claim answers for others.
// Of a server that has not said what it has, only answers for what nobody has tell.
func (s *StandIns) proven(mac, server string, now time.Time) bool {
	a := s.heard[mac]
	if a != nil && a.forNobody(now) {
		return true
	}
	if len(s.claims[server]) == 0 {
		return false
	}
	for other, macs := range s.claims {
		if other != server && slices.Contains(macs, mac) {
			return true
		}
	}
	return a != nil && slices.ContainsFunc(a.recent(now), func(other string) bool { return other != server })
}

// forNobody reports whether it answered for addresses that nobody should have, all that
// were asked for.
func (a *answers) forNobody(now time.Time) bool {
	return !a.proven.IsZero() && now.Sub(a.proven) <= standInFor
}

// recent lists for whom it answered.
func (a *answers) recent(now time.Time) []string {
	var out []string
	for owner, seen := range a.owners {
		if now.Sub(seen.last) <= standInFor {
			out = append(out, owner)
		}
	}
	return out
}

// Empty chooses the next address of a subnet to ask for that nobody should have, by a
// number that grows; the zero Addr where the subnet is too small. The former ones count
// no more, but for the last.
func (s *StandIns) Empty(subnet netip.Prefix, taken []netip.Addr, number uint64) netip.Addr {
	host := subnet.Addr().BitLen() - subnet.Bits()
	if host < emptyBits {
		return netip.Addr{}
	}
	for try := number << 8; try < number<<8+256; try++ {
		addr := hostOf(subnet.Masked(), min(host, 30), try)
		if _, known := s.owners[addr]; !known && addr.IsValid() && !slices.Contains(taken, addr) && !slices.Contains(s.empty, addr) {
			s.empty = append(s.empty, addr)
			s.empty = s.empty[max(0, len(s.empty)-emptyProofs):]
			for _, a := range s.heard {
				maps.DeleteFunc(a.empty, func(x netip.Addr, _ bool) bool { return !slices.Contains(s.empty, x) })
			}
			return addr
		}
	}
	return netip.Addr{}
}

// hostOf returns one of a subnet's addresses, drawn by a number, but not its first or
// last one.
func hostOf(subnet netip.Prefix, bits int, number uint64) netip.Addr {
	h := fnv.New64a()
	h.Write(subnet.Addr().AsSlice())
	for i := range 8 {
		h.Write([]byte{byte(number >> (8 * i))})
	}
	n := 1 + h.Sum64()%(1<<bits-2)
	raw := subnet.Addr().AsSlice()
	for i := range 4 {
		raw[len(raw)-1-i] |= byte(n >> (8 * i))
	}
	addr, _ := netip.AddrFromSlice(raw)
	return addr
}

// List returns who answers for servers, in order; alive tells of which it is known that
// their own kernels answer now. Where it is not proven that it is somebody else, two
// answers some time apart tell, for the server itself would claim its new MAC address.
func (s *StandIns) List(alive func(server string) bool, now time.Time) []StandIn {
	var out []StandIn
	for mac, a := range s.heard {
		before := len(out)
		for _, server := range a.recent(now) {
			claims, seen := s.claims[server], a.owners[server]
			if len(claims) == 0 || slices.Contains(claims, mac) {
				continue
			}
			proven := s.proven(mac, server, now)
			if proven || alive(server) && seen.last.Sub(seen.first) >= standInSure {
				out = append(out, StandIn{mac, server, proven})
			}
		}
		if len(out) == before && a.forNobody(now) {
			out = append(out, StandIn{mac, "", true})
		}
	}
	slices.SortFunc(out, func(x, y StandIn) int { return cmp.Or(cmp.Compare(x.Server, y.Server), cmp.Compare(x.MAC, y.MAC)) })
	return out
}

// Proven reports whether a MAC address that no server claims is proven to answer for
// others: for what nobody has, or for two, one of which is known to have other ones.
func (s *StandIns) Proven(mac string, now time.Time) bool {
	for _, macs := range s.claims {
		if slices.Contains(macs, mac) {
			return false
		}
	}
	a := s.heard[mac]
	if a == nil {
		return false
	}
	others := a.recent(now)
	claimed := slices.ContainsFunc(others, func(x string) bool { return len(s.claims[x]) > 0 })
	return a.forNobody(now) || len(others) > 1 && claimed
}
