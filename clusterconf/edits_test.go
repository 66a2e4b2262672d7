package clusterconf

import (
	"reflect"
	"testing"
	"time"

	"mxcluster/internal/fault"
)

// editTest is an edit of the system that uncreated returns.
type editTest struct {
	name    string
	before  func(d *Document) // what was done before; may be nil
	edit    func(d *Document) error
	code    fault.Code
	message string
	hint    string
}

// refusals checks that edits fail as they should and leave the document alone.
func refusals(t *testing.T, tests []editTest) {
	t.Helper()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := uncreated()
			if test.before != nil {
				test.before(d)
			}
			before := d.Clone()
			wantFault(t, test.edit(d), test.code, test.message, test.hint)
			if !reflect.DeepEqual(d, before) {
				t.Errorf("the document was changed: %+v", d)
			}
		})
	}
}

// unchanged checks that an edit succeeds and changes nothing.
func unchanged(t *testing.T, d *Document, edit func(d *Document) error) {
	t.Helper()
	before := d.Clone()
	if err := edit(d); err != nil {
		t.Fatal(err)
	}
	if string(Encode(d)) != string(Encode(before)) {
		t.Errorf("the document was changed:\n%s", Encode(d))
	}
}

func mustHold(t *testing.T, d *Document) {
	t.Helper()
	if found := Validate(d); found != nil {
		t.Errorf("rules broken: %+v", found)
	}
}

func TestNew(t *testing.T) {
	d := New("abc", Server{Name: "srv1", Base: prefix("10.0.0.11/24"), Interface: "eth0"})
	mustHold(t, d)
	if d.Revision != 1 || d.System != "abc" || d.Server("srv1").Role() != RoleFree {
		t.Errorf("%+v", d)
	}
}

func TestAddServer(t *testing.T) {
	d := uncreated()
	srv3 := Server{Name: "srv3", Base: prefix("10.0.0.15/24"), Interface: "eth0", LIM: 3}
	if err := d.AddServer(srv3); err != nil {
		t.Fatal(err)
	}
	mustHold(t, d)
	if got := d.RegularOf(3); got == nil || *got != srv3 {
		t.Errorf("got %+v", got)
	}
	unchanged(t, d, func(d *Document) error { return d.AddServer(srv3) })
}

// A script that adds a server and makes it a standby can be run again.
func TestAddServerThatBecameStandby(t *testing.T) {
	unchanged(t, uncreated(), func(d *Document) error {
		return d.AddServer(Server{Name: "sb1", Base: prefix("10.0.0.13/24"), Interface: "eth0"})
	})
}

func TestAddServerRefusals(t *testing.T) {
	add := func(s Server) func(*Document) error {
		return func(d *Document) error { return d.AddServer(s) }
	}
	good := prefix("10.0.0.15/24")
	refusals(t, []editTest{
		{"name", nil, add(Server{Name: "a b", Base: good, Interface: "eth0"}), fault.Usage, `server name "a b" is not valid`, "use letters"},
		{"no address", nil, add(Server{Name: "x", Interface: "eth0"}), fault.Usage, "is not an address with prefix length", "10.0.0.11/24"},
		{"broadcast", nil, add(Server{Name: "x", Base: prefix("10.0.0.255/24"), Interface: "eth0"}), fault.Usage, "base 10.0.0.255/24 of server x is the broadcast address of its subnet", "host"},
		{"loopback", nil, add(Server{Name: "x", Base: prefix("127.0.0.5/8"), Interface: "eth0"}), fault.Usage, "is a loopback address", "10.0.0.11/24"},
		{"no subnet", nil, add(Server{Name: "x", Base: prefix("10.0.0.15/32"), Interface: "eth0"}), fault.Usage, "leaves no room", "10.0.0.11/24"},
		{"network address", nil, add(Server{Name: "x", Base: prefix("10.0.0.0/24"), Interface: "eth0"}), fault.Usage, "is the network address", "10.0.0.11/24"},
		{"broadcast address", nil, add(Server{Name: "x", Base: prefix("10.0.0.255/24"), Interface: "eth0"}), fault.Usage, "is the broadcast address", "10.0.0.11/24"},
		{"interface", nil, add(Server{Name: "x", Base: good, Interface: "eth 0"}), fault.Usage, `"eth 0" is not an interface name`, "eth0"},
		{"LIM", nil, add(Server{Name: "x", Base: good, Interface: "eth0", LIM: 1000}), fault.Usage, "LIM number 1000 is not from 1 to 999", ""},
		{"standby", nil, add(Server{Name: "x", Base: good, Interface: "eth0", Standby: true}), fault.Usage, "cannot be added as a standby", "mxcluster server to-standby x"},
		{"same name", nil, add(Server{Name: "srv1", Base: good, Interface: "eth0"}), fault.Refused, "cannot add server srv1: there is one of that name with base 10.0.0.11/24 on eth0 and LIM 1", "another name"},
		{"same name, free", nil, add(Server{Name: "free1", Base: good, Interface: "eth0"}), fault.Refused, "with base 10.0.0.14/24 on eth0", ""},
		{"base taken", nil, add(Server{Name: "x", Base: prefix("10.0.0.12/24"), Interface: "eth0"}), fault.Refused, "cannot add server x: 10.0.0.12 is the base of srv2", "address of its own"},
		{"alias taken", create, add(Server{Name: "x", Base: prefix("10.0.0.12/24"), Interface: "eth0"}), fault.Refused, "10.0.0.12 is the alias of LIM 2", ""},
		{"LIM taken", nil, add(Server{Name: "x", Base: good, Interface: "eth0", LIM: 2}), fault.Refused, "cannot add server x: LIM 2 is on srv2", "another LIM"},
	})
}

