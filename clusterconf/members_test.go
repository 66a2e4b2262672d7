package clusterconf

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"mxcluster/internal/fault"
)

// apply makes an edit and checks that the result keeps the rules and that the
// same edit changes nothing the second time.
func apply(t *testing.T, d *Document, edit func(d *Document) error) {
	t.Helper()
	if err := edit(d); err != nil {
		t.Fatal(err)
	}
	mustHold(t, d)
	unchanged(t, d, edit)
}

// createOne makes cluster c1 of LIM 1 only; for use as editTest.before.
func createOne(d *Document) {
	spec := both()
	spec.LIMs = spec.LIMs[:1]
	if err := d.CreateCluster(spec); err != nil {
		panic(err)
	}
}

// createTwo makes cluster c1 of LIM 1 and cluster c2 of LIM 2.
func createTwo(d *Document) {
	createOne(d)
	d.Server("free1").Standby = true
	if err := d.CreateCluster(CreateSpec{Name: "c2", Standby: "free1", LIMs: []CreateLIM{{LIM: 2, NewBase: "10.0.0.22"}}}); err != nil {
		panic(err)
	}
}

func preload(d *Document) {
	createOne(d)
	if err := d.PreloadCluster("c1"); err != nil {
		panic(err)
	}
}

// fill makes cluster c1 of ten LIMs and gives LIM 11 a server.
func fill(d *Document) {
	createOne(d)
	for lim := 3; lim <= 12; lim++ {
		s := Server{Name: fmt.Sprintf("more%d", lim), Base: prefix(fmt.Sprintf("10.0.0.%d/24", 100+lim)), Interface: "eth0", LIM: lim}
		d.Servers = append(d.Servers, s)
		if lim <= 11 {
			d.Clusters[0].LIMs = append(d.Clusters[0].LIMs, Member{LIM: lim, Alias: prefix(fmt.Sprintf("10.0.0.%d/24", 200+lim))})
		}
	}
}

func TestToFree(t *testing.T) {
	d := uncreated()
	apply(t, d, func(d *Document) error { return d.ToFree("sb1") })
	if got := d.Server("sb1").Role(); got != RoleFree {
		t.Errorf("role %s", got)
	}
	refusals(t, []editTest{
		{"none", nil, func(d *Document) error { return d.ToFree("bs1") }, fault.NotFound, `there is no server "bs1"`, "did you mean sb1?"},
		{"regular", nil, func(d *Document) error { return d.ToFree("srv1") }, fault.Refused, "cannot make srv1 a free server: it is the regular server of LIM 1", "mxcluster server list"},
		{"in use", create, func(d *Document) error { return d.ToFree("sb1") }, fault.Refused, "cannot make sb1 a free server: it is the standby of cluster c1", "mxcluster delete c1"},
	})
}

func TestRemoveServer(t *testing.T) {
	for _, name := range []string{"free1", "sb1", "srv2"} {
		d := uncreated()
		d.LIMs = []LIM{{Number: 1, Gateways: []string{"1A"}}, {Number: 2, Gateways: []string{"2A"}}}
		if err := d.RemoveServer(name); err != nil {
			t.Fatal(err)
		}
		mustHold(t, d)
		if d.Server(name) != nil || len(d.Servers) != 3 {
			t.Errorf("servers %+v", d.Servers)
		}
		if d.LIM(1) == nil || (d.LIM(2) == nil) != (name == "srv2") {
			t.Errorf("without %s the LIMs are %+v", name, d.LIMs)
		}
	}
	remove := func(name string) func(*Document) error {
		return func(d *Document) error { return d.RemoveServer(name) }
	}
	refusals(t, []editTest{
		{"none", nil, remove("srv3"), fault.NotFound, `there is no server "srv3"`, "did you mean srv1?"},
		{"standby in use", create, remove("sb1"), fault.Refused, "cannot remove server sb1: it is the standby of cluster c1", "mxcluster delete c1"},
		{"regular in use", create, remove("srv2"), fault.Refused, "cannot remove server srv2: it is the regular server of LIM 2 in cluster c1", "mxcluster remove-lim c1 2"},
		{"last", func(d *Document) { d.Servers = d.Servers[:1] }, remove("srv1"), fault.Refused, "cannot remove server srv1: it is the only one", "mxcluster server add"},
	})
}

