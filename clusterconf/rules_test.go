package clusterconf

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

type ruleTest struct {
	rule, name string
	breaks     func(d *Document)
	path       string
	message    string
}

// managed is a management system that is redundant.
func managed(address string) *Management {
	return &Management{Address: netip.MustParsePrefix(address), ReplicationUser: "mxone_replication", Fallback: FallbackManual}
}

// ruleTests breaks every rule in every way it can be broken, each on its own.
var ruleTests = []ruleTest{
	{"revision", "none", func(d *Document) { d.Revision = 0 }, "revision", "revision must be from 1"},
	{"revision", "beyond JSON", func(d *Document) { d.Revision = 1<<53 + 1 }, "revision", "revision must be from 1"},
	{"level", "beyond this version", func(d *Document) { d.Level = 99 }, "level", "the document is of level 99; this version of mxcluster reads it up to level 2"},
	{"level", "negative", func(d *Document) { d.Level = -1 }, "level", "level must be at least 1"},
	{"system", "empty", func(d *Document) { d.System = "" }, "system", `system identity "" is not valid`},
	{"change-text", "two lines", func(d *Document) { d.Changed.Reason = "a\nb" }, "changed.reason", "the change's reason must be one line"},
	{"change-text", "not UTF-8", func(d *Document) { d.Changed.By = "\xff" }, "changed.by", "the change's by must be one line"},
	{"change-text", "long", func(d *Document) { d.Changed.Command = strings.Repeat("x", 1025) }, "changed.command", "at most 1024 bytes"},
	{"lineage", "no mark", func(d *Document) { d.Ancestors = []string{"r5-abc"} }, "ancestors[0]", `"r5-abc" is no mark of a document`},
	{"lineage", "many", func(d *Document) { d.Ancestors = slices.Repeat([]string{Freeze(d).Mark()}, 65) }, "ancestors", "there are 65 ancestors"},
	{"lineage", "editor", func(d *Document) { d.Editor = "a b" }, "editor", `editor "a b" is no server's name`},
	{"lineage", "epoch", func(d *Document) { d.Epoch = 1 << 60 }, "epoch", "epoch must be at most"},
	{"has-server", "none", func(d *Document) { d.Servers = nil }, "servers", "the system has no server"},
	{"server-name", "empty", func(d *Document) { d.Servers[0].Name = "" }, "servers[0].name", `server name "" is not valid`},
	{"server-name", "space", func(d *Document) { d.Servers[0].Name = "a b" }, "servers[0].name", `"a b"`},
	{"server-name", "hyphen first", func(d *Document) { d.Servers[0].Name = "-a" }, "servers[0].name", `"-a"`},
	{"server-name", "not ASCII", func(d *Document) { d.Servers[0].Name = "ä" }, "servers[0].name", `"ä"`},
	{"server-name", "64 letters", func(d *Document) { d.Servers[0].Name = strings.Repeat("a", 64) }, "servers[0].name", "aaaa"},
	{"server-once", "twice", func(d *Document) { d.Servers[0].Name = "srv2" }, "servers[3].name", "there are two servers named srv2"},
	{"interface", "empty", func(d *Document) { d.Servers[0].Interface = "" }, "servers[0].interface", `"" is not an interface name`},
	{"interface", "path", func(d *Document) { d.Servers[0].Interface = "a/b" }, "servers[0].interface", `"a/b"`},
	{"interface", "long", func(d *Document) { d.Servers[0].Interface = strings.Repeat("x", 128) }, "servers[0].interface", `xxx"`},
	{"server-role", "LIM and standby", func(d *Document) { d.Server("sb1").LIM = 3 }, "servers[1].standby", "sb1 has LIM 3 and is marked as standby"},
	{"lim-number", "server's too large", func(d *Document) { d.Servers[0].LIM = 1000 }, "servers[0].lim", "LIM number 1000 is not from 1 to 999"},
	{"lim-number", "server's negative", func(d *Document) { d.Servers[0].LIM = -1 }, "servers[0].lim", "LIM number -1"},
	{"lim-number", "entry's zero", func(d *Document) { d.LIMs[0].Number = 0 }, "lims[0].lim", "LIM number 0"},
	{"lim-number", "member's zero", func(d *Document) { d.Clusters[0].LIMs[1].LIM = 0 }, "clusters[0].lims[1].lim", "LIM number 0"},
	{"lim-one-server", "two servers", func(d *Document) { d.Servers[0].LIM = 2 }, "servers[3].lim", "LIM 2 is on free1 and on srv2"},
	{"lim-once", "two entries", func(d *Document) { d.LIMs = append(d.LIMs, LIM{Number: 1}) }, "lims[1].lim", "there are two entries for LIM 1"},
	{"lim-server", "no server", func(d *Document) { d.LIMs[0].Number = 3 }, "lims[0].lim", "LIM 3 is on no server"},
	{"service", "no kind", func(d *Document) { d.LIMs[0].Services[1].Run = "/bin/x" }, "lims[0].services[1].run", `"/bin/x" is not a service`},
	{"address", "none", func(d *Document) { d.Servers[0].Base = netip.Prefix{} }, "servers[0].base", "is not an address with prefix length"},
	{"address", "network", func(d *Document) { d.Servers[0].Base = prefix("10.0.0.0/24") }, "servers[0].base", "the base of free1, 10.0.0.0/24, is the network address of its subnet"},
	{"address", "broadcast", func(d *Document) { d.Clusters[0].LIMs[0].Alias = prefix("10.0.0.255/24") }, "clusters[0].lims[0].alias", "the alias of LIM 1, 10.0.0.255/24, is the broadcast address"},
	{"address-once", "base and base", func(d *Document) { d.Servers[0].Base = prefix("10.0.0.21/24") }, "servers[2].base", "10.0.0.21 is the base of free1 and the base of srv1"},
	{"address-once", "a server without a name", func(d *Document) { d.Servers[0].Name, d.Servers[0].Base = "", prefix("10.0.0.21/24") }, "servers[2].base", "10.0.0.21 is the base of servers[0] and the base of srv1"},
	{"address-once", "base and alias", func(d *Document) { d.Servers[0].Base = prefix("10.0.0.11/8") }, "clusters[0].lims[0].alias", "10.0.0.11 is the base of free1 and the alias of LIM 1"},
	{"cluster-name", "slash", func(d *Document) { d.Clusters[0].Name = "a/b" }, "clusters[0].name", `cluster name "a/b" is not valid`},
	{"cluster-once", "twice", func(d *Document) { d.Clusters = append(d.Clusters, d.Clusters[0]) }, "clusters[1].name", "there are two clusters named c1"},
	{"cluster-size", "none", func(d *Document) { d.Clusters[0].LIMs = nil }, "clusters[0].lims", "cluster c1 has no LIM"},
	{"cluster-size", "eleven", func(d *Document) { d.Clusters[0].LIMs = make([]Member, 11) }, "clusters[0].lims", "cluster c1 has 11 LIMs, a cluster can have 10"},
	{"cluster-count", "three of two LIMs", func(d *Document) { d.Clusters = append(d.Clusters, Cluster{}, Cluster{}) }, "clusters", "there are 3 clusters but 2 LIMs"},
	{"cluster-count", "three of two LIMs and three servers without", func(d *Document) {
		d.Servers = append(d.Servers, Server{Name: "free2", Base: prefix("10.0.0.99/24"), Interface: "eth0"})
		d.Clusters = append(d.Clusters, Cluster{}, Cluster{})
	}, "clusters", "there are 3 clusters but 2 LIMs"},
	{"standby", "no such server", func(d *Document) { d.Clusters[0].Standby = "sb" }, "clusters[0].standby", `the standby of cluster c1, "sb", is not a server of the system`},
	{"standby", "regular", func(d *Document) { d.Clusters[0].Standby = "srv1" }, "clusters[0].standby", "srv1 cannot be the standby of cluster c1: it is a regular server"},
	{"standby", "free", func(d *Document) { d.Clusters[0].Standby = "free1" }, "clusters[0].standby", "it is a free server"},
	{"standby-one-cluster", "two clusters", func(d *Document) { d.Clusters = append(d.Clusters, Cluster{Name: "c2", Standby: "sb1"}) }, "clusters[1].standby", "sb1 is the standby of cluster c1 and of cluster c2"},
	{"member-server", "no server", func(d *Document) { d.Clusters[0].LIMs[1].LIM = 3 }, "clusters[0].lims[1].lim", "LIM 3 of cluster c1 is on no server"},
	{"lim-one-cluster", "two clusters", func(d *Document) {
		d.Clusters = append(d.Clusters, Cluster{Name: "c2", LIMs: []Member{{LIM: 2}}})
	}, "clusters[1].lims[0].lim", "LIM 2 is in cluster c1 and again in cluster c2"},
	{"lim-one-cluster", "twice in one", func(d *Document) { d.Clusters[0].LIMs[1].LIM = 1 }, "clusters[0].lims[1].lim", "LIM 1 is in cluster c1 and again in cluster c1"},
	{"same-subnet", "alias", func(d *Document) { d.Clusters[0].LIMs[1].Alias = prefix("10.0.1.12/24") }, "clusters[0].lims[1].alias", "the alias of LIM 2, 10.0.1.12/24, is not in 10.0.0.0/24, the subnet of standby sb1"},
	{"same-subnet", "base", func(d *Document) { d.Server("srv2").Base = prefix("10.0.1.12/24") }, "servers[3].base", "the base of srv2, 10.0.1.12/24, is not in 10.0.0.0/24"},
	{"one-family", "IPv6", func(d *Document) { d.Server("srv2").Base = prefix("2001:db8::22/64") }, "servers[3].base", "the base of srv2 is IPv6, that of "},
	{"same-subnet", "length", func(d *Document) { d.Server("srv2").Base = prefix("10.0.0.22/25") }, "servers[3].base", "the base of srv2, 10.0.0.22/25, is not in 10.0.0.0/24"},
	{"choice", "fallback", func(d *Document) { d.Clusters[0].Fallback = "never" }, "clusters[0].fallback", `fallback must be manual or automatic, not "never"`},
	{"choice", "failover", func(d *Document) { d.Clusters[0].Failover = "" }, "clusters[0].failover", `failover must be normal or preloaded, not ""`},
	{"choice", "split brain", func(d *Document) { d.Clusters[0].SplitBrainStop = "both" }, "clusters[0].splitBrainStop", `splitBrainStop must be regular or standby, not "both"`},
	{"failover-after", "too short", func(d *Document) { d.Clusters[0].FailoverAfter = Duration(99 * time.Millisecond) }, "clusters[0].failoverAfter", "is 99ms, the least is 100ms"},
	{"failover-after", "negative", func(d *Document) { d.Clusters[0].FailoverAfter = -1 }, "clusters[0].failoverAfter", "is -1ns"},
	{"priority", "negative", func(d *Document) { d.Clusters[0].LIMs[0].Priority = -1 }, "clusters[0].lims[0].priority", "the priority of LIM 1 is -1"},
	{"management", "alias", func(d *Document) { d.Management = managed("10.0.0.11/24") }, "management.address", "10.0.0.11 is the virtual address of the management system and the alias of LIM 1"},
	{"management", "base", func(d *Document) { d.Management = managed("10.0.0.22/24") }, "management.address", "and the base of srv2"},
	{"management", "network", func(d *Document) { d.Management = managed("10.0.0.0/24") }, "management.address", "is the network address"},
	{"management", "role", func(d *Document) {
		d.Management = managed("10.0.0.40/24")
		d.Management.ReplicationUser = "postgres"
	}, "management.replicationUser", "cannot be the name of the replication role"},
	{"management", "fallback", func(d *Document) {
		d.Management = managed("10.0.0.40/24")
		d.Management.Fallback = ""
	}, "management.fallback", "fallback must be manual or automatic"},
	{"management-pair", "subnet", func(d *Document) { d.Management = managed("10.0.9.40/24") }, "management.address", "is not in 10.0.0.0/24, the subnet of"},
	{"management-pair", "no cluster", func(d *Document) {
		d.Management = managed("10.0.0.40/24")
		d.Clusters[0].LIMs = d.Clusters[0].LIMs[1:]
	}, "management", "redundant only while LIM 1 is in a cluster"},
	{"management-service", "PostgreSQL", func(d *Document) {
		d.Management = managed("10.0.0.40/24")
		d.LIMs[0].Services[0].Run = "systemd:postgresql@15-main"
	}, "lims[0].services[0].run", "belongs to the management system"},
	{"media-server", "no address", func(d *Document) {
		d.LIMs[0].MediaServer = &MediaServer{Kind: MediaServerStandalone, Media: addr("10.0.9.1")}
	}, "lims[0].mediaServer.control", "the control address of the media server of LIM 1, invalid IP, is not an address"},
	{"media-server", "multicast", func(d *Document) {
		d.LIMs[0].MediaServer = &MediaServer{MediaServerStandalone, addr("224.0.0.1"), addr("10.0.9.1"), ""}
	}, "lims[0].mediaServer.media", "the media address of the media server of LIM 1, 224.0.0.1, is a multicast address"},
	{"media-server-alias", "base instead", func(d *Document) {
		d.LIMs[0].MediaServer = &MediaServer{MediaServerColocated, addr("10.0.0.11"), addr("10.0.0.21"), ""}
	}, "lims[0].mediaServer.control", "the control address of the co-located media server of LIM 1 is 10.0.0.21, not the LIM's alias 10.0.0.11"},
	{"media-server-apart", "the alias", func(d *Document) {
		d.LIMs[0].MediaServer = &MediaServer{MediaServerStandalone, addr("10.0.0.11"), addr("10.0.9.1"), ""}
	}, "lims[0].mediaServer.media", "the media address of the stand-alone media server of LIM 1, 10.0.0.11, is the alias of LIM 1"},
	{"media-server-apart", "a base", func(d *Document) {
		d.LIMs[0].MediaServer = &MediaServer{MediaServerStandalone, addr("10.0.9.1"), addr("10.0.0.14"), ""}
	}, "lims[0].mediaServer.control", "10.0.0.14, is the base of free1"},
	{"choice", "kind of media server", func(d *Document) { d.LIMs[0].MediaServer = &MediaServer{Kind: MediaServerNone} }, "lims[0].mediaServer.kind", `kind must be colocated or standalone, not "none"`},
	{"gateway", "space", func(d *Document) { d.LIMs[0].Gateways = []string{"1A", "1 B"} }, "lims[0].gateways[1]", `gateway identity "1 B" is not valid`},
	{"gateway", "twice", func(d *Document) { d.LIMs[0].Gateways = []string{"1A", "1B", "1A"} }, "lims[0].gateways[2]", "gateway 1A of LIM 1 is given twice"},
	{"check", "no program", func(d *Document) { d.LIMs[0].Checks = []string{"systemd:x"} }, "lims[0].checks[0]", `"systemd:x" is not a check`},
	{"check", "twice", func(d *Document) { d.LIMs[0].Checks = []string{"exec:/x", "exec:/x"} }, "lims[0].checks[1]", `check exec:/x of LIM 1 is given twice`},
	{"prompts", "relative", func(d *Document) { d.LIMs[0].Prompts = "prompts" }, "lims[0].prompts", `folder of announcement prompts of LIM 1: "prompts" is not a full path`},
	{"choice", "lock", func(d *Document) { d.Clusters[0].LIMs[1].Lock = &Lock{To: "here", Since: testTime} }, "clusters[0].lims[1].lock.to", `to must be regular or standby, not "here"`},
	{"lock-time", "no beginning", func(d *Document) { d.Clusters[0].LIMs[1].Lock = &Lock{To: SideRegular} }, "clusters[0].lims[1].lock.since", "the lock of LIM 2 has no beginning"},
	{"lock-time", "ends before", func(d *Document) {
		expired := testTime
		d.Clusters[0].LIMs[1].Lock = &Lock{To: SideRegular, Since: testTime, Expires: &expired}
	}, "clusters[0].lims[1].lock.expires", "the lock of LIM 2 expires at 2026-03-01T12:00:00Z, before it begins"},
	{"lock-text", "two lines", func(d *Document) {
		d.Clusters[0].LIMs[1].Lock = &Lock{To: SideRegular, Since: testTime, By: "a\nb"}
	}, "clusters[0].lims[1].lock.by", "the lock's by of LIM 2 must be one line"},
	{"lock-text", "long", func(d *Document) {
		d.Clusters[0].LIMs[1].Lock = &Lock{To: SideRegular, Since: testTime, Reason: strings.Repeat("x", 1025)}
	}, "clusters[0].lims[1].lock.reason", "at most 1024 bytes"},
	{"maintenance", "no beginning", func(d *Document) { d.Server("srv1").Drained = &Maintenance{} }, "servers[2].drained.since", "the drain of server srv1 has no beginning"},
	{"maintenance", "ends before", func(d *Document) {
		ended := testTime
		d.Clusters[0].Frozen = &Maintenance{Since: testTime, Until: &ended}
	}, "clusters[0].frozen.until", "the freeze of cluster c1 ends at 2026-03-01T12:00:00Z, before it begins"},
	{"maintenance", "two lines", func(d *Document) { d.Server("sb1").Drained = &Maintenance{Since: testTime, Reason: "a\nb"} }, "servers[1].drained.reason", "the reason of the drain of server sb1 must be one line"},
	{"preloaded", "two LIMs", func(d *Document) { d.Clusters[0].Failover = FailoverPreloaded }, "clusters[0].failover", "cluster c1 is preloaded and has 2 LIMs, it can have one"},
	{"reached-at", "the base", func(d *Document) { d.Server("srv1").ReachedAt = prefix("10.0.0.21/24") }, "servers[2].reachedAt", "the former base of srv1, 10.0.0.21, is the base of srv1"},
	{"reached-at", "another base", func(d *Document) { d.Server("srv1").ReachedAt = prefix("10.0.0.14/24") }, "servers[2].reachedAt", "is the base of free1"},
	{"reached-at", "another LIM's alias", func(d *Document) { d.Server("srv1").ReachedAt = prefix("10.0.0.12/24") }, "servers[2].reachedAt", "is the alias of LIM 2"},
	{"reached-at", "no host", func(d *Document) { d.Server("srv1").ReachedAt = prefix("10.0.0.0/24") }, "servers[2].reachedAt", "is the network address of its subnet"},
	{"reached-at", "IPv6", func(d *Document) { d.Server("srv1").ReachedAt = prefix("2001:db8::9/64") }, "servers[2].reachedAt", "the base of srv1 is IPv4, its former one is IPv6"},
	{"reached-at", "of two", func(d *Document) {
		d.Server("srv1").ReachedAt, d.Server("srv2").ReachedAt = prefix("10.0.0.41/24"), prefix("10.0.0.41/24")
	}, "servers[3].reachedAt", "10.0.0.41 is the former base of srv1 and of srv2"},
	{"leaving", "dead, and stays", func(d *Document) { d.Clusters[0].LIMs[0].Dead = "sb1" }, "clusters[0].lims[0].serverIsDead", "LIM 1 does not leave cluster c1"},
	{"leaving", "another server", func(d *Document) { d.Clusters[0].LIMs[0].Leaving, d.Clusters[0].LIMs[0].Dead = true, "srv2" }, "clusters[0].lims[0].serverIsDead", "srv2 is no server of LIM 1 in cluster c1"},
}

