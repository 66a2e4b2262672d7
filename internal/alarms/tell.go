package alarms

import (
	"cmp"
	"slices"
	"time"
)

// Reach says whom the sinks of a server reach.
type Reach int

// From nobody to people.
const (
	Nobody  Reach = iota
	Journal       // who looks into that server's journal
	People        // by a program or SNMP
)

// Told is an alarm that the sinks of one server were told of, in the ledger of that
// server: its end is told by the same one. It travels as JSON between agents and lies in
// their state files; fields are only ever added.
type Told struct {
	Alarm           // as it was told
	At    time.Time `json:"at"`
	From  string    `json:"from,omitempty"` // a server that raised it
	Ended time.Time `json:"ended,omitzero"` // when its end was told; zero: not yet
}

// Word is what a server says of alarms.
type Word struct {
	Server string
	Live   bool // it is heard
	Good   bool // what it said last is so: it is heard, or stopped in order
	Reach  Reach
	Alarms []Alarm
	Told   []Told // its ledger
}

const (
	tellAfter = time.Second      // that a critical alarm has stood: by then the others know of it
	warnAfter = 5 * time.Second  // the same of a warning: what is over by then nobody need look at
	tellLater = 10 * time.Second // from one server to the next that would tell it
	endedKept = 24 * time.Hour   // that an end is remembered, for servers that are away
	maxEnded  = 30               // at once: they travel in datagrams
)

// Tell finds what this server is to tell its sinks. Every alarm that counts is told by one
// server, and its end by the same one: one whose sinks reach people, and of those one that
// has raised it, and of those the one that it is about, and the first by name. Who comes
// next tells what is not told in time, and takes over the ledger of a server that is
// silent. Others are all other servers of the system; the state given is not changed.
func Tell(s State, now time.Time, self Word, others []Word) (State, []Change) {
	next := s
	next.Told, next.due, next.silent = nil, nil, nil
	if self.Reach == Nobody {
		return next, nil
	}
	self.Live, self.Good, self.Alarms, self.Told = true, true, s.Alarms, s.Told
	t := telling{now: now, self: self, all: append(slices.Clone(others), self)}
	t.gather(s.Notices)
	next.due, next.silent = map[Key]time.Time{}, map[string]time.Time{}
	changes := t.goOn(&next)
	t.inherit(s, &next)
	changes = append(changes, t.begin(s, &next)...)
	next.Told = bounded(next.Told)
	return next, changes
}

// telling is what Tell knows at a moment.
type telling struct {
	now     time.Time
	self    Word
	all     []Word // this server's own too
	raised  []Alarm
	raisers map[Key][]string
	counts  map[Key]bool
}

// gather puts together what is raised in the system, and by whom.
func (t *telling) gather(notices []Notice) {
	var lists [][]Alarm
	t.raisers, t.counts = map[Key][]string{}, map[Key]bool{}
	for _, w := range t.all {
		if !w.Good {
			continue
		}
		lists = append(lists, w.Alarms)
		for _, a := range w.Alarms {
			t.raisers[a.Key()] = append(t.raisers[a.Key()], w.Server)
		}
	}
	t.raised = Merge(lists...)
	for _, a := range t.raised {
		t.counts[a.Key()] = a.Name == NotRedundant || !a.Expected && NoticeFor(notices, a) == nil
	}
}

// goOn carries on this server's ledger: what ended is told, and what became graver is told
// again.
func (t *telling) goOn(next *State) []Change {
	var changes []Change
	for _, e := range t.self.Told {
		switch i := slices.IndexFunc(t.raised, func(a Alarm) bool { return a.Key() == e.Key() }); {
		case !e.Ended.IsZero():
			if t.now.Sub(e.Ended) >= endedKept {
				continue
			}
		case t.ended(e) || t.elsewhere(e):
			continue
		case i >= 0:
			if a := t.raised[i]; a.Severity == Critical && e.Severity != Critical && t.counts[e.Key()] {
				e.Severity, e.Text = a.Severity, a.Text
				changes = append(changes, Change{Alarm: e.Alarm, Raised: true, Again: true})
			}
			if from := t.raisers[e.Key()]; !slices.Contains(from, e.From) {
				e.From = from[0]
			}
		case t.unseen(e.From):
		default:
			e.Ended = t.now.UTC()
			changes = append(changes, Change{Alarm: e.Alarm})
		}
		next.Told = append(next.Told, e)
	}
	return changes
}

// inherit takes over what servers have told that have been silent for long enough.
func (t *telling) inherit(s State, next *State) {
	for _, w := range t.all {
		if w.Live {
			continue
		}
		since, ok := s.silent[w.Server]
		if !ok || since.After(t.now) {
			since = t.now
		}
		next.silent[w.Server] = since
		if t.now.Sub(since) < tellLater || t.before(Alarm{}) > 0 {
			continue
		}
		for _, e := range w.Told {
			if e.Ended.IsZero() && !t.ended(e) && !t.heldByLive(e) && !slices.ContainsFunc(next.Told, e.same) {
				next.Told = append(next.Told, e)
			}
		}
	}
}

