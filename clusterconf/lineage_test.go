package clusterconf

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// islander is one server of a system whose servers do not always hear each other.
type islander struct {
	doc     *Encoded
	highest uint64 // revision that it ever saw
}

// islands is a system in memory, with the truth that documents tell a part of.
type islands struct {
	rnd     *rand.Rand
	servers []*islander
	parents map[string]string   // of each document, by hash
	edits   map[string]*Encoded // each document that was made
	told    map[string]bool     // documents of which a conflict was told
}

func newIslands(seed uint64) *islands {
	w := &islands{rnd: rand.New(rand.NewPCG(seed, 0)), parents: map[string]string{}, edits: map[string]*Encoded{}, told: map[string]bool{}}
	first := Freeze(version(1, testTime, ""))
	for range 2 + w.rnd.IntN(4) {
		w.servers = append(w.servers, &islander{doc: first, highest: 1})
	}
	return w
}

// descends reports whether a document came about from another one, in truth.
func (w *islands) descends(hash, from string) bool {
	for ; hash != ""; hash = w.parents[hash] {
		if hash == from {
			return true
		}
	}
	return false
}

func (w *islands) edit(s *islander) {
	next := s.doc.Clone()
	next.Revision, next.Ancestors = max(next.Revision, s.highest)+1, descend(s.doc)
	if w.rnd.IntN(4) == 0 {
		next.Epoch++
	}
	next.Changed = Change{At: testTime.Add(time.Duration(w.rnd.IntN(3)) * time.Second), Reason: fmt.Sprint(w.rnd.Uint64())}
	d := Freeze(next)
	w.parents[d.Hash()], w.edits[d.Hash()] = s.doc.Hash(), d
	s.doc, s.highest = d, d.Revision
}

// hear has a server take in the document of another one, as [Store.Adopt] does.
func (w *islands) hear(s *islander, d *Encoded) error {
	r, here, there := Relate(d, s.doc), s.doc.Hash(), d.Hash()
	s.highest = max(s.highest, d.Revision)
	follows, precedes := w.descends(there, here), w.descends(here, there)
	switch {
	case r == Follows && !follows, r == Precedes && !precedes, r == SameDocument && here != there:
		return fmt.Errorf("revision %d of epoch %d is taken to follow, or to precede, %d of %d", d.Revision, d.Epoch, s.doc.Revision, s.doc.Epoch)
	case r == Apart && (follows || precedes):
		return fmt.Errorf("a conflict is told where one document was edited from the other")
	case r == TooFar && max(d.Revision, s.doc.Revision)-min(d.Revision, s.doc.Revision) <= maxAncestors:
		return fmt.Errorf("%d and %d are said to be too far apart", d.Revision, s.doc.Revision)
	case r != inverse(Relate(s.doc, d)):
		return fmt.Errorf("two servers do not see the same: %d and %d", r, Relate(s.doc, d))
	}
	switch {
	case r == Apart:
		w.told[here], w.told[there] = true, true
		if precedence(d, s.doc) > 0 {
			s.doc = d
		}
	case r == Follows, r == TooFar && d.Age().Compare(s.doc.Age()) > 0:
		s.doc = d
	}
	return nil
}

func inverse(r Relation) Relation {
	switch r {
	case Follows:
		return Precedes
	case Precedes:
		return Follows
	}
	return r
}

// unseen lists edits that are neither in the document of all servers nor part of a
// conflict that was told.
func (w *islands) unseen(final *Encoded) []*Encoded {
	var out []*Encoded
	for hash, d := range w.edits {
		seen := w.descends(final.Hash(), hash)
		for told := range w.told {
			seen = seen || w.descends(told, hash)
		}
		if !seen {
			out = append(out, d)
		}
	}
	return out
}

// On islands that edit and meet at random no edit vanishes without a conflict being
// told, none is told where there is none, and all end with the same document, which the
// next edit follows.
func TestIslandsLoseNoEditUnseen(t *testing.T) {
	for seed := range uint64(600) {
		w := newIslands(seed)
		somebody := func() *islander { return w.servers[w.rnd.IntN(len(w.servers))] }
		for range w.rnd.IntN(40) {
			if w.rnd.IntN(2) == 0 {
				w.edit(somebody())
			} else if err := w.hear(somebody(), somebody().doc); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		for range 3 { // all hear each other
			for _, s := range w.servers {
				for _, other := range w.servers {
					if err := w.hear(s, other.doc); err != nil {
						t.Fatalf("seed %d: %v", seed, err)
					}
				}
			}
		}
		final := w.servers[0].doc
		for _, s := range w.servers {
			if s.doc.Hash() != final.Hash() {
				t.Fatalf("seed %d: two documents in the end, of revision %d and %d", seed, s.doc.Revision, final.Revision)
			}
		}
		if lost := w.unseen(final); len(lost) > 0 {
			t.Fatalf("seed %d: %d edits vanished without a word, the first of revision %d", seed, len(lost), lost[0].Revision)
		}
		w.edit(w.servers[0])
		for hash, d := range w.edits {
			if hash != w.servers[0].doc.Hash() && d.Age().Compare(w.servers[0].doc.Age()) >= 0 {
				t.Fatalf("seed %d: the next edit is not above all", seed)
			}
		}
	}
}

// A document keeps in mind 64 documents before it, and says of more that it cannot see.
func TestTooFar(t *testing.T) {
	first := version(1, testTime, "")
	d := first
	for i := range uint64(maxAncestors + 3) {
		d = follows(d, i+2)
		want := Follows
		if i >= maxAncestors {
			want = TooFar
		}
		if got := Relate(Freeze(d), Freeze(first)); got != want {
			t.Fatalf("after %d edits: %d, want %d", i+1, got, want)
		}
	}
}

// The next edit after a conflict goes above both documents, also where the one that
// lost has the higher revision.
func TestEditAfterAConflict(t *testing.T) {
	s := storeIn(t.TempDir())
	ctx := context.Background()
	base := version(3, testTime, "")
	if err := s.Create(ctx, raised(follows(base, 4))); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Adopt(ctx, Freeze(follows(follows(base, 4), 9))); err != nil || !got.Conflict || got.Adopted {
		t.Fatalf("got %+v, %v", got, err)
	}
	r, err := s.Edit(ctx, Change{}, func(d *Document) error { return d.SetServer("free1", "eth5", "") })
	if err != nil || r.After.Revision != 10 || r.After.Epoch != 1 || Relate(r.After, r.Before) != Follows {
		t.Errorf("got revision %d, %v", r.After.Revision, err)
	}
}

// Who carries edits out follows from the document alone.
func TestEditedOn(t *testing.T) {
	d := uncreated()
	if got := d.EditedOn(); got != d.RegularOf(1).Name {
		t.Errorf("got %s, want the server of LIM 1", got)
	}
	d.Editor = "sb1"
	if got := d.EditedOn(); got != "sb1" {
		t.Errorf("got %s, want the editor", got)
	}
	d.Editor = "gone"
	if got := d.EditedOn(); got != d.RegularOf(1).Name {
		t.Errorf("got %s, want the server of LIM 1 in the place of one that was removed", got)
	}
}
