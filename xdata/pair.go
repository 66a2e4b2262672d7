package xdata

import (
	"slices"
	"time"

	"mxcluster/internal/lineage"
	"mxcluster/xdata/internal/manifest"
)

// pairState is what a server remembers of how the data of a LIM stand on both sides. See
// limFiles.
type pairState struct {
	// Whole is the version that both sides had when a sync last went well, and Local
	// what this side's looked like: of another program's, nothing else tells that its
	// content is still that.
	Whole *lineage.Version `json:"whole,omitempty"`
	Local localCopy        `json:"local,omitzero"`

	// Conflict is the last one that a sync found; nil: it is over, or there was none.
	Conflict *conflictState `json:"conflict,omitempty"`

	// Fits is the oldest version that fits the cluster document: what is older does not
	// (spec ch. 9).
	Fits *lineage.Version `json:"fits,omitempty"`

	// Given are the names that versions got here, the last ones; see names.
	Given []string `json:"given,omitempty"`
}

// conflictState is two versions of which neither follows the other.
type conflictState struct {
	At     time.Time       `json:"at"`
	Ours   lineage.Version `json:"ours"`
	Theirs lineage.Version `json:"theirs"`
}

// localCopy is what a version looked like.
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