func TestRules(t *testing.T) {
	for _, test := range ruleTests {
		t.Run(test.rule+"/"+test.name, func(t *testing.T) {
			d := mustParse(t, twoLIMs)
			test.breaks(d)
			found := slices.DeleteFunc(Validate(d), func(v Violation) bool { return v.Rule != test.rule })
			if len(found) != 1 {
				t.Fatalf("%d violations of %s: %+v", len(found), test.rule, found)
			}
			if found[0].Path != test.path || !strings.Contains(found[0].Message, test.message) {
				t.Errorf("got  %s: %s\nwant %s: %s", found[0].Path, found[0].Message, test.path, test.message)
			}
		})
	}
}

func TestEveryRuleIsTested(t *testing.T) {
	ids := map[string]bool{}
	for _, r := range rules {
		if ids[r.id] {
			t.Errorf("two rules are called %s", r.id)
		}
		ids[r.id] = true
		if !slices.ContainsFunc(ruleTests, func(test ruleTest) bool { return test.rule == r.id }) {
			t.Errorf("rule %s has no test", r.id)
		}
	}
}

// What lies just inside the limits is valid.
func TestRulesAllow(t *testing.T) {
	tests := map[string]func(d *Document){
		"as it is":                 func(*Document) {},
		"no cluster":               func(d *Document) { d.Clusters = nil },
		"a free server elsewhere":  func(d *Document) { d.Servers[0].Base = prefix("192.168.0.1/16") },
		"names of 63":              func(d *Document) { d.Servers[0].Name = strings.Repeat("a", 63) },
		"names to the last letter": func(d *Document) { d.Servers[0].Name = "aZz09" },
		"interfaces of 127":        func(d *Document) { d.Servers[0].Interface = strings.Repeat("x", 127) },
		"a reason of 1024":         func(d *Document) { d.Changed.Reason = strings.Repeat("x", 1024) },
		"largest epoch":            func(d *Document) { d.Epoch = maxRevision },
		"names of one":             func(d *Document) { d.Clusters[0].Name = "1" },
		"names with all kinds":     func(d *Document) { d.Clusters[0].Name = "a-b.c_D9" },
		"interfaces with dot":      func(d *Document) { d.Servers[0].Interface = "eth0.100" },
		"interfaces of 15":         func(d *Document) { d.Servers[0].Interface = "abcdefghijklmno" },
		"LIM 999":                  func(d *Document) { d.Servers[0].LIM = 999 },
		"100 ms":                   func(d *Document) { d.Clusters[0].FailoverAfter = Duration(MinFailoverAfter) },
		"the default silence":      func(d *Document) { d.Clusters[0].FailoverAfter = 0 },
		"equal priorities":         func(d *Document) { d.Clusters[0].LIMs[1].Priority = 100 },
		"LIM without software":     func(d *Document) { d.LIMs = nil },
		"standby without cluster":  func(d *Document) { d.Servers[0].Standby = true },
		"largest revision":         func(d *Document) { d.Revision = maxRevision },
		"text that is not English": func(d *Document) { d.Changed.Reason = "grüße 電話" },
		"locks": func(d *Document) {
			later := testTime.Add(time.Hour)
			d.Clusters[0].LIMs[0].Lock = &Lock{To: SideRegular, Since: testTime}
			d.Clusters[0].LIMs[1].Lock = &Lock{To: SideStandby, Since: testTime, By: "ann", Reason: "reboot", Expires: &later}
		},
		"media server beside the LIM": func(d *Document) {
			d.LIMs[0].MediaServer = &MediaServer{MediaServerColocated, addr("10.0.0.11"), addr("10.0.0.11"), ""}
		},
		"media server beside a LIM of no cluster": func(d *Document) {
			d.LIMs[0].MediaServer = &MediaServer{MediaServerColocated, addr("10.0.9.1"), addr("10.0.9.2"), ""}
			d.Clusters = nil
		},
		"one media server for two LIMs": func(d *Document) {
			m := &MediaServer{MediaServerStandalone, addr("10.0.9.1"), addr("10.0.9.1"), ""}
			d.LIMs = append(d.LIMs, LIM{Number: 2, MediaServer: m})
			d.LIMs[0].MediaServer = m
		},
		"gateways": func(d *Document) { d.LIMs[0].Gateways = []string{"1A", "1B"} },
		"preloaded with one LIM": func(d *Document) {
			d.Clusters[0].Failover, d.Clusters[0].LIMs = FailoverPreloaded, d.Clusters[0].LIMs[:1]
		},
		"ten LIMs": func(d *Document) {
			for i := 3; i <= 10; i++ {
				d.Servers = append(d.Servers, Server{Name: fmt.Sprintf("more%d", i), Base: prefix(fmt.Sprintf("10.0.0.%d/24", 100+i)), Interface: "eth0", LIM: i})
				d.Clusters[0].LIMs = append(d.Clusters[0].LIMs, Member{LIM: i, Alias: prefix(fmt.Sprintf("10.0.0.%d/24", 200+i))})
			}
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			d := mustParse(t, twoLIMs)
			change(d)
			if found := Validate(d); found != nil {
				t.Errorf("%+v", found)
			}
		})
	}
}

