package member

import (
	"bytes"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mxcluster/internal/member/membernet"
)

const testPort = 7946

// segment is a network in memory, in virtual time, with a pool on each of its
// servers.
type segment struct {
	t   *testing.T
	net *membernet.Network

	mu  sync.Mutex
	cut map[[2]netip.Addr]bool // in this direction
}

// onSegment runs a test in a synctest bubble.
func onSegment(t *testing.T, f func(*testing.T, *segment)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &segment{t: t, net: membernet.New(), cut: map[[2]netip.Addr]bool{}}
		s.net.DropWith(func(from, to netip.AddrPort) bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.cut[[2]netip.Addr{from.Addr(), to.Addr()}]
		})
		// Last of all, after every pool was closed: memberlist's probes and
		// connections end in their own time.
		t.Cleanup(func() { <-time.After(time.Minute) })
		f(t, s)
	})
}

// setCut loses, or no longer loses, what from sends to to.
func (s *segment) setCut(from, to string, cut bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut[[2]netip.Addr{addr(from).Addr(), addr(to).Addr()}] = cut
}

// server is a pool and what it heard.
type server struct {
	*Pool
	mu    sync.Mutex
	heard []Event

	refused []Refusal // apart, for they say nothing of who is heard
}

// open starts a pool whose events are read; key and clock may be changed.
func (s *segment) open(name, at string, change ...func(*Config)) *server {
	s.t.Helper()
	v := &server{Pool: s.openUnread(name, at, change...)}
	go func() {
		for ev := range v.Events() {
			v.mu.Lock()
			switch ev.Kind {
			case Refused:
				v.refused = append(v.refused, *ev.Refusal)
			default:
				v.heard = append(v.heard, ev)
			}
			v.mu.Unlock()
		}
	}()
	return v
}

// openUnread starts a pool whose events nobody reads yet.
func (s *segment) openUnread(name, at string, change ...func(*Config)) *Pool {
	s.t.Helper()
	end, err := s.net.Open(addr(at))
	if err != nil {
		s.t.Fatal(err)
	}
	cfg := testConfig(name, addr(at))
	cfg.Transport = end
	for _, c := range change {
		c(&cfg)
	}
	p, err := Open(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := p.Close(); err != nil {
			s.t.Errorf("closing %s: %v", name, err)
		}
	})
	return p
}

// members returns memberlist's view, once all is quiet.
func (v *server) members() []string {
	synctest.Wait()
	return v.Members()
}

// take returns what was heard since the last call, once all is quiet.
func (v *server) take() []Event {
	synctest.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	out := v.heard
	v.heard = nil
	return out
}

// refusals returns what was refused so far, by kind.
func (v *server) refusals() map[string]Refusal {
	synctest.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	out := map[string]Refusal{}
	for _, r := range v.refused {
		out[r.Kind] = r
	}
	return out
}

// hears checks what a server heard since it was asked last.
func (v *server) hears(t *testing.T, want ...Event) {
	t.Helper()
	same := func(a, b Event) bool {
		return a.Kind == b.Kind && a.From == b.From && a.At.Equal(b.At) && bytes.Equal(a.Payload, b.Payload)
	}
	if got := v.take(); !slices.EqualFunc(got, want, same) {
		t.Errorf("%s heard %s, want %s", v.cfg.Name, show(got), show(want))
	}
}

// states returns the states among events, by server, the last of each.
func states(events []Event) map[string]string {
	out := map[string]string{}
	for _, ev := range events {
		if ev.Kind == StateHeard {
			out[ev.From] = string(ev.Payload)
		}
	}
	return out
}

func show(events []Event) []string {
	out := []string{}
	for _, ev := range events {
		kind := map[EventKind]string{BeatHeard: "beat", StateHeard: "state", MessageHeard: "message"}[ev.Kind]
		out = append(out, kind+" of "+ev.From+" "+string(ev.Payload)+" at "+ev.At.Format(time.TimeOnly))
	}
	return out
}

// meet tells pools of each other's addresses.
func meet(servers ...*server) {
	for _, v := range servers {
		peers := map[string][]netip.AddrPort{}
		for _, other := range servers {
			peers[other.cfg.Name] = []netip.AddrPort{other.cfg.Bind}
		}
		v.SetPeers(peers)
	}
}

func testConfig(name string, bind netip.AddrPort) Config {
	return Config{Name: name, Bind: bind, Keys: [][]byte{testKey(1)}, Log: slog.New(slog.DiscardHandler), Now: time.Now}
}

func testKey(fill byte) []byte { return bytes.Repeat([]byte{fill}, keySize) }

// addr puts the gossip port to an address.
func addr(s string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(s), testPort) }
