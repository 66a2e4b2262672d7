// Package alarms keeps the alarms of one server: which are raised, since when,
// and under which handle. It is pure: the conditions that hold go in, what was
// raised and cleared comes out. Time and the alarms of other servers are given.
//
// Several servers may see the same thing, such as a standby that is out of
// order. They agree on its handle by what they say to one another, so that a
// handle names one alarm in the whole system.
package alarms

import (
	"cmp"
	"slices"
	"time"
)

// Name says what an alarm is about; the names are the contract's.
type Name string

// The first three are the specification's (chapter "Alarms").
const (
	LIMOnStandby      Name = "lim-on-standby"
	StandbyOutOfOrder Name = "standby-out-of-order"
	SyncFailed        Name = "sync-failed"

	AliasInUse       Name = "alias-in-use"      // by a host that is none of the LIM's servers
	SplitBrain       Name = "split-brain"       // two servers have one alias
	Flapping         Name = "flapping"          // a regular server fails again and again
	LockLeft         Name = "lock-left"         // a lock that somebody seems to have forgotten
	DrainLeft        Name = "drain-left"        // a drain that somebody seems to have forgotten
	DocumentConflict Name = "document-conflict" // two different documents had one revision
	ClockSkew        Name = "clock-skew"
	AnnounceFailed   Name = "announce-failed"  // clients were not told where an alias is
	PromptsMissing   Name = "prompts-missing"  // announcements have no prompts on the standby
	DataBehind       Name = "data-behind"      // one side has older data than the other for long
	DataConflict     Name = "data-conflict"    // the two sides' data go different ways
	DataDamaged      Name = "data-damaged"     // data versions that cannot be relied on
	RehearsalFailed  Name = "rehearsal-failed" // a LIM's software did not come up on trial
	LIMDown          Name = "lim-down"         // it runs nowhere
	AddressTwice     Name = "address-twice"    // an alias is on a server where its LIM is not active
	AddressProxied   Name = "address-proxied"  // others answer for a server's address
	MACUsed          Name = "mac-used"         // somebody uses a server's MAC address
	NotUnderstood    Name = "not-understood"   // a server's agent speaks, and cannot be understood or believed
	KeyRotation      Name = "key-rotation"     // of the gossip key, that does not come to its end

	DiskFull        Name = "disk-full"         // there is no room for what an agent must keep
	StateLost       Name = "state-lost"        // an agent started without what it knew before
	NotRedundant    Name = "not-redundant"     // the next failure would not be covered
	SettingsNotRead Name = "settings-not-read" // an agent works by other settings than those on its disk
	Unfit           Name = "unfit"             // the checks of a LIM fail on a server, or cannot be run

	NameTwice          Name = "name-twice"          // two machines say that they are one server
	DocumentBehind     Name = "document-behind"     // a server has not got the present document
	VersionBehind      Name = "version-behind"      // a server's program understands less than others'
	DocumentUnreadable Name = "document-unreadable" // what lies on a server's disk cannot be used
	ServerRemoved      Name = "server-removed"      // from the system; it idles
	AgentStopped       Name = "agent-stopped"       // on a server that is up

	ManagementNotRedundant Name = "management-not-redundant" // the management system's other server does not have what is written

	ArbiterUnreachable Name = "arbiter-unreachable" // a server cannot ask who may run a LIM
	ArbiterDiffers     Name = "arbiter-differs"     // a server does not ask, unlike others of its cluster
)

// OthersDocument is what DocumentUnreadable names of a server whose version of the program cannot
// read what the others work by. What is wrong on the disk of a server is worded without it.
const OthersDocument = "the others' cluster document"

// Severity says how bad it is.
type Severity string

// The severities.
const (
	Warning  Severity = "warning"
	Critical Severity = "critical" // somebody cannot use the telephone, or soon will not
)

