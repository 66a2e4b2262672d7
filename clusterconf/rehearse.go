package clusterconf

import (
	"slices"

	"mxcluster/internal/fault"
)

// Rehearse says when a cluster's standby rehearses takeovers by itself.
type Rehearse string

// The values of Rehearse. A document leaves out the first one.
const (
	RehearseOff     Rehearse = ""        // by order only
	RehearseNightly Rehearse = "nightly" // each night, while the standby is free
)

const rehearseOff = "off"

// RehearseWords are the values as they are written.
func RehearseWords() []string { return []string{rehearseOff, string(RehearseNightly)} }

// ParseRehearse reads off or nightly.
func ParseRehearse(text string) (Rehearse, error) {
	switch {
	case text == rehearseOff:
		return RehearseOff, nil
	case slices.Contains(RehearseWords(), text):
		return Rehearse(text), nil
	}
	return RehearseOff, fault.New(fault.Usage, "write "+alternatives(RehearseWords()), "%q is no time of rehearsals", text)
}

// String writes what ParseRehearse reads.
func (r Rehearse) String() string {
	if r == RehearseOff {
		return rehearseOff
	}
	return string(r)
}

// SetRehearsable says whether a LIM's software may be started in a rehearsal, beside the
// LIM that serves elsewhere.
func (d *Document) SetRehearsable(lim int, may bool) error {
	return d.setSoftware(lim, func(l *LIM) { l.Rehearsable = may })
}
