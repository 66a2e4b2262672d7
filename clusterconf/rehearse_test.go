package clusterconf

import (
	"slices"
	"strings"
	"testing"
)

func TestRehearsalsAreKeptOnlyWhereTheyAreWanted(t *testing.T) {
	d := uncreated()
	create(d)
	before := Encode(d)
	nightly, off := RehearseNightly, RehearseOff
	after := d.Clone()
	apply(t, after, func(d *Document) error { return d.ChangeCluster("c1", ChangeSpec{Rehearse: &nightly}) })
	apply(t, after, func(d *Document) error { return d.SetRehearsable(1, true) })
	want := []string{"level: 1 -> 2", "LIM 1: may be rehearsed: false -> true", "cluster c1: rehearsals: off -> nightly"}
	if got := Diff(d, after); !slices.Equal(got, want) {
		t.Errorf("the difference is %q, want %q", got, want)
	}
	raw := Encode(after)
	if read, err := Parse("cluster.yaml", raw); err != nil || read.Cluster("c1").Rehearse != RehearseNightly || !read.LIM(1).Rehearsable {
		t.Errorf("read back %+v, %v", read, err)
	}
	if _, err := Parse("cluster.yaml", []byte(strings.Replace(string(raw), "rehearse: nightly", "rehearse: weekly", 1))); err == nil {
		t.Error("a time of rehearsals that there is not was read")
	}
	if read, err := Parse("cluster.yaml", []byte(strings.Replace(string(raw), "rehearse: nightly", "rehearse: off", 1))); err != nil || read.Cluster("c1").Rehearse != RehearseOff {
		t.Errorf("off, written by hand: %+v, %v", read, err)
	}
	apply(t, after, func(d *Document) error { return d.ChangeCluster("c1", ChangeSpec{Rehearse: &off}) })
	apply(t, after, func(d *Document) error { return d.SetRehearsable(1, false) })
	if raw := Encode(after); string(raw) != string(before) {
		t.Errorf("a document without rehearsals is written as\n%s\nbefore\n%s", raw, before)
	}
}
