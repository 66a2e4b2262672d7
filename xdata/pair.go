package xdata

import (
	"slices"
	"time"

	"mxcluster/internal/lineage"
	"mxcluster/xdata/internal/manifest"
)

// pairState is what a server remembers of a LIM's data on both sides. It is kept in a file; see
// limFiles.
type pairState struct {
	// Common is the version that both sides had after the last successful sync, and Local how this
	// side's looked. For a version of another program Local alone tells whether its content is
	// still the same.
	Common *lineage.Version `json:"whole,omitempty"`
	Local  localCopy        `json:"local,omitzero"`

	// Conflict is the last conflict that a sync found; nil: none, or it ended.
	Conflict *conflictState `json:"conflict,omitempty"`

	// OldestCompatible is the oldest version that fits the cluster document (spec ch. 9); nil: all
	// do.
	OldestCompatible *lineage.Version `json:"fits,omitempty"`

	// Given are the last names given to versions here; see names.
	Given []string `json:"given,omitempty"`
}

// conflictState is two versions of which neither follows the other.
type conflictState struct {
	At     time.Time       `json:"at"`
	Ours   lineage.Version `json:"ours"`
	Theirs lineage.Version `json:"theirs"`
}

// localCopy describes a version's files.
type localCopy struct {
	Name  string `json:"name"`
	Mtime int64  `json:"mtime"`
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
}

func looksLike(v *Version) localCopy {
	return localCopy{Name: v.Name, Mtime: manifest.Nanoseconds(v.NewestMtime), Files: v.Files, Bytes: v.Bytes}
}

func sameVersion(a, b *lineage.Version) bool {
	return a.Node == b.Node && a.Time == b.Time && slices.Equal(a.Ancestors, b.Ancestors) && slices.Equal(a.Rejected, b.Rejected)
}