func TestToStandby(t *testing.T) {
	d := uncreated()
	if err := d.ToStandby("free1"); err != nil {
		t.Fatal(err)
	}
	mustHold(t, d)
	if got := d.Server("free1").Role(); got != RoleStandby {
		t.Errorf("role %s", got)
	}
	unchanged(t, d, func(d *Document) error { return d.ToStandby("free1") })
	refusals(t, []editTest{
		{"none", nil, func(d *Document) error { return d.ToStandby("fre1") }, fault.NotFound, `there is no server "fre1"`, "did you mean free1?"},
		{"far from all", nil, func(d *Document) error { return d.ToStandby("zzzzzzzz") }, fault.NotFound, `there is no server "zzzzzzzz"`, "mxcluster server list"},
		{"regular", nil, func(d *Document) error { return d.ToStandby("srv1") }, fault.Refused, "cannot make srv1 a standby: it is the regular server of LIM 1", "free server"},
	})
}

func TestSetServices(t *testing.T) {
	d := uncreated()
	services := []Service{{Run: "exec:/opt/lim/service"}, {Run: "systemd:manager.service", RegularOnly: true}}
	if err := d.SetServices(2, services); err != nil {
		t.Fatal(err)
	}
	mustHold(t, d)
	if got := d.LIM(2); got == nil || !reflect.DeepEqual(got.Services, services) {
		t.Errorf("got %+v", got)
	}
	unchanged(t, d, func(d *Document) error { return d.SetServices(2, services) })
	services[0].Run = "exec:/changed"
	if d.LIM(2).Services[0].Run != "exec:/opt/lim/service" {
		t.Error("the document shares the caller's slice")
	}
	if err := d.SetServices(2, nil); err != nil || d.LIM(2) != nil {
		t.Errorf("entry %+v, error %v", d.LIM(2), err)
	}
	refusals(t, []editTest{
		{"LIM number", nil, func(d *Document) error { return d.SetServices(0, services) }, fault.Usage, "LIM number 0 is not from 1 to 999", ""},
		{"no LIM", nil, func(d *Document) error { return d.SetServices(3, services) }, fault.NotFound, "there is no LIM 3", "the system has LIM 1, 2"},
		{"no LIM at all", func(d *Document) { d.Servers = d.Servers[2:] }, func(d *Document) error { return d.SetServices(3, services) }, fault.NotFound, "there is no LIM 3", "the system has no LIM; add one"},
		{"service", nil, func(d *Document) error { return d.SetServices(1, []Service{{Run: "x"}}) }, fault.Usage, `"x" is not a service`, ServiceSyntax},
	})
}

// both is the cluster that the tests create.
func both() CreateSpec {
	return CreateSpec{Name: "c1", Standby: "sb1", LIMs: []CreateLIM{
		{LIM: 1, NewBase: "10.0.0.21", Priority: 100}, {LIM: 2, NewBase: "10.0.0.22/24", Priority: 0},
	}}
}

// create makes that cluster; for use as editTest.before.
func create(d *Document) {
	if err := d.CreateCluster(both()); err != nil {
		panic(err)
	}
}

// The old base becomes the alias, the new address the base.
func TestCreateClusterExchangesAddresses(t *testing.T) {
	d := uncreated()
	create(d)
	mustHold(t, d)
	want := Cluster{
		Name: "c1", Standby: "sb1", Fallback: FallbackManual, Failover: FailoverNormal, SplitBrainStop: SideRegular,
		LIMs: []Member{{LIM: 1, Alias: prefix("10.0.0.11/24"), Priority: 100}, {LIM: 2, Alias: prefix("10.0.0.12/24"), Priority: 0}},
	}
	if got := *d.Cluster("c1"); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for server, base := range map[string]string{"srv1": "10.0.0.21/24", "srv2": "10.0.0.22/24", "sb1": "10.0.0.13/24", "free1": "10.0.0.14/24"} {
		if got := d.Server(server).Base; got != prefix(base) {
			t.Errorf("base of %s is %s, want %s", server, got, base)
		}
	}
}

