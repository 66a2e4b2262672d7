package events

import (
	"fmt"
	"slices"
	"time"
)

const (
	gateRoom   = 50  // events of one kind and subject that are told at once
	gateStates = 200 // of what LIMs do and are to do
	gateEvery  = 15 * time.Minute
)

// Gate bounds how many events of one kind are told, so that what comes again and again,
// as somebody in the subnet can make it, does not take the place of all others. After
// some tens of one kind, about one LIM and subject, one is told each quarter of an hour:
// the last one, which says how many there were. The zero value is ready.
type Gate struct {
	by map[gateKey]*gated
}

type gateKey struct {
	kind    Kind
	lim     int
	subject string
}

type gated struct {
	room  int
	since time.Time // since when the next one is made room for
	held  *Event    // the last one that was not told
	count int       // that were not
}

// bounded returns how many events of a kind are told at once; 0: what people or the
// agent itself do is not bounded.
func (k Kind) bounded() int {
	switch k {
	case Agent, Order, Document, Key:
		return 0
	case State, Decision:
		return gateStates
	}
	return gateRoom
}

// Admit reports whether an event is to be told now. One that is not is kept as the last
// of its kind, see [Gate.Due].
func (g *Gate) Admit(e Event) bool {
	most := e.Kind.bounded()
	if most == 0 {
		return true
	}
	k := gateKey{e.Kind, e.LIM, e.Subject}
	x := g.by[k]
	if x == nil {
		x = &gated{room: most, since: e.Time}
		if g.by == nil {
			g.by = map[gateKey]*gated{}
		}
		g.by[k] = x
	}
	x.fill(e.Time, most)
	if x.room > 0 && x.held == nil {
		x.room--
		return true
	}
	x.held = &e
	x.count++
	return false
}

// fill makes room for one more each quarter of an hour.
func (x *gated) fill(now time.Time, most int) {
	if more := int(now.Sub(x.since) / gateEvery); more < 0 { // the clock was put back
		x.since = now
	} else {
		x.room, x.since = min(x.room+more, most), x.since.Add(time.Duration(more)*gateEvery)
	}
	if x.room == most {
		x.since = now
	}
}

// Due returns the events that were held back and for which there is room again.
func (g *Gate) Due(now time.Time) []Event {
	var out []Event
	for k, x := range g.by {
		x.fill(now, k.kind.bounded())
		if x.held != nil && x.room > 0 {
			x.room--
			out = append(out, x.release())
		}
	}
	slices.SortFunc(out, func(a, b Event) int { return a.Time.Compare(b.Time) })
	return out
}

// Rest returns all that is held back: the agent ends.
func (g *Gate) Rest() []Event {
	var out []Event
	for _, x := range g.by {
		if x.held != nil {
			out = append(out, x.release())
		}
	}
	return out
}

func (x *gated) release() Event {
	e := *x.held
	e.Count = x.count
	if x.count > 1 {
		e.Text = fmt.Sprintf("%s (the last of %d of this kind; the others are left out)", e.Text, x.count)
	}
	x.held, x.count = nil, 0
	return e
}
