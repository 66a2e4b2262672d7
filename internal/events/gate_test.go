package events

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// What comes again and again is told some times, and then now and then, with a count;
// what people do, and what is of another kind, is always told.
func TestGate(t *testing.T) {
	var g Gate
	at := func(second int) time.Time { return start.Add(time.Duration(second) * time.Second) }
	told, stands := 0, 0
	const day = 24 * 60 * 60
	for i := range day {
		if g.Admit(Event{Time: at(i), Kind: Alias, LIM: 1, Text: "x"}) {
			told++
			stands++
		}
		for _, e := range g.Due(at(i)) {
			told++
			stands += max(e.Count, 1)
			if e.Count > 1 && e.Text != fmt.Sprintf("x (the last of %d of this kind; the others are left out)", e.Count) {
				t.Fatalf("it says %q", e.Text)
			}
		}
		if i%3600 == 0 && !g.Admit(Event{Time: at(i), Kind: Order, LIM: 1}) {
			t.Fatal("an order is held back")
		}
	}
	if !g.Admit(Event{Time: at(day), Kind: Alias, LIM: 2}) {
		t.Error("another LIM's event is held back")
	}
	for _, e := range g.Rest() {
		stands += max(e.Count, 1)
	}
	if most := gateRoom + day/int(gateEvery.Seconds()); told > most || told < most-1 || stands != day {
		t.Errorf("told %d times, for %d events of %d", told, stands, day)
	}
	if !g.Admit(Event{Time: at(2 * day), Kind: Alias, LIM: 1}) {
		t.Error("a day later it is held back")
	}
}

// Every event is told, or counted by one that is, and the last one of its kind is told
// sooner or later, however the clock is set.
func TestGateLosesNoCount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var g Gate
		now, put, stands := start, 0, 0
		last := ""
		for range rapid.IntRange(1, 300).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.IntRange(-10, 60).Draw(t, "seconds")) * time.Second)
			put++
			e := Event{Time: now, Kind: Conflict, LIM: 1, Reason: fmt.Sprint(put)}
			if g.Admit(e) {
				stands++
				last = e.Reason
			}
			for _, e := range g.Due(now) {
				stands += max(e.Count, 1)
				last = e.Reason
			}
		}
		for _, e := range g.Rest() {
			stands += max(e.Count, 1)
			last = e.Reason
		}
		if stands != put || last != fmt.Sprint(put) {
			t.Fatalf("%d of %d are accounted for, the last is %s", stands, put, last)
		}
	})
}

// So many of one kind are told at once; after that one each quarter of an hour, and how
// many there were is said of more than one.
func TestGateBounds(t *testing.T) {
	for kind, most := range map[Kind]int{Alias: gateRoom, State: gateStates} {
		var g Gate
		e := Event{Time: start, Kind: kind, Text: "x"}
		for i := range most + 1 {
			if told := g.Admit(e); told != (i < most) {
				t.Fatalf("%s: event %d is told: %t", kind, i+1, told)
			}
			if due := g.Due(start); len(due) > 0 {
				t.Fatalf("%s: event %d is due at once", kind, i+1)
			}
		}
		e.Time = start.Add(gateEvery - 1)
		if due := g.Due(e.Time); len(due) > 0 {
			t.Errorf("%s: due before its time: %v", kind, due)
		}
		if due := g.Due(start.Add(gateEvery)); len(due) != 1 || due[0].Text != "x" || due[0].Count != 1 {
			t.Errorf("%s: due when it is time: %v", kind, due)
		}
		for range 2 {
			if g.Admit(e) {
				t.Errorf("%s: told although the room was used", kind)
			}
		}
		if due := g.Due(start.Add(2 * gateEvery)); len(due) != 1 || due[0].Text != "x (the last of 2 of this kind; the others are left out)" {
			t.Errorf("%s: due when it is time: %v", kind, due)
		}
	}
}
