package clusterconf

import (
	"slices"
	"testing"
	"time"
)

// The six actions of the specification make older data versions of their LIMs
// incompatible; nothing else does.
func TestOutdated(t *testing.T) {
	automatic := FallbackAutomatic
	for _, tc := range []struct {
		name string
		edit func(*Document) error
		want []int
	}{
		{"nothing", func(*Document) error { return nil }, nil},
		{"create", func(d *Document) error {
			return d.CreateCluster(CreateSpec{Name: "c9", Standby: "sb9", LIMs: []CreateLIM{{LIM: 3, NewBase: "10.0.0.26", Priority: 100}}})
		}, []int{3}},
		{"change", func(d *Document) error { return d.ChangeCluster("c1", ChangeSpec{Fallback: &automatic}) }, []int{1, 2}},
		{"priority of one", func(d *Document) error { return d.ChangeCluster("c1", ChangeSpec{Priorities: map[int]int{2: 7}}) }, []int{1, 2}},
		{"add-lim", func(d *Document) error { return d.AddLIM("c1", 3, "10.0.0.26", 100) }, []int{1, 2, 3}},
		{"remove-lim", func(d *Document) error { return d.RemoveLIM("c1", 2) }, []int{1, 2}},
		{"delete", func(d *Document) error { return d.DeleteCluster("c1") }, []int{1, 2}},
		{"preload", func(d *Document) error { d.Cluster("c1").Failover = FailoverPreloaded; return nil }, []int{1, 2}},
		{"lock", func(d *Document) error { return d.LockLIM(1, SideRegular, time.Unix(1, 0), "root", "", nil) }, nil},
		{"server", func(d *Document) error { return d.ToFree("sb9") }, nil},
		{"order of LIMs", func(d *Document) error { slices.Reverse(d.Cluster("c1").LIMs); return nil }, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := outdatedFixture(t)
			after := before.Clone()
			if err := tc.edit(after); err != nil {
				t.Fatal(err)
			}
			if got := Outdated(before, after); !slices.Equal(got, tc.want) {
				t.Errorf("LIMs %v, want %v", got, tc.want)
			}
		})
	}
}

func outdatedFixture(t *testing.T) *Document {
	t.Helper()
	d, err := Parse("test", []byte(`apiVersion: mxcluster/v1
kind: ClusterDocument
system: TESTSYSTEM
revision: 6
changed: {at: 2026-03-01T01:00:00Z}
servers:
  - {name: sb1, base: 10.0.0.13/24, interface: eth0, standby: true}
  - {name: sb9, base: 10.0.0.15/24, interface: eth0, standby: true}
  - {name: srv1, base: 10.0.0.21/24, interface: eth0, lim: 1}
  - {name: srv2, base: 10.0.0.22/24, interface: eth0, lim: 2}
  - {name: srv3, base: 10.0.0.16/24, interface: eth0, lim: 3}
clusters:
  - name: c1
    standby: sb1
    fallback: manual
    failover: normal
    splitBrainStop: regular
    lims:
      - {lim: 1, alias: 10.0.0.11/24, priority: 100}
      - {lim: 2, alias: 10.0.0.12/24, priority: 50}
`))
	if err != nil {
		t.Fatal(err)
	}
	return d
}