// Condition is something that calls for an alarm as long as it holds.
type Condition struct {
	Name     Name
	Severity Severity
	LIM      int    // 0: it is not about one LIM
	Server   string // that it is about; "": the whole system
	Text     string // for people, without figures that change all the time
	Expected bool   // as things should be, such as on a passive standby: it does not count

	After  time.Duration // it is raised only when the condition has held so long
	Unsure bool          // whether it holds cannot be seen: what is raised stays so, and nothing is
}

// Alarm is a raised alarm. It travels as JSON between agents and lies in their
// state files; fields are only ever added.
type Alarm struct {
	Handle   int       `json:"handle"`
	Name     Name      `json:"name"`
	Severity Severity  `json:"severity"`
	LIM      int       `json:"lim,omitempty"`
	Server   string    `json:"server,omitempty"`
	Expected bool      `json:"expected,omitempty"`
	RaisedAt time.Time `json:"raisedAt"`
	Text     string    `json:"text"`
}

// Key tells alarms apart: a server has one of a key, and all servers mean the
// same by it.
type Key struct {
	Name   Name
	LIM    int
	Server string
}

// Key returns what tells the alarm apart.
func (a Alarm) Key() Key { return Key{a.Name, a.LIM, a.Server} }

func (c Condition) key() Key { return Key{c.Name, c.LIM, c.Server} }

func (k Key) compare(l Key) int {
	return cmp.Or(cmp.Compare(k.Name, l.Name), cmp.Compare(k.LIM, l.LIM), cmp.Compare(k.Server, l.Server))
}

// State is all alarms of one server, as it outlives the process.
type State struct {
	Last    int               `json:"last"` // highest handle that was given out, here or elsewhere
	Alarms  []Alarm           `json:"alarms,omitempty"`
	Notices []Notice          `json:"notices,omitempty"` // of all servers' alarms
	Told    []Told            `json:"told,omitempty"`    // the ledger of this server's sinks
	pending map[Key]time.Time // conditions that have not held long enough, since when

	due    map[Key]time.Time    // alarms that nobody was told of yet, since when
	silent map[string]time.Time // servers that are not heard, since when
}

// Change is an alarm that was raised or cleared. One that was expected and is so no
// more counts as raised.
type Change struct {
	Alarm
	Raised bool
	Again  bool // it was told before, and has become graver
}

// maxText bounds an alarm's text in bytes: it travels in datagrams.
const maxText = 240

// maxHandle is above every handle that is ever reached; a higher one is damage.
const maxHandle = 1 << 30

// Update brings the alarms in line with the conditions that hold now. Others are
// the alarms that other servers have raised, for the handles. The state given
// is not changed.
func Update(s State, now time.Time, conditions []Condition, others []Alarm) (State, []Change) {
	next := s
	next.Alarms, next.pending = nil, map[Key]time.Time{}
	for _, o := range others {
		if o.Handle < maxHandle {
			next.Last = max(next.Last, o.Handle)
		}
	}
	var changes []Change
	// In an order of its own, so that handles do not hang on that of the caller.
	conditions = slices.SortedStableFunc(slices.Values(conditions), func(a, b Condition) int { return a.key().compare(b.key()) })
	for _, c := range conditions {
		i := slices.IndexFunc(s.Alarms, func(a Alarm) bool { return a.Key() == c.key() })
		switch {
		case slices.ContainsFunc(next.Alarms, func(a Alarm) bool { return a.Key() == c.key() }):
		case i >= 0:
			a := s.Alarms[i].under(c)
			next.Alarms = append(next.Alarms, a)
			if s.Alarms[i].Expected && !a.Expected { // it counts from now on
				changes = append(changes, Change{Alarm: a, Raised: true})
			}
		case c.Unsure || next.tooSoon(s, c, now):
		default:
			a := next.raise(c, now, others)
			next.Alarms = append(next.Alarms, a)
			changes = append(changes, Change{Alarm: a, Raised: true})
		}
	}
	for _, a := range s.Alarms {
		if !slices.ContainsFunc(next.Alarms, func(b Alarm) bool { return a.Key() == b.Key() }) {
			changes = append(changes, Change{Alarm: a})
		}
	}
	next.agree(others)
	slices.SortFunc(next.Alarms, func(a, b Alarm) int { return cmp.Compare(a.Handle, b.Handle) })
	return next, changes
}

