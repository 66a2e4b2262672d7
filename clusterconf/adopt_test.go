package clusterconf

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"mxcluster/internal/fault"
)

// version is a document of the test's system as another server could have it.
func version(revision uint64, at time.Time, reason string) *Document {
	d := uncreated()
	d.Revision, d.Changed = revision, Change{At: at, Reason: reason}
	return d
}

// follows is an edit of a document.
func follows(d *Document, revision uint64) *Document {
	n := d.Clone()
	n.Revision, n.Ancestors = revision, descend(Freeze(d))
	return n
}

func raised(d *Document) *Document {
	d.Epoch++
	return d
}

func TestStoreAdopt(t *testing.T) {
	// Of a and b, equally late, the one with the greater hash wins.
	low, high := version(5, testTime, "a"), version(5, testTime, "b")
	if Hash(low) > Hash(high) {
		low, high = high, low
	}
	early, late := version(5, testTime.Add(-time.Millisecond), "early"), version(5, testTime.Add(time.Millisecond), "late")
	future := version(5, testTime.Add(3*time.Hour), "future")
	tests := []struct {
		name          string
		stored, given *Document
		want          Adoption
		history       int // documents kept
	}{
		{"none stored", nil, low, Adoption{Adopted: true}, 0},
		{"newer", version(4, testTime, ""), low, Adoption{Adopted: true, TooFar: true}, 1},
		{"newer revision with an earlier time", version(4, testTime.Add(time.Hour), ""), low, Adoption{Adopted: true, TooFar: true}, 1},
		{"much newer", version(1, testTime, ""), low, Adoption{Adopted: true, TooFar: true}, 1},
		{"edited from it", version(5, testTime, ""), follows(version(5, testTime, ""), 6), Adoption{Adopted: true}, 1},
		{"that it was edited from", follows(version(5, testTime, ""), 6), version(5, testTime, ""), Adoption{}, 0},
		{"a higher epoch with a lower revision", version(5, testTime, ""), raised(follows(version(3, testTime, ""), 4)), Adoption{Adopted: true, Conflict: true}, 1},
		{"a lower epoch with a higher revision", raised(follows(version(3, testTime, ""), 4)), version(5, testTime, ""), Adoption{Conflict: true}, 1},
		{"older", version(6, testTime, ""), low, Adoption{}, 0},
		{"same", low, low.Clone(), Adoption{}, 0},
		{"same revision, later", low, late, Adoption{Adopted: true, Conflict: true}, 1},
		{"same revision, earlier", low, early, Adoption{Conflict: true}, 1},
		{"same revision, from the future", low, future, Adoption{Conflict: true}, 1},
		{"same revision, where this one is from the future", future, low, Adoption{Adopted: true, Conflict: true}, 1},
		{"same revision, both from the future", future, version(5, testTime.Add(4*time.Hour), "x"), Adoption{Adopted: true, Conflict: true}, 1},
		{"as far ahead as numbers may be", low, version(5+Reach, testTime, ""), Adoption{Adopted: true, TooFar: true}, 1},
		{"same time, greater hash", low, high, Adoption{Adopted: true, Conflict: true}, 1},
		{"same time, lesser hash", high, low, Adoption{Conflict: true}, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := storeIn(t.TempDir())
			if test.stored != nil {
				if err := s.Create(context.Background(), test.stored); err != nil {
					t.Fatal(err)
				}
			}
			got, err := s.Adopt(context.Background(), Freeze(test.given))
			if err != nil {
				t.Fatal(err)
			}
			winner, loser := test.stored, test.given
			if test.want.Adopted {
				winner, loser = test.given, test.stored
			}
			if Hash(mustRead(t, s)) != Hash(winner) {
				t.Errorf("stored is %+v", mustRead(t, s).Changed)
			}
			if test.want.Conflict {
				test.want.Kept = filepath.Join(s.HistoryDir, "00000005.yaml")
				if kept := readFile(t, got.Kept); kept != string(Encode(loser)) {
					t.Errorf("kept\n%s", kept)
				}
			}
			if got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			if test.history > 0 && len(names(t, s.HistoryDir)) != test.history {
				t.Errorf("history %v", names(t, s.HistoryDir))
			}
			again, err := s.Adopt(context.Background(), Freeze(winner))
			if err != nil || again != (Adoption{}) {
				t.Errorf("adopting what is stored: %+v, %v", again, err)
			}
		})
	}
}

