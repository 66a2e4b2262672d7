package clusterconf_test

import (
	"slices"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/clusterconf/clusterconftest"
)

// The six actions of the specification make older data versions of their LIMs
// incompatible; nothing else does.
func TestOutdated(t *testing.T) {
	automatic := clusterconf.FallbackAutomatic
	for _, tc := range []struct {
		name string
		edit func(*clusterconf.Document) error
		want []int
	}{
		{"nothing", func(*clusterconf.Document) error { return nil }, nil},
		{"create", func(d *clusterconf.Document) error {
			return d.CreateCluster(clusterconf.CreateSpec{Name: "c9", Standby: "sb2", LIMs: []clusterconf.CreateLIM{{LIM: 3, NewBase: "10.0.0.26", Priority: 100}}})
		}, []int{3}},
		{"change", func(d *clusterconf.Document) error {
			return d.ChangeCluster("c1", clusterconf.ChangeSpec{Fallback: &automatic})
		}, []int{1, 2}},
		{"priority of one", func(d *clusterconf.Document) error {
			return d.ChangeCluster("c1", clusterconf.ChangeSpec{Priorities: map[int]int{2: 7}})
		}, []int{1, 2}},
		{"add-lim", func(d *clusterconf.Document) error { return d.AddLIM("c1", 3, "10.0.0.26", 100) }, []int{1, 2, 3}},
		{"remove-lim", func(d *clusterconf.Document) error { return d.RemoveLIM("c1", 2) }, []int{1, 2}},
		{"delete", func(d *clusterconf.Document) error { return d.DeleteCluster("c1") }, []int{1, 2}},
		{"preload", func(d *clusterconf.Document) error {
			d.Cluster("c1").Failover = clusterconf.FailoverPreloaded
			return nil
		}, []int{1, 2}},
		{"lock", func(d *clusterconf.Document) error {
			return d.LockLIM(1, clusterconf.SideRegular, time.Unix(1, 0), "root", "", nil)
		}, nil},
		{"server", func(d *clusterconf.Document) error { return d.ToFree("sb2") }, nil},
		{"order of LIMs", func(d *clusterconf.Document) error { slices.Reverse(d.Cluster("c1").LIMs); return nil }, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before, err := clusterconf.Parse("test", []byte(clusterconftest.OneCluster))
			if err != nil {
				t.Fatal(err)
			}
			after := before.Clone()
			if err := tc.edit(after); err != nil {
				t.Fatal(err)
			}
			if got := clusterconf.Outdated(before, after); !slices.Equal(got, tc.want) {
				t.Errorf("LIMs %v, want %v", got, tc.want)
			}
		})
	}
}
