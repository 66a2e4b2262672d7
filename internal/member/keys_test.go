package member

import (
	"testing"
	"time"

	"mxcluster/internal/fault"
)

// TestRotation goes the steps of a rotation in every order of two servers: what one
// says is heard by the other at each.
func TestRotation(t *testing.T) {
	one, two := testKey(1), testKey(2)
	steps := [][][]byte{{one, two}, {two, one}, {two}}
	onSegment(t, func(t *testing.T, s *segment) {
		a, b := s.open("a", "192.0.2.1"), s.open("b", "192.0.2.2")
		meet(a, b)
		heard := func(what string) {
			t.Helper()
			<-time.After(time.Second)
			a.take()
			b.take()
			a.Beat("b")
			b.Beat("a")
			b.hears(t, Event{Kind: BeatHeard, From: "a", At: time.Now()})
			a.hears(t, Event{Kind: BeatHeard, From: "b", At: time.Now()})
			if err := a.Send(t.Context(), "b", []byte(`1`)); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			b.hears(t, Event{Kind: MessageHeard, From: "a", At: time.Now(), Payload: []byte(`1`)})
			if n, err := b.Join(a.cfg.Bind); n != 1 || err != nil {
				t.Errorf("%s: joining: %d, %v", what, n, err)
			}
		}
		for i, keys := range steps {
			for _, v := range []*server{a, b} {
				if err := v.SetKeys(keys); err != nil {
					t.Fatal(err)
				}
				heard(v.cfg.Name + " at step " + string(rune('1'+i)))
			}
		}
		// Who has the former key alone is not heard any more.
		if err := a.SetKeys([][]byte{one}); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Second)
		b.take()
		a.Beat("b")
		b.hears(t)
	})
}

func TestSetKeys(t *testing.T) {
	onSegment(t, func(t *testing.T, s *segment) {
		p := s.open("a", "192.0.2.1")
		one, two, three := testKey(1), testKey(2), testKey(3)
		for _, keys := range [][][]byte{{one, two, three}, {three, one}, {one, three, two}, {one, two}, {two}, {three, two}} {
			if err := p.SetKeys(keys); err != nil {
				t.Fatal(err)
			}
			if has := *p.secure.keys.Load(); len(has) != len(keys) {
				t.Errorf("set %d keys, has %d", len(keys), len(has))
			}
		}
		for _, keys := range [][][]byte{nil, {one[:16]}, {one, nil}} {
			if err := p.SetKeys(keys); fault.CodeOf(err) != fault.Invalid {
				t.Errorf("%d keys, one of them wrong: %v", len(keys), err)
			}
		}
	})
}
