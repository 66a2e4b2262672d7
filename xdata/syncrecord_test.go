package xdata

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/fault"
)

func TestRecord(t *testing.T) {
	r := Records{Dir: t.TempDir() + "/sync"}
	at := baseTime
	state := func(want string) Record {
		t.Helper()
		rec, err := r.Read(1)
		must(t, err)
		if got := rec.Failed(at); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", at, got, want)
		}
		return rec
	}
	state("") // nothing is known yet
	_, err := r.Begin(1, at)
	must(t, err)
	at = at.Add(SyncLimit)
	state("")
	at = at.Add(1)
	state("not synchronised since 2026-03-01T02:00:00Z")
	_, err = r.Begin(1, at)
	must(t, err)
	state("not synchronised since 2026-03-01T02:00:00Z") // it is no news

	must(t, r.Note(1, at, nil))
	state("")
	must(t, r.Note(1, at, fault.New(fault.Busy, "", "another sync")))
	must(t, r.Note(1, at, fault.New(fault.Interrupted, "", "a signal")))
	state("")
	first := at
	must(t, r.Note(1, at, fault.New(fault.Unreachable, "", "no route\nto host")))
	at = at.Add(time.Hour)
	must(t, r.Note(1, at, fault.New(fault.Refused, "", "clocks differ")))
	rec := state("clocks differ")
	if f := rec.Failure; !f.At.Equal(first) || !f.Last.Equal(at) || f.Code != fault.Refused {
		t.Errorf("%+v", f)
	}
	must(t, r.Note(1, at, nil)) // it clears by itself
	state("")
	at = at.Add(SyncLimit + 1)
	state("last synchronised at 2026-03-02T04:00:00Z")
	if rec, err := r.Read(2); err != nil || rec.LastGood != nil {
		t.Errorf("another LIM: %+v, %v", rec, err)
	}
	must(t, os.WriteFile(r.path(1), []byte("{"), 0o644))
	state("")
	must(t, r.Note(1, at, errors.New("x")))
	state("x")
}

// What a killed writer left of a record goes with the next one; what may be another
// writer's, or another LIM's, stays.
func TestRecordLeftovers(t *testing.T) {
	r := Records{Dir: t.TempDir()}
	for name, age := range map[string]time.Duration{".lim-1.json-77": 2 * time.Hour, ".lim-1.json88": 2 * time.Hour, ".lim-1.json-99": time.Minute, ".lim-11.json-1": 2 * time.Hour} {
		name = filepath.Join(r.Dir, name)
		must(t, os.WriteFile(name, nil, 0o600))
		must(t, os.Chtimes(name, baseTime, baseTime.Add(-age)))
	}
	must(t, r.Note(1, baseTime, nil))
	entries, err := os.ReadDir(r.Dir)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{".lim-1.json-99", ".lim-11.json-1", "lim-1.json"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
}