// Rules meet documents that break other rules and must not panic on them.
func TestRulesOnNonsense(t *testing.T) {
	documents := map[string]*Document{
		"empty":       {},
		"zeros":       {Servers: make([]Server, 2), LIMs: make([]LIM, 2), Clusters: []Cluster{{LIMs: make([]Member, 5)}, {}}},
		"empty parts": {LIMs: []LIM{{MediaServer: &MediaServer{}, Gateways: make([]string, 2)}}, Clusters: []Cluster{{LIMs: []Member{{Lock: &Lock{}}}}}},
		"dangles":     {Clusters: []Cluster{{Name: "c", Standby: "x", LIMs: []Member{{LIM: 7}}}}},
	}
	for name, d := range documents {
		if len(Validate(d)) == 0 {
			t.Errorf("%s is valid", name)
		}
	}
}

func TestHostProblem(t *testing.T) {
	tests := map[string]string{
		"10.0.0.11/24":       "",
		"127.0.0.2/8":        "",
		"10.0.0.0/31":        "",
		"10.0.0.1/31":        "",
		"10.0.0.1/32":        "",
		"169.254.0.1/16":     "",
		"10.0.1.0/16":        "",
		"10.0.0.255/16":      "",
		"0.0.0.0/24":         "is not the address of a host",
		"0.1.2.3/8":          "is not the address of a host",
		"10.0.0.1/0":         "has no subnet",
		"224.0.0.18/24":      "is a multicast address",
		"239.255.255.255/24": "is a multicast address",
		"255.255.255.255/32": "is the broadcast address",
		"10.0.0.4/30":        "is the network address of its subnet",
		"10.0.0.7/30":        "is the broadcast address of its subnet",
		"10.0.255.255/16":    "is the broadcast address of its subnet",
		"127.255.255.255/8":  "is the broadcast address of its subnet",
		"2001:db8::1/64":     "",
		"2001:db8::1/128":    "",
		"2001:db8::/127":     "",
		"2001:db8::/126":     "is the address of the routers of its subnet",
		"2001:db8::/64":      "is the address of the routers of its subnet",
		"fe80::1/64":         "is a link-local address, which every interface has for itself",
		"ff02::1/64":         "is a multicast address",
		"::/64":              "is not the address of a host",
		"::ffff:10.0.0.1/96": "is an IPv4 address written as IPv6",
	}
	for text, want := range tests {
		if got := hostProblem(prefix(text)); got != want {
			t.Errorf("%s %q, want %q", text, got, want)
		}
	}
}

