package xdata

import (
	"errors"
	"os"
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
