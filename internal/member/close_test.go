package member

import (
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestCloseWhileEventsPend closes pools whose events nobody reads, with the
// channel full and the queue behind it growing.
func TestCloseWhileEventsPend(t *testing.T) {
	onSegment(t, func(t *testing.T, s *segment) {
		a, b := s.open("a", "192.0.2.1"), s.openUnread("b", "192.0.2.2")
		a.SetPeers(map[string][]netip.AddrPort{"b": {b.cfg.Bind}})
		for range 3 * eventBuffer {
			a.Beat("b")
			synctest.Wait()
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		left := 0
		for range b.Events() {
			left++
		}
		if left != eventBuffer {
			t.Errorf("%d events were left, want the %d that the channel holds", left, eventBuffer)
		}
	})
}

func TestCloseIsFinal(t *testing.T) {
	onSegment(t, func(t *testing.T, s *segment) {
		a, b := s.open("a", "192.0.2.1"), s.open("b", "192.0.2.2")
		meet(a, b)
		for range 2 {
			if err := a.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if _, open := <-a.Events(); open {
			t.Error("events go on")
		}
		if err := a.Leave(time.Second); err != nil {
			t.Errorf("leaving afterwards: %v", err)
		}
		a.Publish([]byte(`1`))
		a.Beat("b")
		a.Ask("b")
		a.queue.put(incoming{body: []byte(`{}`)}, true)
		if len(a.queue.items) != 0 {
			t.Error("the queue still takes in")
		}
		b.hears(t)
	})
}

// TestCloseBesideEverything has every method in use at the moment of the end.
func TestCloseBesideEverything(t *testing.T) {
	onSegment(t, func(t *testing.T, s *segment) {
		a, b := s.open("a", "192.0.2.1"), s.open("b", "192.0.2.2")
		meet(a, b)
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for _, f := range []func(){
			func() { a.Publish([]byte(`1`)) },
			func() { a.Beat("b") },
			func() { b.Ask("a") },
			func() { _ = a.Send(t.Context(), "b", []byte(`1`)) },
			func() { a.Members() },
			func() { _ = a.Leave(10 * time.Millisecond) },
			func() { a.SetPeers(map[string][]netip.AddrPort{"b": {b.cfg.Bind}}) },
		} {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(time.Millisecond):
						f()
					}
				}
			})
		}
		<-time.After(100 * time.Millisecond)
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		<-time.After(10 * time.Millisecond)
		close(stop)
		wg.Wait()
	})
}

func TestLeave(t *testing.T) {
	onSegment(t, func(t *testing.T, s *segment) {
		a, b := s.open("a", "192.0.2.1"), s.open("b", "192.0.2.2")
		if _, err := a.Join(b.cfg.Bind); err != nil {
			t.Fatal(err)
		}
		if got := b.members(); !slices.Equal(got, []string{"a"}) {
			t.Fatalf("members %q", got)
		}
		if err := a.Leave(time.Second); err != nil {
			t.Fatal(err)
		}
		if got := b.members(); len(got) != 0 {
			t.Errorf("members after it left: %q", got)
		}
	})
}

// TestBackWithAnotherAddress has a server die without a word and come back at
// another address under its name.
func TestBackWithAnotherAddress(t *testing.T) {
	onSegment(t, func(t *testing.T, s *segment) {
		a, b := s.open("a", "192.0.2.1"), s.open("b", "192.0.2.2")
		if _, err := b.Join(a.cfg.Bind); err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		if got := a.members(); len(got) != 0 {
			t.Fatalf("members after its death: %q", got)
		}
		b = s.open("b", "192.0.2.22")
		if _, err := b.Join(a.cfg.Bind); err != nil {
			t.Fatal(err)
		}
		if got := a.members(); !slices.Equal(got, []string{"b"}) {
			t.Fatalf("members after its return: %q", got)
		}
		at(t, a, addr("192.0.2.22"))
	})
}

// TestManyEvents has a slow reader that speaks itself for each event it hears:
// nothing may be lost, and nothing may lock up.
func TestManyEvents(t *testing.T) {
	const messages = 5 * eventBuffer
	onSegment(t, func(t *testing.T, s *segment) {
		a, b := s.open("a", "192.0.2.1"), s.openUnread("b", "192.0.2.2")
		a.SetPeers(map[string][]netip.AddrPort{"b": {b.cfg.Bind}})
		b.SetPeers(map[string][]netip.AddrPort{"a": {a.cfg.Bind}})
		var sent sync.WaitGroup
		sent.Go(func() {
			for range messages {
				if err := a.Send(t.Context(), "b", []byte(`1`)); err != nil {
					t.Error(err)
				}
				a.Publish([]byte(`1`))
				a.Beat("b")
			}
		})
		got := 0
		for ev := range b.Events() {
			b.Publish([]byte(`2`))
			b.Ask("a")
			b.Members()
			if ev.Kind == MessageHeard {
				got++
			}
			if got == messages {
				break
			}
		}
		sent.Wait()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
