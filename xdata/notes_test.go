package xdata

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"mxcluster/internal/lineage"
	"mxcluster/internal/safepath"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/tree"
)

// surveyed opens a version and looks it over.
func surveyed(t *testing.T, dir string) (*os.Root, *manifest.Manifest) {
	t.Helper()
	root, err := safepath.Folder(dir)
	must(t, err)
	t.Cleanup(func() { root.Close() })
	m, _, err := tree.Survey(root)
	must(t, err)
	return root, m
}

// A mark that cannot be written beside its version goes into the folder for notes, and back
// as soon as that can be; the newer one of two speaks.
func TestMarkGoesWhereItCan(t *testing.T) {
	const name = "xdata_1_20260301020000"
	s := newStore(t)
	root, m := surveyed(t, foreign(t, s, name, sample, baseTime))
	var told []error
	ms := marks{dir: s.Dir, notes: filepath.Join(t.TempDir(), "notes"), now: time.Now, warn: func(err error) { told = append(told, err) }}
	says := func(want string) {
		t.Helper()
		found, err := ms.read(root, name, m)
		must(t, err)
		if found == nil || found.Damage != want {
			t.Errorf("read %+v, want %q", found, want)
		}
	}
	must(t, ms.put(root, name, mark{Damage: "first"}, m))
	says("first")
	must(t, os.Remove(ms.path(name)))
	must(t, os.MkdirAll(filepath.Join(ms.path(name), "in the way"), 0o700))
	must(t, ms.put(root, name, mark{Damage: "second"}, m))
	says("second")
	if len(told) != 1 || !ms.maybeDamaged(name) {
		t.Errorf("told %v, damage noted: %v", told, ms.maybeDamaged(name))
	}
	must(t, os.RemoveAll(ms.path(name)))
	must(t, ms.put(root, name, mark{}, m))
	says("")
	if _, err := os.Stat(ms.notePath(name)); !errors.Is(err, os.ErrNotExist) || ms.maybeDamaged(name) {
		t.Errorf("the note that was kept elsewhere: %v", err)
	}
	must(t, ms.remove(name))
	if found, err := ms.read(root, name, m); found != nil || err != nil {
		t.Errorf("removed, and still there: %+v, %v", found, err)
	}
	must(t, ms.remove(name))
}

// What is noted of versions that are gone goes, and that of others and of other LIMs stays.
func TestNotesOfVersionsThatAreGone(t *testing.T) {
	s := newStore(t)
	s.Notes = t.TempDir()
	kept := []string{"xdata_1_20260301020000", "xdata_2_20260301020000"}
	foreign(t, s, kept[0], sample, baseTime)
	for _, name := range append([]string{"xdata_1_20260302000000"}, kept...) {
		must(t, os.WriteFile(s.marks().notePath(name), []byte("{}"), 0o600))
		must(t, s.indexes().write(name, &manifest.Manifest{}))
	}
	must(t, errors.Join(s.marks().cleanNotes(1), s.indexes().clean(1)))
	left, err := os.ReadDir(s.Notes)
	must(t, err)
	indexes, err := filepath.Glob(s.indexes().path("*"))
	must(t, err)
	if len(left) != 2 || len(indexes) != 2 || left[0].Name() != kept[0]+".json" || indexes[1] != s.indexes().path(kept[1]) {
		t.Errorf("left %v, %q", left, indexes)
	}
}

// An index that cannot be read counts as none.
func TestTornIndex(t *testing.T) {
	s := newStore(t)
	must(t, os.MkdirAll(s.Dir, 0o700))
	must(t, os.WriteFile(s.indexes().path("xdata_1_20260301020000"), []byte("torn"), 0o600))
	for _, name := range []string{"xdata_1_20260301020000", "xdata_1_20260302000000"} {
		if m, err := s.indexes().load(name); m != nil || err != nil {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

// The head and the pair are what was written last; what cannot be understood is nothing.
func TestFilesOfALIM(t *testing.T) {
	f := limFiles{dir: t.TempDir(), lim: 7}
	if head, err := f.head(); head != nil || err != nil {
		t.Errorf("head of nothing: %+v, %v", head, err)
	}
	v := lineage.Child(lineage.Node{Name: "xdata_7_20260301020000", Content: "00"}, 5, lineage.Node{})
	must(t, f.setHead(&v))
	if head, err := f.head(); err != nil || head == nil || head.Node != v.Node {
		t.Errorf("head %+v, %v", head, err)
	}
	if head, err := (limFiles{dir: f.dir, lim: 70}).head(); head != nil || err != nil {
		t.Errorf("of another LIM: %+v, %v", head, err)
	}
	for _, text := range []string{"{torn", "{}"} {
		must(t, os.WriteFile(f.headPath(), []byte(text), 0o600))
		must(t, os.WriteFile(f.pairPath(), []byte(text), 0o600))
		head, err := f.head()
		p, bad := f.pair()
		if head != nil || err != nil || bad != nil || p == nil || p.Common != nil {
			t.Errorf("%s: %+v, %v; %+v, %v", text, head, err, p, bad)
		}
	}
}

// The names that were given last are remembered, and a conflict with the time at which it
// was found first.
func TestPairRemembers(t *testing.T) {
	f := limFiles{dir: t.TempDir(), lim: 1}
	var given []string
	for i := range maxGivenNames + 3 {
		given = append(given, fmt.Sprintf("xdata_1_202603010200%02d", i))
		must(t, f.give(given[i]))
	}
	ours, theirs := lineage.Version{Node: lineage.Node{Name: "a"}}, lineage.Version{Node: lineage.Node{Name: "b"}}
	for _, at := range []time.Time{baseTime, baseTime.Add(time.Hour)} {
		must(t, f.noteConflict(at, &ours, &theirs))
	}
	p, err := f.pair()
	must(t, err)
	if !slices.Equal(p.Given, given[3:]) {
		t.Errorf("given %q", p.Given)
	}
	if p.Conflict == nil || !p.Conflict.At.Equal(baseTime) {
		t.Errorf("conflict %+v", p.Conflict)
	}
	must(t, f.noteConflict(baseTime.Add(time.Hour), &ours, &ours))
	if p, err = f.pair(); err != nil || !p.Conflict.At.Equal(baseTime.Add(time.Hour)) {
		t.Errorf("another one: %+v, %v", p.Conflict, err)
	}
}