func TestCreateClusterSettings(t *testing.T) {
	d, spec := uncreated(), both()
	spec.Fallback, spec.FailoverAfter, spec.SplitBrainStop = FallbackAutomatic, 200*time.Millisecond, SideStandby
	if err := d.CreateCluster(spec); err != nil {
		t.Fatal(err)
	}
	mustHold(t, d)
	c := d.Cluster("c1")
	if c.Fallback != FallbackAutomatic || c.SilenceLimit() != 200*time.Millisecond || c.SplitBrainStop != SideStandby {
		t.Errorf("got %+v", c)
	}
	unchanged(t, d, func(d *Document) error { return d.CreateCluster(spec) })
}

func TestCreateClusterAgain(t *testing.T) {
	d := uncreated()
	create(d)
	spec := both()
	spec.LIMs[0], spec.LIMs[1] = spec.LIMs[1], spec.LIMs[0] // order makes no difference
	unchanged(t, d, func(d *Document) error { return d.CreateCluster(spec) })
	d.Cluster("c1").Failover = FailoverPreloaded // by another command, create does not speak of it
	unchanged(t, d, func(d *Document) error { return d.CreateCluster(spec) })
}

func TestCreateClusterRefusals(t *testing.T) {
	with := func(change func(s *CreateSpec)) func(*Document) error {
		return func(d *Document) error {
			s := both()
			change(&s)
			return d.CreateCluster(s)
		}
	}
	base := func(text string) func(*Document) error {
		return with(func(s *CreateSpec) { s.LIMs[0].NewBase = text })
	}
	refusals(t, []editTest{
		{"name", nil, with(func(s *CreateSpec) { s.Name = "" }), fault.Usage, `cluster name "" is not valid`, "use letters"},
		{"fallback", nil, with(func(s *CreateSpec) { s.Fallback = "auto" }), fault.Usage, `"auto" is not a fallback type`, "manual or automatic"},
		{"split brain", nil, with(func(s *CreateSpec) { s.SplitBrainStop = "none" }), fault.Usage, `"none" is not a side`, "regular or standby"},
		{"failover too early", nil, with(func(s *CreateSpec) { s.FailoverAfter = time.Millisecond }), fault.Usage, "a failover after 1ms is too early, the least is 100ms", "100ms or more"},
		{"negative failover", nil, with(func(s *CreateSpec) { s.FailoverAfter = -time.Second }), fault.Usage, "a failover after -1s", ""},
		{"no LIM", nil, with(func(s *CreateSpec) { s.LIMs = nil }), fault.Usage, "cluster c1 needs a LIM", "--lim N=NEWBASE"},
		{"LIM number", nil, with(func(s *CreateSpec) { s.LIMs[0].LIM = 0 }), fault.Usage, "LIM number 0", ""},
		{"LIM twice", nil, with(func(s *CreateSpec) { s.LIMs[0].LIM = 2 }), fault.Usage, "LIM 2 is given twice", ""},
		{"priority", nil, with(func(s *CreateSpec) { s.LIMs[0].Priority = -1 }), fault.Usage, "the priority of LIM 1 is -1", "lower value"},
		{"eleven LIMs", nil, with(func(s *CreateSpec) {
			for i := 3; i <= 11; i++ {
				s.LIMs = append(s.LIMs, CreateLIM{LIM: i})
			}
		}), fault.Refused, "cannot create cluster c1 of 11 LIMs: a cluster can have 10", "another cluster"},
		{"no such standby", nil, with(func(s *CreateSpec) { s.Standby = "sb2" }), fault.NotFound, `there is no server "sb2"`, "did you mean sb1?"},
		{"free server", nil, with(func(s *CreateSpec) { s.Standby = "free1" }), fault.Refused, "cannot create cluster c1: free1 is not a standby server yet", "mxcluster server to-standby free1"},
		{"regular server", nil, with(func(s *CreateSpec) { s.Standby = "srv1" }), fault.Refused, "srv1 is the regular server of LIM 1", ""},
		{"standby taken", create, with(func(s *CreateSpec) { s.Name = "c2" }), fault.Refused, "cannot create cluster c2: sb1 is the standby of cluster c1", "of its own"},
		{"no such LIM", nil, with(func(s *CreateSpec) { s.LIMs[1].LIM = 3 }), fault.NotFound, "there is no LIM 3", "the system has LIM 1, 2"},
		{"LIM taken", func(d *Document) { create(d); d.Server("free1").Standby = true }, with(func(s *CreateSpec) { s.Name, s.Standby = "c2", "free1" }), fault.Refused, "cannot create cluster c2: LIM 1 is in cluster c1", "one cluster only"},
		{"no address", nil, base("here"), fault.Usage, `"here" is not an address`, "A.B.C.D"},
		{"base kept", nil, base("10.0.0.11"), fault.Refused, "cannot create cluster c1: 10.0.0.11 is the base of srv1 already", "becomes the LIM's alias"},
		{"base of another", nil, base("10.0.0.12"), fault.Refused, "cannot create cluster c1: 10.0.0.12 is the base of srv2", "nothing else has"},
		{"base of the standby", nil, base("10.0.0.13"), fault.Refused, "10.0.0.13 is the base of sb1", ""},
		{"base given twice", nil, base("10.0.0.22"), fault.Refused, "10.0.0.22 is the new base for LIM 1 and for LIM 2", "of its own"},
		{"base in another subnet", nil, base("10.0.1.21/24"), fault.Refused, "the new base 10.0.1.21/24 of srv1 is not in the subnet of 10.0.0.11/24", "10.0.0.0/24"},
		{"base with another length", nil, base("10.0.0.21/25"), fault.Refused, "the new base 10.0.0.21/25 of srv1 is not in the subnet", ""},
		{"standby in another subnet", func(d *Document) { d.Server("sb1").Base = prefix("10.0.1.13/24") }, base("10.0.0.21"), fault.Refused, "srv1 (10.0.0.11/24) and its standby sb1 (10.0.1.13/24) are in different subnets", "one subnet"},
		{"exists with another standby", create, with(func(s *CreateSpec) { s.Standby = "free1" }), fault.Refused, "cluster c1 exists and differs: its standby is sb1", "mxcluster change c1"},
		{"exists with another fallback", create, with(func(s *CreateSpec) { s.Fallback = FallbackAutomatic }), fault.Refused, "its fallback type is manual", ""},
		{"exists with another time", create, with(func(s *CreateSpec) { s.FailoverAfter = time.Second }), fault.Refused, "it fails over after 10s", ""},
		{"exists with another side", create, with(func(s *CreateSpec) { s.SplitBrainStop = SideStandby }), fault.Refused, "at a split brain it stops the regular side", ""},
		{"exists with more LIMs", create, with(func(s *CreateSpec) { s.LIMs = s.LIMs[:1] }), fault.Refused, "it has 2 LIMs", ""},
		{"exists with other LIMs", create, with(func(s *CreateSpec) { s.LIMs[0].LIM = 3 }), fault.Refused, "LIM 3 is not in it", ""},
		{"exists with another base", create, base("10.0.0.23"), fault.Refused, "the base of srv1 is 10.0.0.21/24", ""},
		{"exists, no address", create, base("x"), fault.Usage, `"x" is not an address`, ""},
		{"exists with another priority", create, with(func(s *CreateSpec) { s.LIMs[1].Priority = 5 }), fault.Refused, "the priority of LIM 2 is 0", ""},
	})
}

