package check

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/failover"
)

func prefix(host int) netip.Prefix { return netip.MustParsePrefix(fmt.Sprintf("10.0.0.%d/24", host)) }

// healthy is a system of two regular servers and a standby, seen from the standby.
func healthy() Input {
	doc := &clusterconf.Document{
		Servers: []clusterconf.Server{
			{Name: "srv1", Base: prefix(21), Interface: "eth0", LIM: 1}, {Name: "srv2", Base: prefix(22), Interface: "eth0", LIM: 2},
			{Name: "sb1", Base: prefix(31), Interface: "eth0", Standby: true},
		},
		Clusters: []clusterconf.Cluster{{Name: "c1", Standby: "sb1", LIMs: []clusterconf.Member{{LIM: 1, Alias: prefix(11)}, {LIM: 2, Alias: prefix(12)}}}},
	}
	in := Input{Document: doc, Observer: "sb1", Now: time.Unix(0, 0), Servers: []string{"srv1", "srv2", "sb1"}, Asked: map[string]Asked{}, Port: 7946}
	for i, s := range doc.Servers {
		f := &Facts{
			Server: s.Name, Version: "1.0", ARP: map[string]int{DropGratuitousARP: 0, ARPIgnore: 2}, Revision: 7, Hash: "sha256:7", Key: "abc", Agent: &Agent{Ready: true, Hears: map[string]string{}}, ClockKept: ptr(true), ARPBudget: 15,
			Link: &Link{Name: "eth0", Up: true, MTU: 1500, Promotes: ptr(true)}, Addresses: []Address{{"eth0", s.Base, true}}, Free: ptr(int64(1) << 40),
			Ports: map[string]Try{}, Segments: map[string]Try{}, Logins: map[string]Try{}, Software: map[int]Try{}, Backups: map[int]int64{},
		}
		for _, o := range doc.Servers {
			if o.Name == s.Name {
				continue
			}
			f.Ports[o.Name], f.Segments[o.Name], f.Agent.Hears[o.Name] = Try{}, Try{}, string(failover.Alive)
			f.Announced = append(f.Announced, o.Name)
			if o.Standby || s.Standby {
				f.Logins[o.Name] = Try{}
			}
		}
		for _, m := range doc.Clusters[0].LIMs {
			if s.Standby || s.LIM == m.LIM {
				f.Software[m.LIM], f.Backups[m.LIM] = Try{}, 1<<30
			}
		}
		if s.LIM != 0 {
			f.Addresses = append(f.Addresses, Address{"eth0", prefix(11 + i), false})
		}
		in.Asked[s.Name] = Asked{Facts: f}
	}
	return in
}

func ptr[T any](v T) *T { return &v }

// notOK lists what a report does not find ok, as VERDICT NAME SERVER.
func notOK(r *Report) (all []string) {
	for _, f := range r.Findings {
		if f.Verdict != OK {
			all = append(all, fmt.Sprintf("%s %s %s", f.Verdict, f.Name, f.Server))
		}
	}
	slices.Sort(all)
	return all
}

func TestAHealthySystemHasNothingButOK(t *testing.T) {
	r := Judge(healthy())
	if bad := notOK(r); len(bad) > 0 || r.Result != OK {
		t.Errorf("%s: %q", r.Result, bad)
	}
	if r.Kind != "CheckReport" || len(r.Findings) < 50 {
		t.Errorf("%s of %d findings", r.Kind, len(r.Findings))
	}
}

