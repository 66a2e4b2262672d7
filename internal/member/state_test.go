package member

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestStateGoesStraightToPeers(t *testing.T) {
	onSegment(t, func(t *testing.T, s *segment) {
		a, b, c := s.open("a", "192.0.2.1"), s.open("b", "192.0.2.2"), s.open("c", "192.0.2.3")
		meet(a, b, c)
		a.Publish([]byte(`{"n":1}`))
		heard := Event{Kind: StateHeard, From: "a", At: time.Now(), Payload: []byte(`{"n":1}`)}
		b.hears(t, heard)
		c.hears(t, heard)
		a.hears(t)

		<-time.After(time.Second)
		a.Beat("b")
		b.hears(t, Event{Kind: BeatHeard, From: "a", At: time.Now()})
		c.hears(t)
	})
}

func TestLostStateIsAskedFor(t *testing.T) {
	tests := []struct {
		name string
		then func(a, b *server)
	}{
		{"at the next heartbeat", func(a, _ *server) { a.Beat("b") }},
		{"at the next question of that server", func(a, _ *server) { a.Ask("b") }},
		{"when asked", func(_, b *server) { b.Ask("a") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onSegment(t, func(t *testing.T, s *segment) {
				a, b := s.open("a", "192.0.2.1"), s.open("b", "192.0.2.2")
				meet(a, b)
				a.Publish([]byte(`1`))
				b.take()
				s.setCut("192.0.2.1", "192.0.2.2", true)
				a.Publish([]byte(`2`))
				b.hears(t)
				s.setCut("192.0.2.1", "192.0.2.2", false)
				tt.then(a, b)
				if got := states(b.take())["a"]; got != "2" {
					t.Errorf("b has state %q of a, want 2", got)
				}
			})
		})
	}
}

// TestEveryLossIsMended loses half of all datagrams for a while.
func TestEveryLossIsMended(t *testing.T) {
	onSegment(t, func(t *testing.T, s *segment) {
		a, b := s.open("a", "192.0.2.1"), s.open("b", "192.0.2.2")
		meet(a, b)
		dice := rand.New(rand.NewPCG(1, 2))
		s.net.DropWith(func(netip.AddrPort, netip.AddrPort) bool { return dice.IntN(2) == 0 })
		last := ""
		for i := range 300 {
			if i%10 == 0 && i < 200 {
				a.Publish(fmt.Append(nil, i))
			}
			a.Beat("b")
			<-time.After(askAgain)
			if got := states(b.take())["a"]; got != "" {
				last = got
			}
		}
		if last != "190" {
			t.Errorf("b has state %q of a, want 190", last)
		}
	})
}

func TestStateSpreadsByPushPull(t *testing.T) {
	onSegment(t, func(t *testing.T, s *segment) {
		a, b, c := s.open("a", "192.0.2.1"), s.open("b", "192.0.2.2"), s.open("c", "192.0.2.3")
		s.setCut("192.0.2.1", "192.0.2.3", true)
		s.setCut("192.0.2.3", "192.0.2.1", true)
		a.Publish([]byte(`1`)) // a has no peers: it goes nowhere yet
		for _, v := range []*server{a, c} {
			if n, err := v.Join(b.cfg.Bind); n != 1 || err != nil {
				t.Fatalf("joining: %d, %v", n, err)
			}
			synctest.Wait()
		}
		b.hears(t, Event{Kind: StateHeard, From: "a", Payload: []byte(`1`)})
		// The zero time: c does not know whether a lives.
		c.hears(t, Event{Kind: StateHeard, From: "a", Payload: []byte(`1`)})
		if got := b.members(); !slices.Equal(got, []string{"a", "c"}) {
			t.Errorf("b has members %q", got)
		}

		// What changes later follows within some rounds.
		a.Publish([]byte(`2`))
		<-time.After(2 * time.Minute)
		if got := states(c.take())["a"]; got != "2" {
			t.Errorf("c has state %q of a, want 2", got)
		}
	})
}