func TestChangeCluster(t *testing.T) {
	d := uncreated()
	create(d)
	apply(t, d, func(d *Document) error {
		return d.ChangeCluster("c1", ChangeSpec{
			Fallback: new(FallbackAutomatic), Priorities: map[int]int{2: 50},
			FailoverAfter: new(200 * time.Millisecond), SplitBrainStop: new(SideStandby),
		})
	})
	c := d.Cluster("c1")
	if c.Fallback != FallbackAutomatic || c.SplitBrainStop != SideStandby || c.SilenceLimit() != 200*time.Millisecond ||
		c.Member(1).Priority != 100 || c.Member(2).Priority != 50 {
		t.Errorf("got %+v", c)
	}
	// What is not named stays, and 0 is the default again.
	apply(t, d, func(d *Document) error { return d.ChangeCluster("c1", ChangeSpec{FailoverAfter: new(time.Duration)}) })
	if c := d.Cluster("c1"); c.Fallback != FallbackAutomatic || c.SilenceLimit() != DefaultFailoverAfter {
		t.Errorf("got %+v", c)
	}
}

func TestChangeClusterRefusals(t *testing.T) {
	change := func(s ChangeSpec) func(*Document) error {
		return func(d *Document) error { return d.ChangeCluster("c1", s) }
	}
	refusals(t, []editTest{
		{"nothing", create, change(ChangeSpec{}), fault.Usage, "nothing is to be changed of cluster c1", "--fallback"},
		{"fallback", create, change(ChangeSpec{Fallback: new(FallbackType("auto"))}), fault.Usage, `"auto" is not a fallback type`, "manual or automatic"},
		{"side", create, change(ChangeSpec{SplitBrainStop: new(Side("both"))}), fault.Usage, `"both" is not a side`, "regular or standby"},
		{"too early", create, change(ChangeSpec{FailoverAfter: new(99 * time.Millisecond)}), fault.Usage, "a failover after 99ms is too early, the least is 100ms", "100ms or more"},
		{"LIM number", create, change(ChangeSpec{Priorities: map[int]int{0: 1}}), fault.Usage, "LIM number 0 is not from 1 to 999", ""},
		{"priority", create, change(ChangeSpec{Priorities: map[int]int{1: -1}}), fault.Usage, "the priority of LIM 1 is -1", "lower value"},
		{"no such cluster", create, func(d *Document) error { return d.ChangeCluster("c2", ChangeSpec{Priorities: map[int]int{1: 1}}) }, fault.NotFound, `there is no cluster "c2"`, "did you mean c1?"},
		{"no cluster at all", nil, change(ChangeSpec{Priorities: map[int]int{1: 1}}), fault.NotFound, `there is no cluster "c1"`, "mxcluster list"},
		{"no such LIM", create, change(ChangeSpec{Priorities: map[int]int{1: 5, 3: 5}}), fault.NotFound, "there is no LIM 3", "the system has LIM 1, 2"},
		{"LIM of no cluster", createOne, change(ChangeSpec{Priorities: map[int]int{1: 5, 2: 5}}), fault.Refused, "cannot change the priority of LIM 2 in cluster c1: it is in no cluster", "cluster c1 has LIM 1"},
		{"LIM of another cluster", createTwo, change(ChangeSpec{Priorities: map[int]int{2: 5}}), fault.Refused, "LIM 2 in cluster c1: it is in cluster c2", ""},
	})
}

func TestPreloadCluster(t *testing.T) {
	d := uncreated()
	createOne(d)
	apply(t, d, func(d *Document) error { return d.PreloadCluster("c1") })
	if c := d.Cluster("c1"); c.Failover != FailoverPreloaded || c.SilenceLimit() != DefaultFailoverAfterPreloaded {
		t.Errorf("got %+v", c)
	}
	refusals(t, []editTest{
		{"none", create, func(d *Document) error { return d.PreloadCluster("C1") }, fault.NotFound, `there is no cluster "C1"`, "did you mean c1?"},
		{"two LIMs", create, func(d *Document) error { return d.PreloadCluster("c1") }, fault.Refused, "cannot preload cluster c1: it has 2 LIMs, a preloaded cluster has one", "mxcluster remove-lim"},
	})
}

