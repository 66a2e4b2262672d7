// Package levels numbers what a version of the program understands, so that servers of two versions
// work in one system: it works by the lowest level of its servers.
package levels

import "fmt"

// Levels are the highest level of each thing that a version understands. It understands all lower
// ones, too. They travel as JSON between agents; fields are only ever added.
type Levels struct {
	Document int `json:"document"` // of the cluster document, see [Document]
	Gossip   int `json:"gossip"`   // of the messages between agents
	Control  int `json:"control"`  // of the agent's socket
	Transfer int `json:"transfer"` // of the protocol of syncs
}

// The levels of the cluster document. What needs which one, package clusterconf knows.
const (
	First    = 1 // servers, LIMs, clusters and locks
	Document = 2 // drains, freezes, fallback windows, rehearsals, checks, the management system, and keys of others (x-...)
)

// The other levels of this version.
const (
	Gossip   = 2 // levels are told
	Control  = 2 // likewise
	Transfer = 7
)

// Known are the levels of this version.
func Known() Levels {
	return Levels{Document: Document, Gossip: Gossip, Control: Control, Transfer: Transfer}
}

// Oldest are the levels of versions that do not tell theirs.
func Oldest() Levels { return Levels{Document: First, Gossip: 1, Control: 1, Transfer: 7} }

// Before are the levels of the version before this one, to which a downgrade is possible.
func Before() Levels { return Oldest() }

// String names all levels.
func (l Levels) String() string {
	return fmt.Sprintf("document %d, gossip %d, control %d, transfer %d", l.Document, l.Gossip, l.Control, l.Transfer)
}

// parts are the levels by their names, in a fixed order.
func (l Levels) parts() []part {
	return []part{{"document", l.Document}, {"gossip", l.Gossip}, {"control", l.Control}, {"transfer", l.Transfer}}
}

type part struct {
	name  string
	level int
}

// Highest are the higher of each level.
func (l Levels) Highest(m Levels) Levels {
	return Levels{Document: max(l.Document, m.Document), Gossip: max(l.Gossip, m.Gossip), Control: max(l.Control, m.Control), Transfer: max(l.Transfer, m.Transfer)}
}

// Behind names the levels that are lower than others, such as "document 1 of 2"; none: no one is.
func (l Levels) Behind(m Levels) []string {
	var out []string
	theirs := m.parts()
	for i, p := range l.parts() {
		if p.level < theirs[i].level {
			out = append(out, fmt.Sprintf("%s %d of %d", p.name, p.level, theirs[i].level))
		}
	}
	return out
}

// Program is a version of the program on a server, as far as it is known.
type Program struct {
	Version string `json:"version,omitempty"`
	Levels  Levels `json:"levels,omitzero"`
}

// Told is the program of a server that says of itself that it is of this version and of these
// levels. Old versions tell no levels.
func Told(version string, l Levels) Program {
	if l == (Levels{}) {
		l = Oldest()
	}
	return Program{Version: version, Levels: l}
}
