package clusterconf

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxAncestors is how many documents before it a document names.
const maxAncestors = 64

// Mark tells a document from all others, in less than its whole hash: "r", its revision,
// "-", and the first 32 digits of the hash.
func (e *Encoded) Mark() string {
	return fmt.Sprintf("r%d-%s", e.Revision, strings.TrimPrefix(e.hash, "sha256:")[:markDigits])
}

const markDigits = 32

// markedRevision returns the revision of a marked document; false: it is no mark.
func markedRevision(mark string) (uint64, bool) {
	number, hash, ok := strings.Cut(strings.TrimPrefix(mark, "r"), "-")
	if !ok || mark[0] != 'r' || len(hash) != markDigits || !madeOf(hash, "0123456789abcdef") {
		return 0, false
	}
	return parseRevision(number)
}

// descend returns the ancestors of what is edited from a document.
func descend(e *Encoded) []string {
	if len(e.Servers) == 0 {
		return e.Ancestors // it stands in for one that cannot be read
	}
	all := append([]string{e.Mark()}, e.Ancestors...)
	return all[:min(len(all), maxAncestors)]
}

// Age orders documents: those of a later epoch come after all of an earlier one.
type Age struct{ Epoch, Revision uint64 }

// Age returns the document's.
func (d *Document) Age() Age { return Age{d.Epoch, d.Revision} }

// Compare is negative for the older, 0 for equal ages.
func (a Age) Compare(b Age) int {
	return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Revision, b.Revision))
}

// Relation says how a document came about from another one.
type Relation int

// The relations of a document to another one.
const (
	SameDocument Relation = iota
	Follows               // it was edited from the other one
	Precedes              // the other one was edited from it
	Apart                 // they were edited on two servers that did not hear each other, or by force
	TooFar                // more edits lie between them than a document keeps in mind
)

// Relate tells how d came about from other. It is the same question the other way
// round on every server.
func Relate(d, other *Encoded) Relation {
	if d.Age() == other.Age() && d.hash == other.hash {
		return SameDocument
	}
	if d.Age().Compare(other.Age()) >= 0 {
		return later(d, other)
	}
	switch later(other, d) {
	case Follows:
		return Precedes
	case TooFar:
		return TooFar
	}
	return Apart
}

// descendsFrom reports whether a document is among the ancestors that e names.
func (e *Encoded) descendsFrom(other *Encoded) bool {
	i := slices.IndexFunc(e.Ancestors, func(mark string) bool {
		revision, ok := markedRevision(mark)
		return ok && revision == other.Revision
	})
	return i >= 0 && e.Ancestors[i] == other.Mark()
}

// later tells how the one of two documents that goes by its age came about from the
// other. Revisions only grow from a document to what is edited from it, so that one of
// its ancestors is among those that it names unless it is older than all of these.
func later(d, other *Encoded) Relation {
	oldest := d.Revision
	if n := len(d.Ancestors); n > 0 {
		oldest, _ = markedRevision(d.Ancestors[n-1])
	}
	switch {
	case d.descendsFrom(other):
		return Follows
	case other.Revision < oldest:
		return TooFar
	}
	return Apart
}

// EditedOn names the server that carries edits out: the document's editor, else that of
// LIM 1, else that of the lowest LIM, else the first one by name.
func (d *Document) EditedOn() string {
	if d.Editor != "" && d.Server(d.Editor) != nil {
		return d.Editor
	}
	best := Server{}
	for _, s := range d.Servers {
		if best.Name == "" || cmp.Or(cmp.Compare(limRank(s), limRank(best)), cmp.Compare(s.Name, best.Name)) < 0 {
			best = s
		}
	}
	return best.Name
}

func limRank(s Server) int {
	if s.LIM == 0 {
		return MaxLIMNumber + 1
	}
	return s.LIM
}