// begin tells what nobody has told.
func (t *telling) begin(s State, next *State) []Change {
	var changes []Change
	for _, a := range t.raised {
		key := a.Key()
		if !t.counts[key] || t.isTold(key, next.Told) {
			continue
		}
		since, ok := s.due[key]
		if !ok || since.After(t.now) {
			since = t.now
		}
		wait := warnAfter
		if a.Severity == Critical {
			wait = tellAfter
		}
		if t.now.Sub(since) < wait+time.Duration(t.before(a))*tellLater {
			next.due[key] = since
			continue
		}
		e := Told{Alarm: a, At: t.now.UTC(), From: t.raisers[key][0]}
		next.Told = append(slices.DeleteFunc(next.Told, e.same), e)
		changes = append(changes, Change{Alarm: a, Raised: true})
	}
	return changes
}

// same reports whether two entries are about one alarm.
func (e Told) same(o Told) bool { return e.Handle == o.Handle && e.Key() == o.Key() }

// ended reports whether another server has told the end of what is open here.
func (t *telling) ended(e Told) bool {
	return slices.ContainsFunc(t.all, func(w Word) bool {
		return slices.ContainsFunc(w.Told, func(o Told) bool { return o.same(e) && !o.Ended.Before(e.At) && !o.Ended.IsZero() })
	})
}

// elsewhere reports whether a server that goes before this one has the same entry.
func (t *telling) elsewhere(e Told) bool {
	return slices.ContainsFunc(t.all, func(w Word) bool { return w.Server < t.self.Server && w.has(e) })
}

// heldByLive reports whether a server that is heard has an entry.
func (t *telling) heldByLive(e Told) bool {
	return slices.ContainsFunc(t.all, func(w Word) bool { return w.has(e) })
}

// has reports whether a server that is heard has an open entry.
func (w Word) has(e Told) bool {
	return w.Live && slices.ContainsFunc(w.Told, func(o Told) bool { return o.same(e) && o.Ended.IsZero() })
}

// isTold reports whether anybody's ledger has an alarm whose end was not told.
func (t *telling) isTold(key Key, own []Told) bool {
	open := func(e Told) bool { return e.Key() == key && e.Ended.IsZero() && !t.ended(e) }
	return slices.ContainsFunc(own, open) || slices.ContainsFunc(t.all, func(w Word) bool {
		return w.Server != t.self.Server && slices.ContainsFunc(w.Told, open)
	})
}

// unseen reports whether a server is in the system and its word cannot be had.
func (t *telling) unseen(server string) bool {
	return slices.ContainsFunc(t.all, func(w Word) bool { return w.Server == server && !w.Good })
}

// before counts the servers that go before this one in telling an alarm.
func (t *telling) before(a Alarm) int {
	rank := func(w Word) [3]bool {
		return [3]bool{w.Reach < People, !slices.Contains(t.raisers[a.Key()], w.Server), w.Server != a.Server}
	}
	mine, n := rank(t.self), 0
	for _, w := range t.all {
		if w.Live && w.Reach > Nobody && w.Server != t.self.Server && cmp.Or(compare(rank(w), mine), cmp.Compare(w.Server, t.self.Server)) < 0 {
			n++
		}
	}
	return n
}

// compare puts lists of answers in order, no before yes.
func compare(a, b [3]bool) int {
	for i := range a {
		switch {
		case a[i] == b[i]:
		case b[i]:
			return -1
		default:
			return 1
		}
	}
	return 0
}

// bounded keeps the latest ends and all that is open.
func bounded(told []Told) []Told {
	slices.SortStableFunc(told, func(a, b Told) int { return b.Ended.Compare(a.Ended) })
	ends := 0
	told = slices.DeleteFunc(told, func(e Told) bool {
		if !e.Ended.IsZero() {
			ends++
		}
		return ends > maxEnded && !e.Ended.IsZero()
	})
	slices.SortFunc(told, func(a, b Told) int { return cmp.Or(cmp.Compare(a.Handle, b.Handle), a.Key().compare(b.Key())) })
	return told
}

// Ledger is what of a state's ledger the other servers are to know.
func (s State) Ledger() []Told {
	out := slices.Clone(s.Told)
	for i := range out {
		if e := &out[i]; !e.Ended.IsZero() {
			e.Alarm = Alarm{Handle: e.Handle, Name: e.Name, LIM: e.LIM, Server: e.Server}
			e.From = ""
		}
	}
	return out
}
