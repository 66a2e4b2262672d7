package xdata

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// at makes files and folders, whose names end with a slash, that were last changed at a time.
func at(t *testing.T, dir string, when time.Time, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(dir, name)
		if name[len(name)-1] == '/' {
			must(t, os.MkdirAll(path, 0o700))
			must(t, os.WriteFile(filepath.Join(path, "f"), nil, 0o600))
		} else {
			must(t, os.WriteFile(path, []byte("{}"), 0o600))
		}
		must(t, os.Chtimes(path, when, when))
	}
}

// What a crashed holder of the lock left of a LIM goes; versions, what is noted of them, and
// what may still be at work stay, and so does all that is another LIM's.
func TestLeftovers(t *testing.T) {
	dir, now := t.TempDir(), baseTime
	old, fresh := now.Add(-2*replacedStale), now.Add(-replacedStale/2)
	at(t, dir, old, ".staging-1-abc/", "..index-xdata_1_20260301000000-x", "..mark-xdata_1_20260301000000.json-x", "..head-1.json-x", "..pair-1.json-x",
		signPrefix+"old", markPrefix+"xdata_1_20260301000000.json")
	stays := []string{".staging-11-abc/", "..head-11.json-x", "..mark-xdata_11_20260301000000.json-x", ".partial-1-abc/", ".lock-1", ".head-1.json", ".pair-1.json",
		"xdata_1_20260302000000/", markPrefix + "xdata_1_20260302000000.json", markPrefix + "xdata_11_20260301000000.json"}
	at(t, dir, old, stays...)
	young := []string{signPrefix + "new", "..head-1.json-y"}
	at(t, dir, fresh, young...)
	l := leftovers{dir: dir, lim: 1, now: func() time.Time { return now }, warn: func(err error) { t.Error(err) }}
	must(t, l.clean())
	entries, err := os.ReadDir(dir)
	must(t, err)
	var got, want []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	for _, name := range append(stays, young...) {
		want = append(want, filepath.Clean(name))
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("left %q\nwant %q", got, want)
	}
}

// Of interrupted transfers the newest stay, as long as they may be of use.
func TestPartials(t *testing.T) {
	dir, now := t.TempDir(), baseTime
	at(t, dir, now.Add(-time.Hour), ".partial-1-c/")
	at(t, dir, now.Add(-2*time.Hour), ".partial-1-a/")
	at(t, dir, now.Add(-3*time.Hour), ".partial-1-d/")
	at(t, dir, now.Add(-4*time.Hour), ".partial-1-b/")
	at(t, dir, now.Add(-5*time.Hour), ".partial-11-x/")
	ps := partials{dir: dir, lim: 1, now: func() time.Time { return now }, warn: func(err error) { t.Error(err) }}
	folders := func() (names []string) {
		for _, f := range ps.folders() {
			names = append(names, filepath.Base(f))
		}
		return names
	}
	if got := folders(); !slices.Equal(got, []string{".partial-1-c", ".partial-1-a", ".partial-1-d", ".partial-1-b"}) {
		t.Errorf("there are %q", got)
	}
	ps.clean()
	if got := folders(); !slices.Equal(got, []string{".partial-1-c", ".partial-1-a", ".partial-1-d"}) {
		t.Errorf("left %q", got)
	}
	now = now.Add(partialsStale - 90*time.Minute)
	ps.clean()
	if got := folders(); !slices.Equal(got, []string{".partial-1-c"}) {
		t.Errorf("left after days %q", got)
	}
	ps.remove()
	if got := folders(); got != nil {
		t.Errorf("left of all %q", got)
	}
	if _, err := os.Stat(filepath.Join(dir, ".partial-11-x")); err != nil {
		t.Errorf("another LIM's: %v", err)
	}
}