// A media server on the LIM's own machine follows it by its alias, another one need not.
func TestMediaServerProblem(t *testing.T) {
	for _, tc := range []struct {
		kind           MediaServerKind
		media, control string
		lim            int
		ok             bool
	}{
		{MediaServerColocated, "10.0.0.11", "10.0.0.11", 1, true}, {MediaServerColocated, "10.0.0.12", "10.0.0.11", 1, false},
		{MediaServerColocated, "10.0.0.11", "10.0.0.12", 1, false}, {MediaServerStandalone, "10.0.9.1", "10.0.9.1", 1, true},
		{MediaServerColocated, "10.0.0.12", "10.0.0.12", 2, true},
	} {
		d := mustParse(t, twoLIMs)
		d.LIMs = []LIM{{Number: 1, MediaServer: &MediaServer{tc.kind, addr(tc.media), addr(tc.control), ""}}}
		if got := d.mediaServerProblem(tc.lim, addr("10.0.0.11")); (got == "") != tc.ok {
			t.Errorf("%+v: %q", tc, got)
		}
	}
}

func TestValidPrompts(t *testing.T) {
	for dir, want := range map[string]bool{"/opt/prompts": true, "/": true, "/opt/prompts/": false, "/opt/../x": false, "prompts": false, "": false, "/a\nb": false} {
		if got := validPrompts(dir); got != want {
			t.Errorf("%q: %t", dir, got)
		}
	}
}