func TestParseAddress(t *testing.T) {
	like := prefix("10.0.0.11/24")
	for text, want := range map[string]string{"10.0.0.21": "10.0.0.21/24", "10.0.0.21/16": "10.0.0.21/16", "192.168.1.1": "192.168.1.1/24", "2001:db8::99/64": "2001:db8::99/64"} {
		if got, err := ParseAddress(text, like); err != nil || got != prefix(want) {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	for text, message := range map[string]string{
		"": `"" is not an address`, "10.0.0": `"10.0.0" is not an address`, "10.0.0.1/": `"10.0.0.1/" is not an address`,
		"10.0.0.1/33": `"10.0.0.1/33" is not an address`, "010.0.0.1": `"010.0.0.1" is not an address`, "srv1": `"srv1" is not an address`,
		" 10.0.0.1": `" 10.0.0.1" is not an address`,
		"10.0.0.0":  "10.0.0.0 is the network address of its subnet", "10.0.0.255": "10.0.0.255 is the broadcast address of its subnet",
		"224.0.0.1": "224.0.0.1 is a multicast address", "0.0.0.0": "0.0.0.0 is not the address of a host", "::1": "address ::1 is of another family",
		"fe80::1/64": "fe80::1/64 is a link-local address", "ff02::1/64": "ff02::1/64 is a multicast address", "2001:db8::/64": "2001:db8::/64 is the address of the routers",
	} {
		_, err := ParseAddress(text, like)
		wantFault(t, err, fault.Usage, message, "")
	}
	_, err := ParseAddress("10.0.0.1", New("x", Server{}).Servers[0].Base)
	wantFault(t, err, fault.Usage, "address 10.0.0.1 has no prefix length", "10.0.0.1/24")
}
