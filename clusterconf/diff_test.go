package clusterconf

import (
	"slices"
	"testing"
	"time"
)

func TestDiff(t *testing.T) {
	end := time.Date(2026, 3, 1, 14, 0, 0, 0, time.UTC)
	tests := []struct {
		name string
		edit func(d *Document) error
		want []string
	}{
		{"nothing", func(d *Document) error { return nil }, nil},
		{"revision and order only", func(d *Document) error {
			d.Revision, d.Changed.By = 99, "bob"
			slices.Reverse(d.Servers)
			return nil
		}, nil},
		{"system", func(d *Document) error { d.System = "another"; return nil }, []string{"system: 5k2j9x -> another"}},
		{"server added", func(d *Document) error {
			return d.AddServer(Server{Name: "srv3", Base: prefix("10.0.0.15/24"), Interface: "eth2", LIM: 3})
		}, []string{"server srv3 added: LIM 3, base 10.0.0.15/24 on eth2"}},
		{"server removed", func(d *Document) error { return d.RemoveServer("free1") },
			[]string{"server free1 removed: free, base 10.0.0.14/24 on eth0"}},
		{"standby", func(d *Document) error { return d.ToStandby("free1") }, []string{"server free1: use: free -> standby"}},
		{"interface", func(d *Document) error { d.Server("free1").Interface = "bond0"; return nil },
			[]string{"server free1: interface: eth0 -> bond0"}},
		{"services", func(d *Document) error {
			return d.SetServices(1, []Service{{Run: "exec:/a"}, {Run: "exec:/b", RegularOnly: true}})
		},
			[]string{"LIM 1: services: exec:/opt/lim/service, systemd:manager.service (regular only) -> exec:/a, exec:/b (regular only)"}},
		{"software of another LIM", func(d *Document) error { return d.SetGateways(2, []string{"2B", "2A"}) },
			[]string{"LIM 2: gateways: none -> 2A, 2B"}},
		{"no software", func(d *Document) error { return d.SetServices(1, nil) },
			[]string{"LIM 1: services: exec:/opt/lim/service, systemd:manager.service (regular only) -> none"}},
		{"media server", media(1, MediaServerColocated),
			[]string{"LIM 1: media server: none -> colocated, media 10.0.0.11, control 10.0.0.11"}},
		{"cluster deleted", func(d *Document) error { return d.DeleteCluster("c1") }, []string{
			"server srv1: base: 10.0.0.21/24 -> 10.0.0.11/24",
			"server srv2: base: 10.0.0.22/24 -> 10.0.0.12/24",
			"cluster c1 deleted: standby sb1",
			"cluster c1: LIM 1 removed, alias 10.0.0.11/24",
			"cluster c1: LIM 2 removed, alias 10.0.0.12/24",
		}},
		{"LIM removed", func(d *Document) error { return d.RemoveLIM("c1", 2) }, []string{
			"server srv2: base: 10.0.0.22/24 -> 10.0.0.12/24",
			"cluster c1: LIM 2 removed, alias 10.0.0.12/24",
		}},
		{"settings", func(d *Document) error {
			return d.ChangeCluster("c1", ChangeSpec{Fallback: new(FallbackAutomatic), FailoverAfter: new(time.Duration), SplitBrainStop: new(SideStandby), Priorities: map[int]int{2: 5}})
		}, []string{
			"cluster c1: fallback: manual -> automatic",
			"cluster c1: failover after: 300ms -> 10s (default)",
			"cluster c1: split brain stops: regular -> standby",
			"cluster c1: LIM 2: priority: 0 -> 5",
		}},
		{"preloaded, other standby, other alias", func(d *Document) error {
			d.Clusters[0].Failover, d.Clusters[0].Standby, d.Clusters[0].LIMs[0].Alias = FailoverPreloaded, "free1", prefix("10.0.0.91/24")
			return nil
		}, []string{
			"cluster c1: standby: sb1 -> free1",
			"cluster c1: failover: normal -> preloaded",
			"cluster c1: LIM 1: alias: 10.0.0.11/24 -> 10.0.0.91/24",
		}},
		{"lock", func(d *Document) error { return d.LockLIM(1, SideRegular, testTime, "ann", "reboot", &end) },
			[]string{"cluster c1: LIM 1: lock: none -> to regular since 2026-03-01T12:00:00Z until 2026-03-01T14:00:00Z by ann (reboot)"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := mustParse(t, twoLIMs)
			after := before.Clone()
			if err := test.edit(after); err != nil {
				t.Fatal(err)
			}
			if got := Diff(before, after); !slices.Equal(got, test.want) {
				t.Errorf("got\n%q\nwant\n%q", got, test.want)
			}
			if back := Diff(after, before); len(back) != len(test.want) {
				t.Errorf("back: %q", back)
			}
		})
	}
}

func TestDiffOfCreate(t *testing.T) {
	before := uncreated()
	after := uncreated()
	create(after)
	if err := after.LockLIM(2, SideStandby, testTime, "", "", nil); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"server srv1: base: 10.0.0.11/24 -> 10.0.0.21/24",
		"server srv2: base: 10.0.0.12/24 -> 10.0.0.22/24",
		"cluster c1 created: standby sb1, fallback manual, failover normal after 10s, split brain stops regular",
		"cluster c1: LIM 1 added, alias 10.0.0.11/24, priority 100",
		"cluster c1: LIM 2 added, alias 10.0.0.12/24, priority 0",
		"cluster c1: LIM 2: lock: none -> to standby since 2026-03-01T12:00:00Z",
	}
	if got := Diff(before, after); !slices.Equal(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
	if before.Cluster("c1") != nil {
		t.Error("Diff changed its argument")
	}
}

// Whatever is in a document shows when it goes: nothing is left out of Diff.
func TestDiffSeesEveryKey(t *testing.T) {
	d := mustParse(t, full)
	edits := map[string]func(d *Document){
		"media address":   func(d *Document) { d.LIMs[0].MediaServer.Media = addr("10.0.9.9") },
		"control address": func(d *Document) { d.LIMs[0].MediaServer.Control = addr("10.0.9.9") },
		"kind":            func(d *Document) { d.LIMs[0].MediaServer.Kind = MediaServerStandalone },
		"no media server": func(d *Document) { d.LIMs[0].MediaServer = nil },
		"gateway":         func(d *Document) { d.LIMs[0].Gateways[0] = "9" },
		"regular only":    func(d *Document) { d.LIMs[0].Services[1].RegularOnly = false },
		"LIM number":      func(d *Document) { d.Servers[2].LIM = 7 },
		"lock's side":     func(d *Document) { d.Clusters[0].LIMs[0].Lock.To = SideStandby },
		"lock's time":     func(d *Document) { d.Clusters[0].LIMs[0].Lock.Since = testTime },
		"lock's author":   func(d *Document) { d.Clusters[0].LIMs[0].Lock.By = "bob" },
		"lock's reason":   func(d *Document) { d.Clusters[0].LIMs[0].Lock.Reason = "" },
		"lock's end":      func(d *Document) { d.Clusters[0].LIMs[0].Lock.Expires = nil },
		"no lock":         func(d *Document) { d.Clusters[0].LIMs[0].Lock = nil },
		"cluster's name":  func(d *Document) { d.Clusters[0].Name = "c2" },
		"server's name":   func(d *Document) { d.Servers[0].Name = "free2" },
	}
	for name, edit := range edits {
		after := d.Clone()
		edit(after)
		if len(Diff(d, after)) == 0 {
			t.Errorf("%s: no difference", name)
		}
	}
}
