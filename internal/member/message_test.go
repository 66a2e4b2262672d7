package member

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/fault"
)

func TestReliableMessages(t *testing.T) {
	onSegment(t, func(t *testing.T, s *segment) {
		a, b := s.open("a", "192.0.2.1"), s.open("b", "192.0.2.2")
		meet(a, b)
		long := []byte(`"` + strings.Repeat("x", 200_000) + `"`)
		for _, m := range []struct {
			from, to *server
			payload  []byte
		}{{a, b, []byte(`{"order":1}`)}, {b, a, []byte(`null`)}, {a, b, long}} {
			if err := m.from.Send(t.Context(), m.to.cfg.Name, m.payload); err != nil {
				t.Fatal(err)
			}
			m.to.hears(t, Event{Kind: MessageHeard, From: m.from.cfg.Name, At: time.Now(), Payload: m.payload})
		}
	})
}

// TestMessageToAServerThatJoins answers one that no document knows yet.
func TestMessageToAServerThatJoins(t *testing.T) {
	for _, tt := range []struct {
		name   string
		spoken bool
	}{{"that asked", true}, {"that is a member only", false}} {
		t.Run(tt.name, func(t *testing.T) {
			onSegment(t, func(t *testing.T, s *segment) {
				a, j := s.open("a", "192.0.2.1"), s.open("(joining)", "192.0.2.9")
				if _, err := j.Join(a.cfg.Bind); err != nil {
					t.Fatal(err)
				}
				if tt.spoken {
					if err := j.Send(t.Context(), "a", []byte(`1`)); err != nil {
						t.Fatal(err)
					}
				}
				a.take()
				if err := a.Send(t.Context(), "(joining)", []byte(`2`)); err != nil {
					t.Fatal(err)
				}
				j.hears(t, Event{Kind: MessageHeard, From: "a", At: time.Now(), Payload: []byte(`2`)})
			})
		})
	}
}

func TestMessageThatCannotBeSent(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name, to string
		ctx      context.Context
		want     string
	}{
		{"unknown server", "nobody", t.Context(), "no address of server nobody is known"},
		{"server that is down", "down", t.Context(), "sending to down at 192.0.2.3: dial 192.0.2.3:7946"},
		{"nobody waits any more", "b", cancelled, "sending to b at 192.0.2.2: context canceled"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onSegment(t, func(t *testing.T, s *segment) {
				a, b := s.open("a", "192.0.2.1"), s.open("b", "192.0.2.2")
				a.SetPeers(map[string][]netip.AddrPort{"b": {b.cfg.Bind}, "down": {addr("192.0.2.3")}})
				err := a.Send(tt.ctx, tt.to, []byte(`1`))
				if fault.CodeOf(err) != fault.Unreachable || fault.HintOf(err) == "" || !strings.HasPrefix(err.Error(), tt.want) {
					t.Errorf("error %v, code %d, hint %q", err, fault.CodeOf(err), fault.HintOf(err))
				}
				b.hears(t)
			})
		})
	}
	onSegment(t, func(t *testing.T, s *segment) {
		a := s.open("a", "192.0.2.1")
		a.SetPeers(map[string][]netip.AddrPort{"b": {addr("192.0.2.2")}})
		if err := a.Send(t.Context(), "b", []byte(`{`)); err == nil || !strings.HasPrefix(err.Error(), "encoding a message for b") {
			t.Errorf("a message that is not JSON: %v", err)
		}
	})
}

// TestAddressThatMoves follows a server over the change of its base address.
func TestAddressThatMoves(t *testing.T) {
	const before, after = "192.0.2.2", "192.0.2.22"
	onSegment(t, func(t *testing.T, s *segment) {
		a, b := s.open("a", "192.0.2.1"), s.open("b", before)
		meet(a, b)
		both := map[string][]netip.AddrPort{"b": {addr(after), addr(before)}}

		// It has not moved yet: it spoke from where it is.
		b.Beat("a")
		a.take()
		a.SetPeers(both)
		at(t, a, addr(before))

		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b = s.open("b", after)
		// It has moved and has not spoken from there yet: a message finds it all the same.
		at(t, a, addr(before))
		if err := a.Send(t.Context(), "b", []byte(`2`)); err != nil {
			t.Error(err)
		}
		meet(a, b)
		// Only the new address is known now, and what it said last is not it.
		at(t, a, addr(after))
		a.SetPeers(both)
		// Nothing was heard: all are tried, and the one that works is found.
		at(t, a, addr(after), addr(before))
		if err := a.Send(t.Context(), "b", []byte(`1`)); err != nil {
			t.Fatal(err)
		}
		a.Ask("b")
		at(t, a, addr(after))

		// A server that works by a newer document is heard where it says that it is.
		a.SetPeers(map[string][]netip.AddrPort{"b": {addr(before)}})
		b.Beat("a")
		at(t, a, addr(after))
	})
}