// A base is an address that other servers reach.
func TestBaseProblem(t *testing.T) {
	for text, want := range map[string]string{"10.0.0.11/24": "", "0.0.0.0/24": "is not the address of a host", "127.0.0.1/8": "is a loopback address, which no other server reaches", "10.0.0.1/32": "leaves no room for another server in its subnet"} {
		if got := baseProblem(prefix(text)); got != want {
			t.Errorf("%s: %q", text, got)
		}
	}
}

func TestValidService(t *testing.T) {
	valid := []string{
		"exec:/opt/lim/service", "exec:/opt/lim {lim}/service", "systemd:lim.service", "systemd:lim@{lim}.service", `systemd:a\x2db`,
		"ocf:heartbeat:pgsql", "ocf:heartbeat:IPaddr2,ip=10.0.0.1,nic=", "ocf:a:b,_k=v=w",
		"systemd:" + strings.Repeat("a", 255), "exec:/" + strings.Repeat("a", 1024-len("exec:/")),
	}
	invalid := []string{
		"", "exec", "exec:", "exec:/", "exec:service", "exec:/opt/../bin/x", "exec:/opt//x", "exec:/opt/x/", "exec:/a\nb", "exec:/\xff",
		"systemd:", "systemd:a b", "systemd:a/b", "systemd:" + strings.Repeat("a", 256), "ocf:", "ocf:heartbeat", "ocf:a:b:c", "ocf:a:b,", "ocf:a:b,=v", "ocf:a:b,1=v", "ocf:a:b,0x=v", "ocf:a:b,9=v",
		"http:/x", "EXEC:/x", " exec:/x", "exec:/" + strings.Repeat("a", 1024),
	}
	for _, run := range valid {
		if !validService(run) {
			t.Errorf("%q is refused", run)
		}
	}
	for _, run := range invalid {
		if validService(run) {
			t.Errorf("%q is accepted", run)
		}
	}
}