// Whatever the order in which servers hear of two documents, all end with the same.
func TestStoreAdoptConverges(t *testing.T) {
	versions := []*Document{version(5, testTime, "a"), version(5, testTime, "b"), version(5, testTime.Add(time.Second), "c"), version(4, testTime.Add(time.Hour), "d")}
	for first := range versions {
		s := storeIn(t.TempDir())
		for i := range 2 * len(versions) { // twice: conflicts are met again and again
			if _, err := s.Adopt(context.Background(), Freeze(versions[(first+i)%len(versions)])); err != nil {
				t.Fatal(err)
			}
		}
		if got := mustRead(t, s).Changed.Reason; got != "c" {
			t.Errorf("starting with %d: %q won", first, got)
		}
		if kept := names(t, s.HistoryDir); len(kept) > 3 {
			t.Errorf("history grows: %v", kept)
		}
	}
}

// Two losers of one revision are both kept.
func TestStoreAdoptKeepsEveryLoser(t *testing.T) {
	s := storeIn(t.TempDir())
	for i, reason := range []string{"a", "b", "c"} {
		if _, err := s.Adopt(context.Background(), Freeze(version(5, testTime.Add(time.Duration(i)*time.Second), reason))); err != nil {
			t.Fatal(err)
		}
	}
	kept := names(t, s.HistoryDir)
	if len(kept) != 2 || kept[0] == kept[1] || !slices.Contains(kept, "00000005.yaml") {
		t.Errorf("history %v", kept)
	}
}

func TestStoreAdoptRefusals(t *testing.T) {
	s := newStore(t)
	before := readFile(t, s.Path)
	other := version(9, testTime, "")
	other.System = "another"
	_, err := s.Adopt(context.Background(), Freeze(other))
	wantFault(t, err, fault.Refused, "the document is of system another, this server belongs to 5k2j9x", "gossip key")

	invalid := version(9, testTime, "")
	invalid.Servers[0].LIM = 2
	_, err = s.Adopt(context.Background(), Freeze(invalid))
	wantFault(t, err, fault.Refused, "LIM 2 is on srv1 and on srv2", "")
	if readFile(t, s.Path) != before {
		t.Error("the document was changed")
	}

	writeFile(t, s.Path, "broken: [\n")
	got, err := s.Adopt(context.Background(), Freeze(version(9, testTime, "")))
	wantFault(t, err, fault.Invalid, s.Path, "")
	if got != (Adoption{}) {
		t.Errorf("%+v", got)
	}
	if err := os.Remove(s.Path); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Adopt(context.Background(), Freeze(version(9, testTime, ""))); err != nil || !got.Adopted {
		t.Errorf("%+v, %v", got, err)
	}
}

// Numbers beyond reason leave no room to edit above them; they are refused and change nothing.
func TestAdoptBeyondReason(t *testing.T) {
	for _, d := range []*Document{
		version(6+Reach, testTime, ""), version(maxRevision, testTime, ""), follows(version(5, testTime, "a"), 6+Reach),
		func() *Document { d := version(5, testTime, ""); d.Epoch = 1 + Reach; return d }(),
	} {
		s := newStore(t)
		if _, err := s.Adopt(t.Context(), Freeze(version(5, testTime, "a"))); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Adopt(t.Context(), Freeze(d)); fault.CodeOf(err) != fault.Refused {
			t.Errorf("revision %d of epoch %d: %v", d.Revision, d.Epoch, err)
		}
		if got, err := s.Read(); err != nil || got.Revision != 5 || got.Epoch != 0 {
			t.Errorf("stored is %v, %v", got, err)
		}
	}
}
