package arpbudget

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// sender is a server's wire as a budget sees it: it counts what is sent.
type sender struct {
	*Budget
	now   time.Time
	total uint64
}

func newSender(perSecond int) *sender {
	s := &sender{now: time.Unix(1e9, 0)}
	s.Budget = New(perSecond, func() uint64 { return s.total })
	return s
}

// send sends so many packets if they are granted.
func (s *sender) send(packets int, u Urgency) bool {
	ok := s.Take(s.now, packets, u)
	if ok {
		s.total += uint64(packets)
	}
	return ok
}

// granted is how many single packets are granted one after the other, of many.
func (s *sender) granted(u Urgency) int {
	for n := range 100 {
		if !s.send(1, u) {
			return n
		}
	}
	return 100
}

func TestBudgetByUrgency(t *testing.T) {
	for _, tc := range []struct {
		what      string
		perSecond int
		kernel    int // packets that the kernel sent before
		urgency   Urgency
		want      int
	}{
		{"polls leave room for a takeover", 15, 0, Poll, 14 - reserve},
		{"the rest has all of it", 15, 0, Plain, 14},
		{"a takeover is not bounded", 15, 0, Urgent, 100},
		{"requests of clients take the room of polls", 15, 6, Poll, 0},
		{"and half of that of the rest, at the most", 15, 1000, Plain, 7},
		{"but not that of announcements", 15, 1000, Anew, 14},
		{"a small budget is halved", 5, 0, Poll, 2},
		{"no bound", 0, 1000, Poll, 100},
	} {
		s := newSender(tc.perSecond)
		s.total += uint64(tc.kernel)
		if got := s.granted(tc.urgency); got != tc.want {
			t.Errorf("%s: %d packets granted, want %d", tc.what, got, tc.want)
		}
	}
}

// What a takeover sends is counted: nothing else is sent until a second has passed.
func TestBudgetCountsWhatIsUrgent(t *testing.T) {
	s := newSender(15)
	if n := s.granted(Urgent); n != 100 {
		t.Fatalf("%d granted", n)
	}
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{0, 0}, {time.Second, 0}, {20 * time.Millisecond, 14}, {time.Second, 0}} {
		s.now = s.now.Add(step.after)
		if n := s.granted(Plain); n != step.want {
			t.Errorf("%s later %d granted, want %d", step.after, n, step.want)
		}
	}
}

// A packet that was granted and is then counted on the wire is one, not two; one that was
// granted and never sent takes its room for a second only.
func TestBudgetCountsOnce(t *testing.T) {
	s := newSender(15)
	for range 7 {
		s.send(1, Plain)
		s.now = s.now.Add(50 * time.Millisecond)
	}
	if n := s.granted(Plain); n != 7 {
		t.Errorf("%d granted after 7, want 7", n)
	}
	s = newSender(15)
	s.Take(s.now, 14, Plain) // the link is down
	s.now = s.now.Add(countedFor)
	s.total += 14 // the kernel's
	if n := s.granted(Plain); n != 7 {
		t.Errorf("%d granted beside 14 of the kernel, want 7", n)
	}
}

// In no second more is granted than the budget, whoever asks in what order.
func TestBudgetHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		perSecond := rapid.IntRange(2, 40).Draw(t, "per second")
		s, sent := newSender(perSecond), []time.Time(nil)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			s.now = s.now.Add(time.Duration(rapid.IntRange(0, 300).Draw(t, "ms")) * time.Millisecond)
			packets := rapid.IntRange(1, 3).Draw(t, "packets")
			if s.send(packets, rapid.SampledFrom([]Urgency{Anew, Plain, Poll}).Draw(t, "urgency")) {
				sent = append(sent, slices.Repeat([]time.Time{s.now}, packets)...)
			}
			for len(sent) > 0 && s.now.Sub(sent[0]) > time.Second {
				sent = sent[1:]
			}
			if len(sent) >= perSecond {
				t.Fatalf("%d packets in a second, of fewer than %d", len(sent), perSecond)
			}
		}
	})
}

// Who waits for room gets it when there is some, or learns that nobody waits any more.
func TestBudgetIsAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		total := uint64(0)
		b := New(15, func() uint64 { return total })
		began := time.Now()
		for range 3 {
			if !b.Await(t.Context(), 7, Plain) {
				t.Fatal("no room in the end")
			}
			total += 7
		}
		if took := time.Since(began); took < countedFor || took > countedFor+Retry {
			t.Errorf("the third waited %s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if b.Await(ctx, 14, Plain) {
			t.Error("granted, though the wait was over")
		}
	})
}