func TestEachFaultIsFoundByItsOwnCheckAlone(t *testing.T) {
	for _, tc := range []struct {
		name  string
		plant func(in *Input, f *Facts) // f are those of srv1
		want  []string
	}{
		{"older document", func(_ *Input, f *Facts) { f.Revision, f.Hash = 6, "sha256:6" }, []string{"failed document srv1"}},
		{"another document of the same revision", func(_ *Input, f *Facts) { f.Hash = "sha256:x" }, []string{"failed document srv1"}},
		{"an earlier version", func(_ *Input, f *Facts) { f.Version = "0.9" }, []string{"warning version srv1"}},
		{"gratuitous ARP that is not taken in", func(_ *Input, f *Facts) { f.ARP[DropGratuitousARP] = 1 }, []string{"failed neighbours srv1"}},
		{"ARP that is not answered", func(_ *Input, f *Facts) { f.ARP[ARPIgnore] = 8 }, []string{"failed neighbours srv1"}},
		{"settings of ARP unseen", func(_ *Input, f *Facts) { f.ARP = nil }, []string{"unknown neighbours srv1"}},
		{"another gossip key", func(_ *Input, f *Facts) { f.Key = "def" }, []string{"failed gossip-key srv1"}},
		{"a gossip key that others may read", func(_ *Input, f *Facts) { f.Key, f.KeyProblem = "", "mode 0644" }, []string{"failed gossip-key srv1"}},
		{"no agent", func(_ *Input, f *Facts) { f.Agent, f.AgentSilent = nil, "refused" },
			[]string{"failed agent srv1", "unknown gossip-udp sb1", "unknown gossip-udp srv1", "unknown gossip-udp srv1", "unknown gossip-udp srv2", "unknown witness srv1"}},
		{"an agent that has not settled", func(_ *Input, f *Facts) { f.Agent.Ready = false }, []string{"warning agent srv1"}},
		{"other settings on the disk", func(_ *Input, f *Facts) { f.Agent.Settings = "changed" }, []string{"warning settings srv1"}},
		{"no interface", func(_ *Input, f *Facts) { f.Link = nil },
			[]string{"failed interface srv1"}},
		{"interface down", func(_ *Input, f *Facts) { f.Link.Up = false }, []string{"failed interface srv1"}},
		{"base missing", func(_ *Input, f *Facts) { f.Addresses = f.Addresses[1:] }, []string{"failed base srv1"}},
		{"base on another interface", func(_ *Input, f *Facts) { f.Addresses[0].Interface = "eth1" }, []string{"failed base srv1"}},
		{"base of another length", func(_ *Input, f *Facts) { f.Addresses[0].Prefix = netip.PrefixFrom(prefix(21).Addr(), 32) }, []string{"failed base srv1"}},
		{"base by DHCP", func(_ *Input, f *Facts) { f.Addresses[0].Permanent = false }, []string{"warning base srv1"}},
		{"alias without an end", func(_ *Input, f *Facts) { f.Addresses[1].Permanent = true }, []string{"warning alias srv1"}},
		{"alias of another length", func(_ *Input, f *Facts) { f.Addresses[1].Prefix = netip.PrefixFrom(prefix(11).Addr(), 32) }, []string{"warning alias srv1"}},
		{"alias of another subnet", func(in *Input, f *Facts) {
			in.Document.Clusters[0].LIMs[0].Alias = netip.MustParsePrefix("10.9.0.11/24")
			f.Addresses = f.Addresses[:1]
		}, []string{"failed alias sb1", "failed alias srv1"}},
		{"no promote_secondaries under an alias", func(_ *Input, f *Facts) { f.Link.Promotes = ptr(false) }, []string{"failed promote-secondaries srv1"}},
		{"promote_secondaries unseen", func(_ *Input, f *Facts) { f.Link.Promotes = nil }, []string{"unknown promote-secondaries srv1"}},
		{"no nftables", func(_ *Input, f *Facts) { f.Blocking.Problem = "not supported" }, []string{"failed blocking srv1"}},
		{"nftables not tried", func(_ *Input, f *Facts) { f.Blocking.Unseen = "not permitted" }, []string{"unknown blocking srv1"}},
		{"ifupdown brings the alias up", func(_ *Input, f *Facts) { f.Brings = []Bring{{Alias: prefix(11).Addr(), Where: "interfaces"}} }, []string{"warning network-configuration srv1"}},
		{"a TCP port that is shut", func(_ *Input, f *Facts) { f.Ports["sb1"] = Try{Problem: "timeout"} }, []string{"failed gossip-tcp srv1"}},
		{"datagrams that do not arrive", func(_ *Input, f *Facts) { f.Agent.Hears["sb1"] = string(failover.AgentLost) }, []string{"failed gossip-udp srv1", "unknown witness srv1"}},
		{"a smaller segment", func(_ *Input, f *Facts) { f.Segments["sb1"] = Try{Problem: "small ones alone"} }, []string{"failed segment srv1"}},
		{"no echo", func(_ *Input, f *Facts) { f.Segments["sb1"] = Try{Unseen: "no echo"} }, []string{"unknown segment srv1"}},
		{"gratuitous ARP dropped on the way", func(_ *Input, f *Facts) { f.Announced = []string{"srv2"} }, []string{"failed announcement srv1"}},
		{"nobody can listen", func(_ *Input, f *Facts) { f.Announced, f.Deaf = nil, "not permitted" }, []string{"unknown announcement srv1"}},
		{"no login", func(_ *Input, f *Facts) { f.Logins["sb1"] = Try{Problem: "denied"} }, []string{"failed login srv1"}},
		{"software missing", func(_ *Input, f *Facts) { f.Software[1] = Try{Problem: "no such program"} }, []string{"failed software srv1"}},
		{"no software set", func(_ *Input, f *Facts) { f.Software, f.Unset = nil, []int{1} }, []string{"warning software srv1"}},
		{"a gateway that is silent", func(_ *Input, f *Facts) {
			f.Gateways = []Gateway{{Address: prefix(1).Addr(), Try: Try{Problem: "it does not answer"}}}
		}, []string{"warning witness srv1"}},
		{"full disk", func(_ *Input, f *Facts) { f.Free = ptr(int64(1) << 30) }, []string{"failed disk srv1"}},
		{"disk unseen", func(_ *Input, f *Facts) { f.Free = nil }, []string{"unknown disk srv1"}},
		{"clock far off", func(in *Input, f *Facts) { in.Asked["srv1"] = Asked{Facts: f, Offset: -3 * time.Second} }, []string{"failed clock srv1"}},
		{"clock somewhat off", func(in *Input, f *Facts) { in.Asked["srv1"] = Asked{Facts: f, Offset: 1500 * time.Millisecond} }, []string{"warning clock srv1"}},
		{"no time service", func(_ *Input, f *Facts) { f.ClockKept, f.ClockService = ptr(false), "no time service runs" }, []string{"warning time-service srv1"}},
		{"time service of the host", func(_ *Input, f *Facts) { f.ClockKept = ptr(false) }, []string{"unknown time-service srv1"}},
		{"small ARP budget", func(_ *Input, f *Facts) { f.ARPBudget = 9 }, []string{"warning arp-budget srv1"}},
		{"units missing", func(_ *Input, f *Facts) { f.OwnUser, f.UnitsMissing = "mxcluster", "there is no unit" }, []string{"failed own-user srv1"}},
		{"not asked", func(in *Input, _ *Facts) { in.Asked["srv1"] = Asked{Why: "no login"} },
			[]string{"unknown disk sb1", "unknown facts srv1"}},
		{"addresses unseen", func(_ *Input, f *Facts) { f.Addresses, f.Blind = nil, "not permitted" }, []string{"unknown alias srv1", "unknown base srv1"}},
		{"a slow way", func(in *Input, _ *Facts) { in.Bandwidth = map[string]Bandwidth{"srv1": {To: 100e6, From: 1.7e6}} }, []string{"warning bandwidth sb1"}},
		{"a way that is fast enough", func(in *Input, _ *Facts) { in.Bandwidth = map[string]Bandwidth{"srv1": {To: 100e6, From: 1.8e6}} }, nil},
		{"a way that is too slow to be measured", func(in *Input, _ *Facts) {
			in.Bandwidth = map[string]Bandwidth{"srv1": {Try: Try{Problem: "too slow"}}}
		}, []string{"warning bandwidth sb1"}},
		{"a way that is not measured", func(in *Input, _ *Facts) {
			in.Bandwidth = map[string]Bandwidth{"srv1": {Try: Try{Unseen: "an older version"}}}
		}, []string{"unknown bandwidth sb1"}},
		{"no way to measure", func(in *Input, _ *Facts) { in.Bandwidth = map[string]Bandwidth{} }, []string{"unknown bandwidth sb1"}},
		{"sizes of backups unseen", func(_ *Input, f *Facts) { f.Backups, f.DataProblem = nil, "not permitted" }, []string{"unknown disk sb1", "unknown disk srv1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := healthy()
			tc.plant(&in, in.Asked["srv1"].Facts)
			r := Judge(in)
			slices.Sort(tc.want)
			if got := notOK(r); !slices.Equal(got, tc.want) {
				t.Errorf("found %q, want %q", got, tc.want)
			}
			for _, f := range r.Findings {
				if f.Verdict == Failed && f.Remedy == "" || f.Verdict == OK && f.Remedy != "" || f.Measured == "" || f.Needed == "" {
					t.Errorf("%+v", f)
				}
			}
		})
	}
}

func TestAPairWithoutAGatewayLacksAWitness(t *testing.T) {
	in := healthy()
	in.Document.Servers = slices.Delete(in.Document.Servers, 1, 2)
	in.Document.Clusters[0].LIMs = in.Document.Clusters[0].LIMs[:1]
	in.Servers = []string{"srv1", "sb1"}
	if got, want := notOK(Judge(in)), []string{"warning witness sb1", "warning witness srv1"}; !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
	for _, name := range in.Servers {
		in.Asked[name].Facts.Gateways = []Gateway{{Address: prefix(1).Addr()}}
	}
	if got := notOK(Judge(in)); len(got) > 0 {
		t.Errorf("with a gateway: %q", got)
	}
}
