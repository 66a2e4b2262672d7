// Package events keeps what happened on one server, one line of JSON for each
// event, and puts the events of several servers together. It opens no socket.
package events

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Kind tells events apart.
type Kind string

// The kinds of events.
const (
	Agent      Kind = "agent"      // it started, settled, stops
	Server     Kind = "server"     // another server's life changed
	Isolation  Kind = "isolation"  // whether this server is cut off
	Decision   Kind = "decision"   // what a LIM should do on this server, and why
	State      Kind = "state"      // what a LIM does on this server
	Software   Kind = "software"   // what is wrong with a LIM's software, as far as no state shows it
	Rehearsal  Kind = "rehearsal"  // what came of one
	Order      Kind = "order"      // somebody asked for something
	Alarm      Kind = "alarm"      // raised or cleared
	Document   Kind = "document"   // another revision is in force
	Conflict   Kind = "conflict"   // two of something that there may be one of
	Key        Kind = "key"        // the gossip keys of this server changed
	Alias      Kind = "alias"      // an address came or went without us
	Arbiter    Kind = "arbiter"    // whether this server reaches it
	Management Kind = "management" // what the management system does on this server
	Refused    Kind = "refused"    // what came to the gossip port and was not believed
)

// Event is one thing that happened. It is stored and travels as JSON; fields are
// only ever added.
type Event struct {
	Time    time.Time `json:"time"`
	Server  string    `json:"server"` // that tells it
	Seq     uint64    `json:"seq"`    // counts that server's events
	Kind    Kind      `json:"kind"`
	LIM     int       `json:"lim,omitempty"`
	Subject string    `json:"subject,omitempty"` // the server, alarm or command that it is about
	Is      string    `json:"is,omitempty"`      // the new state, liveness, wish or revision
	Was     string    `json:"was,omitempty"`
	Term    uint64    `json:"term,omitempty"`
	Rule    string    `json:"rule,omitempty"`
	By      string    `json:"by,omitempty"` // who asked
	Reason  string    `json:"reason,omitempty"`
	Count   int       `json:"count,omitempty"` // how many of the kind this one stands for; 0: one
	Text    string    `json:"text"`            // all of it in words
}

// Query asks for events.
type Query struct {
	Since time.Time         `json:"since,omitzero"`
	LIM   int               `json:"lim,omitempty"`   // 0: all
	After map[string]uint64 `json:"after,omitempty"` // of a server only those with a greater number
}

// MaxBytes limits one server's answer, so that it fits into a message: the newest
// events count.
const MaxBytes = 768 << 10

// wants reports whether the query asks for an event.
func (q Query) wants(e *Event) bool {
	return (q.LIM == 0 || e.LIM == q.LIM) && !e.Time.Before(q.Since) && e.Seq > q.After[e.Server]
}

// List is the answer of `events -o json`.
type List struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"` // EventList
	Events     []Event  `json:"events"`
	Missing    []string `json:"missing"`   // servers that did not answer
	Truncated  bool     `json:"truncated"` // there are earlier ones that were left out
}

// Merge puts the events of several servers in order of time; those of one server
// stay in the order in which they happened, even when its clock was put back.
func Merge(lists ...[]Event) []Event {
	by := map[string][]Event{}
	total := 0
	for _, list := range lists {
		for _, e := range list {
			by[e.Server] = append(by[e.Server], e)
		}
	}
	servers := slices.Sorted(maps.Keys(by))
	for _, s := range servers {
		slices.SortFunc(by[s], func(a, b Event) int { return cmp.Compare(a.Seq, b.Seq) })
		by[s] = slices.CompactFunc(by[s], func(a, b Event) bool { return a.Seq == b.Seq })
		total += len(by[s])
	}
	out := make([]Event, 0, total)
	for len(out) < total {
		next := ""
		for _, s := range servers {
			if len(by[s]) > 0 && (next == "" || by[s][0].Time.Before(by[next][0].Time)) {
				next = s
			}
		}
		out = append(out, by[next][0])
		by[next] = by[next][1:]
	}
	return out
}
