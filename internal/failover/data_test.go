package failover

import (
	"testing"
	"time"

	"mxcluster/internal/lineage"
)

// line is what a version says of itself that follows others.
func line(name string, parents ...*lineage.Version) *lineage.Version {
	v := lineage.Child(lineage.Node{Name: name, Content: name}, 0, lineage.Node{}, parents...)
	return &v
}

func TestDataOrder(t *testing.T) {
	at := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	a := line("a")
	b := line("b", a)
	fork := line("c", a)
	of := func(l *lineage.Version, newest time.Time) *Data {
		return &Data{Version: l.Node.Name, Newest: newest, Line: l}
	}
	plain := func(name string, newest time.Time) *Data { return &Data{Version: name, Newest: newest} }
	for _, tc := range []struct {
		name string
		a, b *Data
		want lineage.Order
	}{
		{"nothing on either side", nil, nil, lineage.Same},
		{"nothing there", of(a, at), nil, lineage.Newer},
		{"a child with older files", of(b, at.Add(-time.Hour)), of(a, at), lineage.Newer},
		{"one of the same time", of(b, at), of(a, at), lineage.Newer},
		{"two children of one", of(b, at), of(fork, at.Add(time.Hour)), lineage.Apart},
		{"an agent that does not tell, older", plain("a", at), of(b, at.Add(1)), lineage.Older},
		{"the same name and time", plain("a", at), of(a, at), lineage.Same},
		{"one time under two names", plain("x", at), of(a, at), lineage.Unknown},
	} {
		if got := tc.a.Order(tc.b); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
		if got := tc.b.Order(tc.a); got != tc.want.Reverse() {
			t.Errorf("%s: %s the other way round, want %s", tc.name, got, tc.want.Reverse())
		}
	}
	if !of(b, at).Replaces(of(a, at)) || of(a, at).Replaces(of(b, at)) || of(a, at).Replaces(of(a, at)) || !of(a, at).Replaces(nil) {
		t.Error("what replaces what is told wrong")
	}
}

// A LIM does not fall back by itself to a server whose data lack, or contradict, its own.
func TestLacksData(t *testing.T) {
	a := line("a")
	mine, fork := line("b", a), line("c", a)
	v := &View{LIMs: map[int]Local{1: {Data: &Data{Version: "b", Line: mine}}}}
	for name, theirs := range map[string]*Data{
		"srv1 lacks data version b": {Version: "a", Line: a, Newest: time.Now()},
		"the data here and on srv1 are in conflict: b and c do not follow each other": {Version: "c", Line: fork},
		"": {Version: "d", Line: line("d", mine)},
	} {
		if got := v.lacksData(1, LIMClaim{Data: theirs}, "srv1"); got != name {
			t.Errorf("%q, want %q", got, name)
		}
	}
}
