package clusterconf

import (
	"slices"
	"testing"

	"mxcluster/internal/fault"
)

// A LIM leaves in three revisions; the two in between say where its server is heard.
func TestLeaving(t *testing.T) {
	d := mustParse(t, twoLIMs)
	steps := []struct {
		name         string
		do           func()
		base, gossip string
		members      int
	}{
		{"leaving", func() { must(t, d.BeginLeave("c1", "", 1)) }, "10.0.0.21/24", "10.0.0.21/24", 2},
		{"again", func() { must(t, d.BeginLeave("c1", "", 1)) }, "10.0.0.21/24", "10.0.0.21/24", 2},
		{"left", func() { d.CompleteLeave(1) }, "10.0.0.11/24", "10.0.0.21/24", 1},
		{"left twice", func() { d.CompleteLeave(1) }, "10.0.0.11/24", "10.0.0.21/24", 1},
		{"not leaving", func() { d.CompleteLeave(2) }, "10.0.0.11/24", "10.0.0.21/24", 1},
		{"settled", func() { d.SettleBase("srv1") }, "10.0.0.11/24", "10.0.0.11/24", 1},
	}
	for _, step := range steps {
		step.do()
		s := d.Server("srv1")
		if s.Base != prefix(step.base) || d.Gossip(s) != prefix(step.gossip) || len(d.Cluster("c1").LIMs) != step.members {
			t.Fatalf("%s: base %s, heard at %s, %d LIMs in the cluster", step.name, s.Base, d.Gossip(s), len(d.Cluster("c1").LIMs))
		}
		if found := Validate(d); len(found) > 0 {
			t.Fatalf("%s: %+v", step.name, found)
		}
		if back := mustParse(t, string(Encode(d))); Hash(back) != Hash(d) || back.Server("srv1").ReachedAt != s.ReachedAt {
			t.Fatalf("%s: it reads back as another document", step.name)
		}
	}
	must(t, d.BeginLeave("c1", ""))
	d.CompleteLeave(2)
	if d.Cluster("c1") != nil {
		t.Error("the cluster outlives its last LIM")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestBeginLeaveRefusals(t *testing.T) {
	tests := []struct {
		cluster, dead string
		lims          []int
		code          fault.Code
	}{
		{"c2", "", nil, fault.NotFound},
		{"c1", "", []int{3}, fault.NotFound},
		{"c1", "srv9", nil, fault.NotFound},
		{"c1", "free1", nil, fault.Refused},
		{"c1", "srv2", []int{1}, fault.Refused},
	}
	for _, test := range tests {
		if err := mustParse(t, twoLIMs).BeginLeave(test.cluster, test.dead, test.lims...); fault.CodeOf(err) != test.code {
			t.Errorf("%+v: %v", test, err)
		}
	}
	d := mustParse(t, twoLIMs)
	must(t, d.BeginLeave("c1", "srv2"))
	if ms := d.Cluster("c1").LIMs; ms[0].Dead != "" || ms[1].Dead != "srv2" || !slices.Equal(d.Cluster("c1").Leaves(), []int{1, 2}) {
		t.Errorf("a dead regular server: %+v", ms)
	}
}

// A base that moves is kept until all know the new one; where the former one is an
// alias by then, it is not what others hear the server at.
func TestKeepReached(t *testing.T) {
	before := uncreated()
	d := before.Clone()
	create(d)
	all := func(string) bool { return true }
	must(t, d.KeepReached(before, all))
	if s := d.Server("srv1"); s.ReachedAt != prefix("10.0.0.11/24") || d.Gossip(s) != s.Base {
		t.Errorf("entering: reached at %s, heard at %s", s.ReachedAt, d.Gossip(s))
	}
	if found := Validate(d); len(found) > 0 {
		t.Errorf("entering: %+v", found)
	}
	if d.Server("sb1").ReachedAt.IsValid() {
		t.Error("a server that was not moved keeps a former base")
	}

	moved := before.Clone()
	moved.Server("free1").Base = prefix("10.0.0.91/24")
	must(t, moved.KeepReached(before, all))
	if s := moved.Server("free1"); moved.Gossip(s) != prefix("10.0.0.14/24") {
		t.Errorf("a moved server is heard at %s", moved.Gossip(s))
	}
	silent := before.Clone()
	silent.Server("free1").Base = prefix("10.0.0.91/24")
	must(t, silent.KeepReached(before, func(name string) bool { return name != "free1" }))
	if silent.Server("free1").ReachedAt.IsValid() {
		t.Error("a server that is not heard keeps a base that it may never have had")
	}
	again := moved.Clone()
	again.Server("free1").Base = prefix("10.0.0.92/24")
	if err := again.KeepReached(moved, all); fault.CodeOf(err) != fault.Busy {
		t.Errorf("moved twice: %v", err)
	}
	back := moved.Clone()
	back.Server("free1").Base = prefix("10.0.0.14/24")
	if err := back.KeepReached(moved, all); err != nil || back.Server("free1").ReachedAt.IsValid() {
		t.Errorf("moved back: %v, still reached at %s", err, back.Server("free1").ReachedAt)
	}
}

// An address that is kept is nobody else's, but its server may take it again.
func TestReachedAtIsTaken(t *testing.T) {
	d := mustParse(t, twoLIMs)
	must(t, d.BeginLeave("c1", "", 1))
	d.CompleteLeave(1)
	if err := d.AddServer(Server{Name: "new", Base: prefix("10.0.0.21/24"), Interface: "eth0"}); fault.CodeOf(err) != fault.Refused {
		t.Errorf("another server at the former base: %v", err)
	}
	before := d.Clone()
	must(t, d.AddLIM("c1", 1, "10.0.0.21", 100))
	must(t, d.KeepReached(before, func(string) bool { return true }))
	if s := d.Server("srv1"); s.Base != prefix("10.0.0.21/24") || s.ReachedAt.IsValid() {
		t.Errorf("entered again: base %s, reached at %s", s.Base, s.ReachedAt)
	}
}

func TestMoves(t *testing.T) {
	before := uncreated()
	after := before.Clone()
	create(after)
	after.Server("free1").Base, after.Server("free1").Interface = prefix("10.0.0.91/24"), "eth1"
	after.Server("sb1").Interface = "br0"
	want := []Exchange{{Server: "sb1", Interface: "br0", OldBase: prefix("10.0.0.13/24"), NewBase: prefix("10.0.0.13/24"), Direction: DirectionRename},
		{Server: "free1", Interface: "eth1", OldBase: prefix("10.0.0.14/24"), NewBase: prefix("10.0.0.91/24"), Direction: DirectionMove}}
	if got := Moves(before, after); !slices.Equal(got, want) {
		t.Errorf("moves %+v, want %+v", got, want)
	}
}
