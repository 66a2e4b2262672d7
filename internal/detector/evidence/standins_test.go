package evidence

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// Who answers for whom, and what that is worth as a sign of life of srv1.
func TestWorth(t *testing.T) {
	const own, other, strange = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:99"
	addr := netip.MustParseAddr
	base := map[string]netip.Addr{"srv1": addr("192.0.2.21"), "srv2": addr("192.0.2.22"), "gateway": addr("192.0.2.1")}
	for _, tc := range []struct {
		name   string
		claims bool // srv1 has said what it has
		mac    string
		hears  func(s *StandIns)
		want   Worth
	}{
		{"itself", true, own, nil, WorthOwn},
		{"another card, or another machine", true, strange, nil, WorthUnknown},
		{"another server", true, other, nil, WorthNothing},
		{"who answers for two servers", true, strange, func(s *StandIns) { s.Answered(strange, base["srv2"], epoch) }, WorthNothing},
		{"the gateway", true, strange, func(s *StandIns) { s.Answered(strange, base["gateway"], epoch) }, WorthNothing},
		{"the gateway, of a server that has not said what it has", false, strange, func(s *StandIns) { s.Answered(strange, base["gateway"], epoch) }, WorthUnknown},
		{"who answers for what nobody has", false, strange, func(s *StandIns) { s.empties(strange, 3) }, WorthNothing},
		{"who answers for one of those", true, strange, func(s *StandIns) { s.empties(strange, 1) }, WorthUnknown},
		{"one that did so long ago", true, strange, func(s *StandIns) {
			s.Answered(strange, base["srv2"], epoch.Add(-time.Hour))
		}, WorthUnknown},
		{"itself, though it answers for others", true, own, func(s *StandIns) { s.empties(own, 3) }, WorthOwn},
	} {
		var s StandIns
		owners := map[netip.Addr]string{}
		for name, at := range base {
			owners[at] = name
		}
		s.Know(owners)
		s.Claim("srv2", []string{other})
		if tc.claims {
			s.Claim("srv1", []string{"02:00:00:00:00:aa", own})
		}
		if tc.hears != nil {
			tc.hears(&s)
		}
		s.Answered(tc.mac, base["srv1"], epoch)
		if got := s.Worth(tc.mac, "srv1", epoch); got != tc.want {
			t.Errorf("%s: worth %d, want %d", tc.name, got, tc.want)
		}
	}
}

// empties has a MAC answer for so many of three addresses that nobody has.
func (s *StandIns) empties(mac string, answers int) {
	for i := range 3 {
		if at := s.Empty(netip.MustParsePrefix("192.0.2.0/24"), nil, uint64(i)); i < answers {
			s.Answered(mac, at, epoch)
		}
	}
}

// Who stands in is told; a server's own new MAC address is not, once it says so, and
// never at once.
func TestListOfStandIns(t *testing.T) {
	var s StandIns
	base := netip.MustParseAddr("192.0.2.21")
	s.Know(map[netip.Addr]string{base: "srv1"})
	s.Claim("srv1", []string{"a"})
	alive := func(string) bool { return true }
	s.Answered("b", base, epoch)
	if got := s.List(alive, epoch); len(got) != 0 {
		t.Errorf("after one answer: %v", got)
	}
	s.Answered("b", base, epoch.Add(3*time.Second))
	if got := fmt.Sprint(s.List(alive, epoch.Add(3*time.Second))); got != "[{b srv1 false}]" {
		t.Errorf("after a while: %v", got)
	}
	s.Claim("srv1", []string{"a", "b"})
	if got := s.List(alive, epoch.Add(3*time.Second)); len(got) != 0 {
		t.Errorf("once it says that it has it: %v", got)
	}
}

// The addresses that nobody should have are in the subnet, and nobody's.
func TestEmptyAddresses(t *testing.T) {
	taken := []netip.Addr{netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("2001:db8::5")}
	for _, subnet := range []string{"10.0.0.0/24", "10.0.0.0/27", "10.0.0.0/8", "2001:db8::/64", "2001:db8::/120"} {
		var s StandIns
		p, seen := netip.MustParsePrefix(subnet), map[netip.Addr]bool{}
		for i := range uint64(500) {
			at := s.Empty(p, taken, i)
			seen[at] = true
			if !at.IsValid() || !p.Contains(at) || slices.Contains(taken, at) || at == p.Addr() || p.Addr().Is4() && !p.Contains(at.Next()) {
				t.Fatalf("%s: %s", subnet, at)
			}
		}
		if len(seen) < 20 {
			t.Errorf("%s: %d addresses in 500 tries", subnet, len(seen))
		}
	}
	for _, subnet := range []string{"10.0.0.0/28", "10.0.0.0/31", "10.0.0.1/32", "2001:db8::/125"} {
		var s StandIns
		if at := s.Empty(netip.MustParsePrefix(subnet), nil, 1); at.IsValid() {
			t.Errorf("%s: %s of a subnet too small to tell", subnet, at)
		}
	}
}
