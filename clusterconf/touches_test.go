package clusterconf

import (
	"slices"
	"testing"
)

// What changes a server's address, role or place is told from settings that it takes
// over later, and from its removal.
func TestTouches(t *testing.T) {
	for _, tc := range []struct {
		name   string
		before func(d *Document)
		after  func(d *Document) error
		want   []string
	}{
		{"nothing", nil, func(*Document) error { return nil }, nil},
		{"a lock", nil, func(d *Document) error { return d.LockLIM(1, SideRegular, testTime, "me", "", nil) }, nil},
		{"a drain", nil, func(d *Document) error { return d.DrainServer("srv1", testTime, "me", "", nil, false) }, nil},
		{"a freeze", nil, func(d *Document) error { return d.FreezeCluster("c1", testTime, "me", "", nil) }, nil},
		{"a priority", nil, func(d *Document) error { d.Clusters[0].LIMs[0].Priority++; return nil }, nil},
		{"an interface", nil, func(d *Document) error { return d.SetServer("srv1", "eth7", "") }, []string{"srv1"}},
		{"a role", nil, func(d *Document) error { return d.ToStandby("free1") }, []string{"free1"}},
		{"a LIM that leaves", nil, func(d *Document) error { return d.BeginLeave("c1", "", 1) }, []string{"sb1", "srv1"}},
		{"one whose server is dead", nil, func(d *Document) error { return d.BeginLeave("c1", "srv1", 1) }, []string{"sb1"}},
		{"the end of that", func(d *Document) { _ = d.BeginLeave("c1", "srv1", 1) }, func(d *Document) error { d.CompleteLeave(1); return nil }, []string{"sb1"}},
		{"a former base that goes", func(d *Document) { d.Server("srv1").ReachedAt = prefix("10.0.0.41/24") }, func(d *Document) error { d.SettleBase("srv1"); return nil }, nil},
		{"a removal", nil, func(d *Document) error { return d.RemoveServer("free1") }, nil},
		{"an addition", nil, func(d *Document) error {
			return d.AddServer(Server{Name: "new1", Base: prefix("10.0.0.41/24"), Interface: "eth0"})
		}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := mustParse(t, twoLIMs)
			if tc.before != nil {
				tc.before(before)
			}
			after := before.Clone()
			if err := tc.after(after); err != nil {
				t.Fatal(err)
			}
			if got := Touches(before, after); !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}