func at(t *testing.T, v *server, want ...netip.AddrPort) {
	t.Helper()
	v.take()
	if got := v.addrs("b"); !slices.Equal(got, want) {
		t.Errorf("b is sought at %v, want %v", got, want)
	}
}

func TestKeyOfWrongSize(t *testing.T) {
	for _, size := range []int{0, 16, 31, 33} {
		cfg := testConfig("a", addr("192.0.2.1"))
		cfg.Keys = [][]byte{make([]byte, size)}
		p, err := Open(cfg)
		if p != nil || fault.CodeOf(err) != fault.Invalid || !strings.Contains(fault.HintOf(err), "gossip.key") {
			t.Errorf("%d bytes: %v, code %d, hint %q", size, err, fault.CodeOf(err), fault.HintOf(err))
		}
	}
}

func TestJoin(t *testing.T) {
	otherKey := func(c *Config) { c.Keys = [][]byte{testKey(2)} }
	tests := []struct {
		name       string
		change     func(*Config)
		to         []string
		joined     int
		want, hint string
	}{
		{"one", nil, []string{"192.0.2.2"}, 1, "", ""},
		{"one of two", nil, []string{"192.0.2.99", "192.0.2.2"}, 1, "", ""},
		{"no one asked for", nil, nil, 0, "", ""},
		{"nobody there", nil, []string{"192.0.2.99"}, 0, "joining 192.0.2.99:7946: ", "base address"},
		{"another key", otherKey, []string{"192.0.2.2"}, 0, "joining 192.0.2.2:7946: it has another gossip key", "copy gossip.key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onSegment(t, func(t *testing.T, s *segment) {
				b := s.open("b", "192.0.2.2")
				b.Publish([]byte(`"secret"`))
				var change []func(*Config)
				if tt.change != nil {
					change = append(change, tt.change)
				}
				a := s.open("a", "192.0.2.1", change...)
				var to []netip.AddrPort
				for _, x := range tt.to {
					to = append(to, addr(x))
				}
				n, err := a.Join(to...)
				if n != tt.joined || (err == nil) != (tt.want == "") {
					t.Fatalf("joined %d: %v", n, err)
				}
				if err != nil {
					checkJoinError(t, err, tt.want, tt.hint)
				}
				if got := a.members(); len(got) != tt.joined {
					t.Errorf("members %q", got)
				}
			})
		})
	}
}

func checkJoinError(t *testing.T, err error, want, hint string) {
	t.Helper()
	if msg := err.Error(); !strings.HasPrefix(msg, want) || strings.Contains(msg, "\n") {
		t.Errorf("error %q, want one line that begins %q", msg, want)
	}
	if fault.CodeOf(err) != fault.Unreachable || !strings.Contains(fault.HintOf(err), hint) {
		t.Errorf("code %d, hint %q", fault.CodeOf(err), fault.HintOf(err))
	}
}

// TestOtherKeyIsNotHeard keeps servers of another system apart, in both directions.
func TestOtherKeyIsNotHeard(t *testing.T) {
	onSegment(t, func(t *testing.T, s *segment) {
		a, b := s.open("a", "192.0.2.1"), s.open("b", "192.0.2.2", func(c *Config) { c.Keys = [][]byte{testKey(2)} })
		meet(a, b)
		for _, v := range []*server{a, b} {
			v.Publish([]byte(`1`))
			v.Beat("a", "b")
			for _, to := range []string{"a", "b"} {
				v.Ask(to)
			}
		}
		a.hears(t)
		b.hears(t)
		if got, from := a.refusals()["other-key"], b.cfg.Bind.Addr(); got.Count == 0 || got.From != from || !slices.Contains(got.Servers, from) || got.Reason == "" {
			t.Errorf("it is told that %+v was refused, of %s", got, from)
		}
		for _, v := range []*server{a, b} {
			if got := v.refusals()["other-key"]; got.Count != 1 || !strings.Contains(got.Reason, "another gossip key") || got.Remedy == "" {
				t.Errorf("%s was told %+v, want once that the key is another one", v.cfg.Name, got)
			}
		}
	})
}