func TestAddLIM(t *testing.T) {
	d := uncreated()
	createOne(d)
	apply(t, d, func(d *Document) error { return d.AddLIM("c1", 2, "10.0.0.22", 7) })
	if got, want := *d.Cluster("c1").Member(2), (Member{LIM: 2, Alias: prefix("10.0.0.12/24"), Priority: 7}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := d.Server("srv2").Base; got != prefix("10.0.0.22/24") {
		t.Errorf("base %s", got)
	}
}

func TestAddLIMRefusals(t *testing.T) {
	add := func(cluster string, lim int, base string, priority int) func(*Document) error {
		return func(d *Document) error { return d.AddLIM(cluster, lim, base, priority) }
	}
	colocated := func(d *Document) {
		createOne(d)
		d.LIMs = []LIM{{Number: 2, MediaServer: &MediaServer{MediaServerColocated, addr("10.0.0.12"), addr("10.0.9.9"), ""}}}
	}
	standalone := func(d *Document) {
		createOne(d)
		d.LIMs = []LIM{{Number: 1, MediaServer: &MediaServer{MediaServerStandalone, addr("10.0.0.99"), addr("10.0.0.22"), ""}}}
	}
	refusals(t, []editTest{
		{"LIM number", createOne, add("c1", 1000, "10.0.0.22", 0), fault.Usage, "LIM number 1000 is not from 1 to 999", ""},
		{"priority", createOne, add("c1", 2, "10.0.0.22", -1), fault.Usage, "the priority of LIM 2 is -1", ""},
		{"no such cluster", createOne, add("c11", 2, "10.0.0.22", 0), fault.NotFound, `there is no cluster "c11"`, "did you mean c1?"},
		{"no such LIM", createOne, add("c1", 3, "10.0.0.22", 0), fault.NotFound, "there is no LIM 3", "the system has LIM 1, 2"},
		{"preloaded", preload, add("c1", 2, "10.0.0.22", 0), fault.Refused, "cannot add LIM 2 to cluster c1: it is preloaded and can have one LIM", "mxcluster delete c1"},
		{"the eleventh", fill, add("c1", 12, "10.0.0.90", 0), fault.Refused, "cannot add LIM 12 to cluster c1: it has 10 LIMs already, a cluster can have 10", "another cluster"},
		{"elsewhere", createTwo, add("c1", 2, "10.0.0.32", 0), fault.Refused, "cannot add LIM 2 to cluster c1: LIM 2 is in cluster c2", "one cluster only"},
		{"no address", createOne, add("c1", 2, "x", 0), fault.Usage, `"x" is not an address`, "A.B.C.D"},
		{"base kept", createOne, add("c1", 2, "10.0.0.12", 0), fault.Refused, "10.0.0.12 is the base of srv2 already", "becomes the LIM's alias"},
		{"base is an alias", createOne, add("c1", 2, "10.0.0.11", 0), fault.Refused, "cannot add LIM 2 to cluster c1: 10.0.0.11 is the alias of LIM 1", "nothing else has"},
		{"base of a media server", standalone, add("c1", 2, "10.0.0.22", 0), fault.Refused, "10.0.0.22 is the control address of the media server of LIM 1", ""},
		{"base in another subnet", createOne, add("c1", 2, "10.0.1.22", 0), fault.Refused, "the new base 10.0.1.22/24 of srv2 is not in the subnet", "10.0.0.0/24"},
		{"server in another subnet", func(d *Document) { createOne(d); d.Server("srv2").Base = prefix("10.0.1.12/24") }, add("c1", 2, "10.0.1.22", 0), fault.Refused, "are in different subnets", "one subnet"},
		{"media server elsewhere", colocated, add("c1", 2, "10.0.0.22", 0), fault.Refused, "cannot add LIM 2 to cluster c1: the control address of the co-located media server of LIM 2 is 10.0.9.9, not 10.0.0.12, which will be its alias", "mxcluster lim set 2 --media-server colocated --media-address 10.0.0.12 --control-address 10.0.0.12"},
		{"is in with another base", create, add("c1", 2, "10.0.0.32", 0), fault.Refused, "LIM 2 is in cluster c1 and differs: the base of srv2 is 10.0.0.22/24", "mxcluster remove-lim"},
		{"is in with another priority", create, add("c1", 2, "10.0.0.22", 9), fault.Refused, "differs: the priority of LIM 2 is 0", "mxcluster change c1"},
		{"is in, no address", create, add("c1", 2, "", 0), fault.Usage, `"" is not an address`, ""},
	})
}

func TestRemoveLIM(t *testing.T) {
	d := uncreated()
	create(d)
	apply(t, d, func(d *Document) error { return d.RemoveLIM("c1", 2) })
	if c := d.Cluster("c1"); c.Member(2) != nil || c.Member(1) == nil {
		t.Errorf("got %+v", c)
	}
	if got := d.Server("srv2").Base; got != prefix("10.0.0.12/24") {
		t.Errorf("base %s", got)
	}
	// With its last LIM the cluster goes, and all is as before create.
	if err := d.RemoveLIM("c1", 1); err != nil {
		t.Fatal(err)
	}
	if got, want := string(Encode(d)), string(Encode(uncreated())); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	remove := func(cluster string, lim int) func(*Document) error {
		return func(d *Document) error { return d.RemoveLIM(cluster, lim) }
	}
	refusals(t, []editTest{
		{"LIM number", create, remove("c1", 0), fault.Usage, "LIM number 0", ""},
		{"no such cluster", create, remove("x1", 1), fault.NotFound, `there is no cluster "x1"`, "did you mean c1?"},
		{"no such LIM", create, remove("c1", 3), fault.NotFound, "there is no LIM 3", "LIM 1, 2"},
		{"elsewhere", createTwo, remove("c1", 2), fault.Refused, "cannot remove LIM 2 in cluster c1: it is in cluster c2", "cluster c1 has LIM 1"},
	})
}

func TestDeleteCluster(t *testing.T) {
	for name, before := range map[string]func(*Document){"two LIMs": create, "preloaded": preload} {
		t.Run(name, func(t *testing.T) {
			d := uncreated()
			before(d)
			if err := d.DeleteCluster("c1"); err != nil {
				t.Fatal(err)
			}
			if got, want := string(Encode(d)), string(Encode(uncreated())); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
	d := uncreated()
	createTwo(d)
	if err := d.DeleteCluster("c1"); err != nil {
		t.Fatal(err)
	}
	mustHold(t, d)
	if d.Cluster("c1") != nil || d.Cluster("c2") == nil || d.Server("srv2").Base != prefix("10.0.0.22/24") {
		t.Errorf("got %+v", d)
	}
	refusals(t, []editTest{
		{"none", create, func(d *Document) error { return d.DeleteCluster("c2") }, fault.NotFound, `there is no cluster "c2"`, "did you mean c1?"},
	})
}

// Every pair of states has a way out: whatever create did, the commands of the
// specification's "Remove a Cluster" bring back.
func TestEditsLeadBack(t *testing.T) {
	d := uncreated()
	steps := []func(d *Document) error{
		func(d *Document) error { return d.ToStandby("free1") },
		func(d *Document) error { return d.CreateCluster(both()) },
		func(d *Document) error { return d.RemoveLIM("c1", 2) },
		func(d *Document) error { return d.LockLIM(1, SideRegular, testTime, "ann", "", nil) },
		func(d *Document) error { return d.PreloadCluster("c1") },
		func(d *Document) error {
			return d.CreateCluster(CreateSpec{Name: "c2", Standby: "free1", LIMs: []CreateLIM{{LIM: 2, NewBase: "10.0.0.22"}}})
		},
		func(d *Document) error { return d.DeleteCluster("c1") },
		func(d *Document) error { return d.AddLIM("c2", 1, "10.0.0.21", 0) },
		func(d *Document) error { return d.DeleteCluster("c2") },
		func(d *Document) error { return d.ToFree("free1") },
	}
	for i, step := range steps {
		if err := step(d); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		mustHold(t, d)
	}
	if got, want := string(Encode(d)), string(Encode(uncreated())); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, name := range []string{"sb1", "free1", "srv2"} {
		if err := d.RemoveServer(name); err != nil {
			t.Error(err)
		}
	}
	if !slices.Equal(d.serverNames(), []string{"srv1"}) {
		t.Errorf("servers %v", d.serverNames())
	}
}
