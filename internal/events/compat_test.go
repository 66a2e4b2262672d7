package events

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"mxcluster/internal/compat"
)

// logOf is a log with events that another version wrote.
func logOf(t *testing.T, text []byte) *Log {
	t.Helper()
	l := &Log{Path: filepath.Join(t.TempDir(), "events")}
	if err := os.WriteFile(l.Path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return l
}

// Events that earlier versions wrote are all read, with all that they say, and those of this
// version are numbered after them.
func TestEventsOfEarlierVersions(t *testing.T) {
	compat.Each(t, compat.Recorded(t, "events"), func(t *testing.T, in compat.Input) {
		l := logOf(t, in.Content)
		got, truncated, err := l.Read(Query{})
		if err != nil || truncated {
			t.Fatal(truncated, err)
		}
		lines := bytes.Split(bytes.TrimSpace(in.Content), []byte("\n"))
		if len(got) != len(lines) {
			t.Fatalf("%d events in %d lines", len(got), len(lines))
		}
		kinds := map[Kind]bool{}
		for i, e := range got {
			is, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			if lost := compat.Lost(t, lines[i], is); lost != nil {
				t.Errorf("of event %d are lost %q", e.Seq, lost)
			}
			kinds[e.Kind] = true
		}
		for _, k := range []Kind{Agent, Decision, State, Document} {
			if !kinds[k] {
				t.Errorf("there is no event of kind %s", k)
			}
		}
		last := got[len(got)-1].Seq
		if err := l.Append([]Event{{Server: in.Name, Kind: Agent, Text: "it is another version now"}}); err != nil {
			t.Fatal(err)
		}
		if got, _, err = l.Read(Query{After: map[string]uint64{in.Name: last}}); err != nil || len(got) != 1 || got[0].Seq != last+1 {
			t.Errorf("after event %d comes %+v, %v", last, got, err)
		}
	})
}

// Events of a later version are shown by what they say in words, whatever their kind and form are,
// and their numbers are not used again.
func TestEventsOfTheFuture(t *testing.T) {
	compat.Each(t, compat.OfTheFuture(t, "events"), func(t *testing.T, in compat.Input) {
		got, _, err := logOf(t, in.Content).Read(Query{})
		if err != nil || len(got) != 4 {
			t.Fatalf("read %+v, %v", got, err)
		}
		for i, e := range got {
			if e.Seq != uint64(i+1) || e.Text == "" || e.Time.IsZero() || e.Server != "srv1" { //nolint:gosec // a small number
				t.Errorf("event %+v", e)
			}
		}
	})
}

// FuzzLog reads any file of events, and goes on in it.
func FuzzLog(f *testing.F) {
	for _, in := range append(compat.Recorded(f, "events"), compat.OfTheFuture(f, "events")...) {
		f.Add(in.Content)
		f.Add(in.Content[:len(in.Content)-7]) // a write that did not end
	}
	path := filepath.Join(f.TempDir(), "events")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		l := &Log{Path: path}
		if _, _, err := l.Read(Query{}); err != nil {
			t.Fatal(err)
		}
		if err := l.Append([]Event{{Server: "srv1", Kind: Agent, Text: "one more"}}); err != nil {
			t.Fatal(err)
		}
		again := &Log{Path: path}
		got, _, err := again.Read(Query{})
		if err != nil || len(got) == 0 || got[len(got)-1].Text != "one more" {
			t.Errorf("the last event is not the one that was written: %d events, %v", len(got), err)
		}
	})
}
