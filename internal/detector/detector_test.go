package detector

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"mxcluster/internal/arpbudget"
	"mxcluster/netops"
)

// bareDetector asks nobody by itself: tests poll it.
func bareDetector() *Detector {
	return New(Config{Self: netip.MustParseAddr("192.0.2.20"), Budget: arpbudget.New(15, func() uint64 { return 0 })})
}

// A server that is gone is asked 20 times a second by those who may share an
// alias with it, since its first word ends a split brain; by all others as calmly as
// before. None of that is ARP, but for a question to everybody a second.
func TestWhoIsGoneIsAskedByRivals(t *testing.T) {
	addr := netip.MustParseAddr
	for _, tc := range []struct {
		limit        time.Duration
		rival, other int // echoes a second
	}{
		{10 * time.Second, 20, 1},
		{time.Second, 20, 10},
		{200 * time.Millisecond, 50, 50},
	} {
		s := bareDetector()
		s.SetServers(map[string]Server{"sb1": {Base: addr("192.0.2.29"), Rival: true}, "srv2": {Base: addr("192.0.2.22")}}, tc.limit)
		start := time.Unix(1e9, 0)
		for i, name := range []string{"sb1", "srv2"} {
			mac := net.HardwareAddr{2, 0, 0, 0, 0, byte(i)}
			s.SetMACs(name, []string{mac.String()})
			s.gossipHeard(name, start)
			s.echo(netops.Echo{Time: start, Asked: start, From: s.hosts[name].addrs.Base, MAC: mac})
		}
		echoes, arp := map[netip.Addr]int{}, map[netip.Addr]int{}
		gossip := map[string]int{}
		count := start.Add(4 * tc.limit)
		for now := start; now.Before(count.Add(10 * time.Second)); {
			next, ask, _ := s.poll(now)
			if !now.Before(count) {
				for _, q := range ask.echo {
					echoes[q.target]++
				}
				for _, q := range ask.arp {
					arp[q.target]++
				}
				for _, name := range ask.gossip {
					gossip[name]++
				}
			}
			now = next
		}
		for name, h := range s.Sightings() {
			if !h.Gone {
				t.Errorf("limit %s: %s is not gone", tc.limit, name)
			}
		}
		for _, want := range []struct {
			name   string
			addr   netip.Addr
			second int // echoes
			calls  int // ARP questions in 10 s
		}{{"sb1", addr("192.0.2.29"), tc.rival, 40}, {"srv2", addr("192.0.2.22"), tc.other, 10}} {
			n, g := echoes[want.addr], gossip[want.name]
			if lo, hi := want.second*9, want.second*11+1; n < lo || n > hi || g < lo || g > hi {
				t.Errorf("limit %s: %s was asked by echo %d times and by gossip %d times in 10 s, want %d to %d", tc.limit, want.name, n, g, lo, hi)
			}
			if n := arp[want.addr]; n < want.calls-2 || n > want.calls+1 {
				t.Errorf("limit %s: %s was asked for by ARP %d times in 10 s, want about %d", tc.limit, want.name, n, want.calls)
			}
		}
	}
}

// Who dies just after failover-after was shortened is gone by the new one: the next
// question by the old one would have come later than that.
func TestShorterLimitCountsAtOnce(t *testing.T) {
	addr, mac := netip.MustParseAddr("192.0.2.22"), net.HardwareAddr{2, 0, 0, 0, 0, 2}
	s := bareDetector()
	limit := func(d time.Duration) {
		s.SetServers(map[string]Server{"srv2": {Base: addr}}, d)
		s.WatchAlias(1, addr, d, time.Unix(1e9, 0))
	}
	limit(10 * time.Second)
	start := time.Unix(1e9, 0)
	shortened, dies := start.Add(20*time.Second+time.Millisecond), start.Add(20*time.Second+200*time.Millisecond)
	now, short := start, false
	for range 1000 {
		next, ask, _ := s.poll(now)
		if s.Sightings()["srv2"].Gone {
			break
		}
		for _, q := range ask.arp {
			if now.Before(dies) {
				s.observe(netops.Observation{Time: now, SenderMAC: mac, SenderIP: q.target})
			}
		}
		for _, q := range ask.echo {
			if now.Before(dies) {
				s.gossipHeard("srv2", now)
				s.echo(netops.Echo{Time: now, Asked: now, MAC: mac, From: q.target})
			}
		}
		if now = next; !short && now.After(shortened) {
			now, short = shortened, true
			limit(time.Second)
		}
	}
	if late := now.Sub(dies); late < 0 || late > time.Second {
		t.Errorf("gone %s after its death, want 1s at most", late)
	}
}

// A break in listening starts the silence of others anew, while it lasts and after it.
func TestAttentive(t *testing.T) {
	addr := netip.MustParseAddr
	s := bareDetector()
	s.SetServers(map[string]Server{"srv2": {Base: addr("192.0.2.22")}}, 200*time.Millisecond)
	at := func(ms int) time.Time { return time.Unix(1e9, 0).Add(time.Duration(ms) * time.Millisecond) }
	for _, tc := range []struct{ poll, now, want int }{
		{0, 0, 0}, {90, 95, 0}, {190, 290, 0},
		{290, 391, 391}, // it has not listened for a while
		{391, 400, 391}, // it listens again
		{480, 490, 391},
	} {
		s.poll(at(tc.poll))
		if got := s.Attentive(at(tc.now)); !got.Equal(at(tc.want)) {
			t.Errorf("at %d ms: attentive since %s, want %s", tc.now, got.Sub(at(0)), at(tc.want).Sub(at(0)))
		}
	}
}

// A host that has a server's base and says nothing by itself hears of it only where everybody is
// asked, once a minute. It is asked again soon, for one answer may be the server's own new card.
func TestHostWithAServersBase(t *testing.T) {
	addr, own, strange := netip.MustParseAddr("192.0.2.22"), net.HardwareAddr{2, 0, 0, 0, 0, 2}, net.HardwareAddr{2, 0, 0, 0, 9, 9}
	s := bareDetector()
	s.SetServers(map[string]Server{"srv2": {Base: addr}}, time.Second)
	s.SetOwners(netip.MustParsePrefix("192.0.2.0/24"), map[netip.Addr]string{addr: "srv2"}, nil)
	s.SetMACs("srv2", []string{own.String()})
	start := time.Unix(1e9, 0)
	alive := func(string) bool { return true }
	var told time.Time
	asked := 0
	for now := start; now.Before(start.Add(5 * time.Minute)); {
		s.gossipHeard("srv2", now)
		next, ask, _ := s.poll(now)
		for _, q := range ask.echo {
			s.echo(netops.Echo{Time: now, Asked: now, From: q.target, MAC: own})
		}
		for _, q := range ask.arp {
			if q.target != addr || q.to != nil {
				continue
			}
			asked++
			for _, mac := range []net.HardwareAddr{own, strange} {
				if now.Before(start.Add(10*time.Second)) && mac[5] == 9 {
					continue // it is not there yet
				}
				s.observe(netops.Observation{Op: netops.Reply, EthSrc: mac, SenderMAC: mac, SenderIP: addr, TargetIP: s.Self, Time: now})
			}
		}
		if list := s.StandIns(alive, now); told.IsZero() && len(list) == 1 && list[0].MAC == strange.String() && list[0].Server == "srv2" {
			told = now
		}
		now = next
	}
	if told.IsZero() || told.Sub(start) > 65*time.Second {
		t.Errorf("it is told after %s", told.Sub(start))
	}
	if asked > 8 {
		t.Errorf("everybody was asked %d times in five minutes", asked)
	}
}