// under is a raised alarm whose condition still holds, in its present words.
func (a Alarm) under(c Condition) Alarm {
	if !c.Unsure {
		a.Severity, a.Expected, a.Text = c.Severity, c.Expected, cut(c.Text)
	}
	return a
}

// tooSoon reports whether a condition has not held for long enough.
func (s *State) tooSoon(before State, c Condition, now time.Time) bool {
	since, ok := before.pending[c.key()]
	if !ok || since.After(now) { // the clock was put back
		since = now
	}
	if now.Sub(since) >= c.After {
		return false
	}
	s.pending[c.key()] = since
	return true
}

// raise makes an alarm, the same one that another server has raised if there is.
func (s *State) raise(c Condition, now time.Time, others []Alarm) Alarm {
	a := Alarm{Name: c.Name, LIM: c.LIM, Server: c.Server, RaisedAt: now.UTC()}.under(c)
	for _, o := range others {
		if o.Key() == a.Key() && o.Handle > 0 && o.Handle < maxHandle {
			a.Handle = o.Handle
			return a // agree settles when it was raised
		}
	}
	s.Last++
	a.Handle = s.Last
	return a
}

// agree makes one alarm have one handle on all servers, that of who raised it
// first, and one handle name one alarm: the later one takes a new handle. It comes
// to rest among servers of which some do not hear each other: what has a handle of
// its own keeps it when the one that was raised first cannot be had.
func (s *State) agree(others []Alarm) {
	for i := range s.Alarms {
		a := &s.Alarms[i]
		own := a.Handle
		for _, o := range others {
			if o.Key() == a.Key() && o.Handle > 0 && o.Handle < maxHandle && o.before(*a) {
				a.Handle, a.RaisedAt = o.Handle, o.RaisedAt
			}
		}
		if !s.taken(*a, others) {
			continue
		}
		if a.Handle = own; s.taken(*a, others) {
			s.Last++
			a.Handle = s.Last
		}
	}
}

// taken reports whether an alarm that goes before a has its handle.
func (s *State) taken(a Alarm, others []Alarm) bool {
	by := func(o Alarm) bool { return o.Handle == a.Handle && o.Key() != a.Key() && o.before(a) }
	return slices.ContainsFunc(others, by) || slices.ContainsFunc(s.Alarms, by)
}

// before puts alarms in an order that every server sees alike.
func (a Alarm) before(b Alarm) bool {
	return cmp.Or(a.RaisedAt.Compare(b.RaisedAt), cmp.Compare(a.Handle, b.Handle), a.Key().compare(b.Key())) < 0
}

// Merge puts the alarms of several servers together: one of each key, that which
// was raised first, by handle.
func Merge(of ...[]Alarm) []Alarm {
	first := map[Key]Alarm{}
	for _, list := range of {
		for _, a := range list {
			if b, ok := first[a.Key()]; !ok || a.before(b) {
				first[a.Key()] = a
			}
		}
	}
	out := make([]Alarm, 0, len(first))
	for _, a := range first {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b Alarm) int { return cmp.Or(cmp.Compare(a.Handle, b.Handle), a.Key().compare(b.Key())) })
	return out
}

// cut shortens an alarm's text to what may travel.
func cut(text string) string { return cutTo(text, maxText) }

// cutTo shortens a text to so many bytes, between two characters.
func cutTo(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	end := 0
	for i := range text {
		if i > limit-len("…") {
			break
		}
		end = i
	}
	return text[:end] + "…"
}