// TestOldStateNeverReplacesANewerOne delivers states in the wrong order, as
// memberlist does under load, and a push/pull that is behind.
func TestOldStateNeverReplacesANewerOne(t *testing.T) {
	onSegment(t, func(t *testing.T, s *segment) {
		b := s.open("b", "192.0.2.2")
		send := func(seq uint64, payload string) []Event {
			return b.receive(incoming{at: time.Now(), from: "a", body: fmt.Appendf(nil, `{"k":"state","o":"a","s":%d,"p":%s}`, seq, payload)})
		}
		for _, step := range []struct {
			seq  uint64
			kind EventKind
		}{{5, StateHeard}, {4, BeatHeard}, {5, BeatHeard}, {6, StateHeard}} {
			if got := send(step.seq, `1`); len(got) != 1 || got[0].Kind != step.kind {
				t.Errorf("state %d: %s", step.seq, show(got))
			}
		}
		behind := []byte(`[{"o":"a","s":3,"p":1},{"o":"c","s":1,"p":7}]`)
		if got := b.receive(incoming{at: time.Now(), body: behind, states: true}); len(got) != 1 || got[0].From != "c" || !got[0].At.IsZero() {
			t.Errorf("push/pull that is behind: %s", show(got))
		}
	})
}

// TestRestartWithTheClockBack has a server come back with a clock that is an
// hour behind: what it says now must replace what its former run said.
func TestRestartWithTheClockBack(t *testing.T) {
	anHourAgo := func(c *Config) { c.Now = func() time.Time { return time.Now().Add(-time.Hour) } }
	tests := []struct {
		name string
		then func(a, b *server)
	}{
		{"heard straight", func(a, b *server) {
			meet(a, b)
			a.Publish([]byte(`"new"`))
		}},
		{"heard by a heartbeat alone", func(a, b *server) {
			a.Publish([]byte(`"new"`)) // before it has peers
			meet(a, b)
			a.Beat("b")
		}},
		{"met by push/pull", func(a, b *server) {
			a.Publish([]byte(`"new"`))
			if _, err := a.Join(b.cfg.Bind); err != nil {
				panic(err)
			}
			synctest.Wait()
			meet(a, b)
			a.Beat("b")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onSegment(t, func(t *testing.T, s *segment) {
				a, b := s.open("a", "192.0.2.1"), s.open("b", "192.0.2.2")
				meet(a, b)
				a.Publish([]byte(`"old"`))
				b.take()
				if err := a.Close(); err != nil {
					t.Fatal(err)
				}
				<-time.After(time.Second)
				a = s.open("a", "192.0.2.1", anHourAgo)
				tt.then(a, b)
				if got := states(b.take())["a"]; got != `"new"` {
					t.Fatalf("b has state %q of a", got)
				}
				// And what follows is in order without another question.
				a.Publish([]byte(`"newer"`))
				b.hears(t, Event{Kind: StateHeard, From: "a", At: time.Now(), Payload: []byte(`"newer"`)})
			})
		})
	}
}

// TestAnswers counts what goes over the line: a server that knows a state does
// not get it again.
func TestAnswers(t *testing.T) {
	onSegment(t, func(t *testing.T, s *segment) {
		a, b := s.open("a", "192.0.2.1"), s.open("b", "192.0.2.2")
		meet(a, b)
		b.Ask("a") // a has no state yet
		b.hears(t, Event{Kind: BeatHeard, From: "a", At: time.Now()})
		a.Publish([]byte(`1`))
		b.take()
		<-time.After(time.Second)
		a.take()
		b.Ask("a")
		b.hears(t, Event{Kind: BeatHeard, From: "a", At: time.Now()})
		a.hears(t, Event{Kind: BeatHeard, From: "b", At: time.Now()})
	})
}

func TestFirstSeq(t *testing.T) {
	now := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	if firstSeq(now) >= firstSeq(now.Add(time.Microsecond)) {
		t.Error("a later run does not come after an earlier one")
	}
	if got := firstSeq(time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC)); got != 0 {
		t.Errorf("a clock before 1970 gives %d, which leaves no room to count on", got)
	}
}
