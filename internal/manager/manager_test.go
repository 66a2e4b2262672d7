package manager

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
)

func document() *clusterconf.Document {
	p := netip.MustParsePrefix
	return &clusterconf.Document{
		Servers: []clusterconf.Server{
			{Name: "free1", Base: p("10.0.0.14/24")},
			{Name: "sb1", Base: p("10.0.0.13/24"), Standby: true},
			{Name: "srv1", Base: p("10.0.0.21/24"), ReachedAt: p("10.0.0.30/24"), LIM: 1},
			{Name: "srv2", Base: p("10.0.0.22/24"), LIM: 2},
		},
		LIMs: []clusterconf.LIM{{Number: 2, MediaServer: &clusterconf.MediaServer{Kind: "standalone", Media: netip.MustParseAddr("10.0.0.41"), Control: netip.MustParseAddr("10.0.0.42")}}},
		Clusters: []clusterconf.Cluster{{Name: "c1", Standby: "sb1", Fallback: clusterconf.FallbackAutomatic, LIMs: []clusterconf.Member{
			{LIM: 1, Alias: p("10.0.0.11/24")}, {LIM: 2, Alias: p("10.0.0.12/24")}}}},
	}
}

func TestPairIsFoundInTheDocument(t *testing.T) {
	d := document()
	p, err := Find(d)
	if err != nil || p.Master.Name != "srv1" || p.Standby.Name != "sb1" || p.Cluster != "c1" || p.Alias.String() != "10.0.0.11/24" || p.Fallback != "automatic" {
		t.Errorf("%+v, %v", p, err)
	}
	for server, want := range map[string]Role{"srv1": Master, "sb1": Standby, "srv2": "", "free1": "", "": ""} {
		if r, ok := p.RoleOf(server); r != want || ok != (want != "") {
			t.Errorf("%s: %q, %v", server, r, ok)
		}
	}
	d.Clusters[0].LIMs = d.Clusters[0].LIMs[1:]
	if _, err := Find(d); fault.CodeOf(err) != fault.Refused || !strings.Contains(fault.HintOf(err), "mxcluster create") {
		t.Errorf("LIM 1 in no cluster: %v, %s", err, fault.HintOf(err))
	}
	d.Servers[2].LIM = 3
	if _, err := Find(d); fault.CodeOf(err) != fault.Refused {
		t.Errorf("no LIM 1: %v", err)
	}
}

// seen is a server with one PostgreSQL that answers.
func seen(change func(*Node)) Sight {
	room := int64(1 << 40)
	n := &Node{Instances: []Instance{{Name: "15/main", Major: 15, Port: 5432, FreeBytes: &room, Database: &Database{SystemID: "1", Timeline: 1, Bytes: 1 << 30,
		Settings: map[string]string{"wal_level": "replica"}}}}}
	change(n)
	return Sight{Node: n}
}

func same(*Node) {}

// has is a server with packages.
func has(all ...Package) Sight { return seen(func(n *Node) { n.Packages = all }) }

// What is missing on a server is its packages, and PostgreSQL of the version that the other one has.
func TestMissing(t *testing.T) {
	none := Sight{Node: &Node{Packages: []Package{{"snm", ""}, {"pm", "1"}}}}
	for want, sights := range map[string]map[Role]Sight{
		"postgresql-15 snm": {Master: seen(same), Standby: none},
		"postgresql snm":    {Master: {Why: "no login"}, Standby: none},
		"":                  {Master: none, Standby: {Why: "no login"}},
	} {
		if got := strings.Join(Missing(sights, Standby), " "); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// findings are of a pair that is as it should be but for one thing.
func findings(t *testing.T, m, s Sight, a *Address) []Finding {
	t.Helper()
	p, err := Find(document())
	if err != nil {
		t.Fatal(err)
	}
	return Check(document(), Question{Pair: p, Sights: map[Role]Sight{Master: m, Standby: s}, Address: a})
}

func TestCheckNamesWhatStandsInTheWay(t *testing.T) {
	own := func(n *Node) {
		d := n.Instances[0].Database
		d.SystemID, d.Databases = "2", []string{"shop"}
	}
	vip := func(text string) *Address { return &Address{Prefix: netip.MustParsePrefix(text)} }
	for name, tt := range map[string]struct {
		master, standby Sight
		address         *Address
		check, server   string
		result          Result
		found, remedy   string
	}{
		"all is well":    {check: "", result: OK},
		"free address":   {address: vip("10.0.0.20/24"), check: "address", result: OK, found: "is free"},
		"not heard":      {standby: Sight{Why: "no login"}, check: "server", server: "sb1", result: Unknown, found: "no login", remedy: "setup-ssh sb1"},
		"no PostgreSQL":  {master: Sight{Node: &Node{}}, check: "postgresql", server: "srv1", result: Refused, found: "no PostgreSQL", remedy: "mxcluster manager check --install on srv1"},
		"no package":     {standby: has(Package{"snm", ""}), master: has(Package{"snm", "1"}), check: "packages", server: "sb1", result: Refused, found: "snm is not installed", remedy: "mxcluster manager check --install on sb1"},
		"not asked for":  {standby: has(), master: has(Package{"snm", "1"}), check: "packages", server: "sb1", result: Refused, found: "srv1 asks for snm, sb1 does not", remedy: "manager.packages"},
		"lacks one":      {standby: Sight{Why: "no login"}, master: has(Package{"snm", ""}), check: "packages", server: "srv1", result: Refused, found: "snm is not installed", remedy: "on srv1"},
		"two packages":   {standby: has(Package{"snm", "2"}), master: has(Package{"snm", "1"}), check: "packages", result: Refused, found: "snm is 1 on srv1, 2 on sb1", remedy: "same version"},
		"packages there": {standby: has(Package{"snm", "1"}), master: has(Package{"snm", "1"}), check: "packages", result: OK, found: "1 packages on both"},
		"several":        {standby: seen(func(n *Node) { n.Instances = append(n.Instances, Instance{Name: "15/b"}) }), check: "postgresql", server: "sb1", result: Refused, found: "15/main, 15/b", remedy: "manager.postgres"},
		"several, named": {standby: seen(func(n *Node) { n.Instances, n.Chosen = append(n.Instances, Instance{Name: "15/b"}), "15/main" }), result: OK},
		"name of none":   {standby: seen(func(n *Node) { n.Chosen = "15/x" }), check: "postgresql", server: "sb1", result: Refused, found: "15/x", remedy: "15/main"},
		"too old":        {master: seen(func(n *Node) { n.Instances[0].Major = 12 }), check: "postgresql", server: "srv1", result: Refused, found: "version 12", remedy: "13"},
		"stopped":        {master: seen(func(n *Node) { n.Instances[0].Database, n.Instances[0].Problem = nil, "it is not running" }), check: "postgresql", server: "srv1", result: Unknown, found: "it is not running", remedy: "pg_ctlcluster 15 main start"},
		"two versions":   {standby: seen(func(n *Node) { n.Instances[0].Major = 16 }), check: "version", result: Refused, found: "15 on srv1, 16 on sb1", remedy: "same major"},
		"data there":     {standby: seen(own), check: "data", server: "sb1", result: Refused, found: "shop", remedy: "are replaced"},
		"data of ours":   {standby: seen(func(n *Node) { own(n); n.Instances[0].Database.SystemID = "1" }), result: OK},
		"empty":          {standby: seen(func(n *Node) { own(n); n.Instances[0].Database.Databases = nil }), result: OK},
		"no room":        {standby: seen(func(n *Node) { own(n); n.Instances[0].Database.Databases = nil; *n.Instances[0].FreeBytes = 1 << 30 }), check: "room", server: "sb1", result: Refused, found: "1074 MB are free, 1182", remedy: "make room"},
		"room not seen":  {standby: seen(func(n *Node) { own(n); n.Instances[0].Database.Databases = nil; n.Instances[0].FreeBytes = nil }), check: "room", server: "sb1", result: Unknown},
		"alias":          {address: vip("10.0.0.11/24"), check: "address", result: Refused, found: "the alias of LIM 1", remedy: "of its own"},
		"other's alias":  {address: vip("10.0.0.12/24"), check: "address", result: Refused, found: "the alias of LIM 2"},
		"base":           {address: vip("10.0.0.14/24"), check: "address", result: Refused, found: "the base of free1"},
		"former base":    {address: vip("10.0.0.30/24"), check: "address", result: Refused, found: "former base of srv1"},
		"media server":   {address: vip("10.0.0.42/24"), check: "address", result: Refused, found: "media server of LIM 2"},
		"other subnet":   {address: vip("10.0.1.20/24"), check: "address", result: Refused, found: "not in the subnet", remedy: "10.0.0.0/24"},
		"other length":   {address: vip("10.0.0.20/25"), check: "address", result: Refused, found: "not in the subnet"},
		"answered":       {address: &Address{Prefix: netip.MustParsePrefix("10.0.0.20/24"), Answered: "02:00:00:00:00:09"}, check: "address", result: Refused, found: "in use by 02:00:00:00:00:09", remedy: "choose another"},
		"not asked":      {address: &Address{Prefix: netip.MustParsePrefix("10.0.0.20/24"), Unasked: "not permitted"}, check: "address", result: Unknown, found: "not permitted"},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.master.Node == nil && tt.master.Why == "" {
				tt.master = seen(same)
			}
			if tt.standby.Node == nil && tt.standby.Why == "" {
				tt.standby = seen(same)
			}
			all := findings(t, tt.master, tt.standby, tt.address)
			if Worst(all) != tt.result {
				t.Errorf("%+v", all)
			}
			if tt.check == "" {
				return
			}
			i := slices.IndexFunc(all, func(f Finding) bool { return f.Check == tt.check && f.Server == tt.server })
			if i < 0 {
				t.Fatalf("nothing of %s: %+v", tt.check, all)
			}
			if f := all[i]; f.Result != tt.result || !strings.Contains(f.Found, tt.found) || !strings.Contains(f.Remedy, tt.remedy) || tt.result == Refused && f.Remedy == "" {
				t.Errorf("%+v", f)
			}
		})
	}
}

// genSight draws what may be seen of a server.
func genSight(t *rapid.T, who string) Sight {
	draw := func(what string) bool { return rapid.Bool().Draw(t, who+" "+what) }
	if !draw("seen") {
		return Sight{Why: "no login"}
	}
	n := &Node{Server: who}
	for k := range rapid.IntRange(0, 2).Draw(t, who+" instances") {
		i := Instance{Name: fmt.Sprintf("15/%d", k), Major: rapid.SampledFrom([]int{9, 12, 13, 15, 16}).Draw(t, who+" major"), Problem: "it is not running"}
		if draw("room known") {
			free := rapid.Int64Range(0, 2<<30).Draw(t, who+" free")
			i.FreeBytes = &free
		}
		if draw("answers") {
			i.Problem = ""
			i.Database = &Database{SystemID: rapid.SampledFrom([]string{"1", "2"}).Draw(t, who+" system"), ReadOnly: draw("read-only"),
				Timeline: rapid.Uint32Range(1, 2).Draw(t, who+" timeline"), Position: LSN(rapid.Uint64Range(0, 9).Draw(t, who+" position")),
				Bytes: rapid.Int64Range(0, 2<<30).Draw(t, who+" bytes"), Settings: map[string]string{}}
			if draw("receives") {
				i.Database.Upstream = &Upstream{Status: rapid.SampledFrom([]string{"streaming", "stopping"}).Draw(t, who+" status")}
			}
			if draw("sends") {
				i.Database.Followers = []Follower{{State: rapid.SampledFrom([]string{"streaming", "catchup"}).Draw(t, who+" state")}}
			}
			if draw("has databases") {
				i.Database.Databases = []string{"x"}
			}
		}
		n.Instances = append(n.Instances, i)
	}
	return Sight{Node: n}
}

// Whatever is seen: what counts as in order was seen on both servers and can be followed, and
// what is refused has a remedy.
func TestNothingUnseenIsInOrder(t *testing.T) {
	p, err := Find(document())
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		m, s := genSight(t, "srv1"), genSight(t, "sb1")
		all := Check(document(), Question{Pair: p, Sights: map[Role]Sight{Master: m, Standby: s}})
		for _, f := range all {
			if f.Result == Refused && f.Remedy == "" {
				t.Fatalf("refused without a remedy: %+v", f)
			}
		}
		if Worst(all) != OK {
			return
		}
		im, _ := m.Instance()
		is, _ := s.Instance()
		switch {
		case im == nil || is == nil || im.Database == nil || is.Database == nil:
			t.Fatalf("in order, and not seen: %+v", all)
		case im.Major != is.Major || im.Major < MinMajor:
			t.Fatalf("in order, and of versions %d and %d", im.Major, is.Major)
		case len(is.Database.Databases) > 0 && im.Database.SystemID != is.Database.SystemID:
			t.Fatalf("in order, and data would be lost")
		case im.Database.SystemID != is.Database.SystemID && *is.FreeBytes < im.Database.Bytes:
			t.Fatalf("in order, and there is no room")
		}
	})
}

// Whatever is seen: redundant is a pair of which one alone accepts writes, and streams to the
// other as both see it. Two writers are never called anything else.
func TestRedundantIsOneWriterThatIsFollowed(t *testing.T) {
	p, err := Find(document())
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		sights := map[Role]Sight{Master: genSight(t, "srv1"), Standby: genSight(t, "sb1")}
		st := Judge(p, sights, time.Time{})
		m, _ := sights[Master].database()
		s, _ := sights[Standby].database()
		if st.Why == "" {
			t.Fatal("no reason")
		}
		switch {
		case m == nil || s == nil:
			if st.Redundant != nil || st.Both {
				t.Fatalf("not seen, and yet: %+v", st)
			}
		case st.Redundant == nil:
			t.Fatalf("both were seen: %+v", st)
		case m.SystemID == s.SystemID && st.Both != (!m.ReadOnly && !s.ReadOnly):
			t.Fatalf("who accepts writes: %+v", st)
		case *st.Redundant:
			from, to := m, s
			if st.Active == Standby {
				from, to = s, m
			}
			if from.ReadOnly || !to.ReadOnly || to.Upstream == nil || to.Upstream.Status != "streaming" || len(from.Followers) == 0 ||
				from.Followers[0].State != "streaming" || from.Timeline != to.Timeline || from.SystemID != to.SystemID {
				t.Fatalf("redundant: %+v, %+v", from, to)
			}
		}
	})
}

func TestStandingTellsLagSlotsAndSettings(t *testing.T) {
	p, err := Find(document())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	replayed := now.Add(-3 * time.Second)
	m := seen(func(n *Node) {
		d := n.Instances[0].Database
		d.ReadOnly, d.Position, d.ReplayedAt, d.Upstream = true, 0x100, &replayed, &Upstream{Status: "streaming"}
		d.Settings["max_connections"] = "100"
	})
	s := seen(func(n *Node) {
		d := n.Instances[0].Database
		d.Position, d.Followers = 0x1100, []Follower{{State: "streaming"}}
		d.Slots = []Slot{{Name: "srv1", Active: true, WAL: "reserved"}, {Name: "old", WAL: "extended", Retained: 5e6}, {Name: "lost", WAL: "lost"}}
		d.Settings["max_connections"] = "200"
	})
	st := Judge(p, map[Role]Sight{Master: m, Standby: s}, now)
	if st.Redundant == nil || !*st.Redundant || st.Active != Standby || *st.LagBytes != 0x1000 || *st.LagAge != 3*time.Second {
		t.Errorf("%+v", st)
	}
	if want := []string{"slot old on sb1 is used by nobody, and keeps 5 MB of the log", "slot lost on sb1 is past its bound: srv1 needs a fresh copy"}; !slices.Equal(st.Slots, want) {
		t.Errorf("%q", st.Slots)
	}
	if want := []string{"max_connections: 100 on srv1, 200 on sb1"}; !slices.Equal(st.Differ, want) {
		t.Errorf("%q", st.Differ)
	}
}

func TestPositionsAreWrittenAsPostgreSQLDoes(t *testing.T) {
	for text, want := range map[string]LSN{"0/0": 0, "16/B374D848": 0x16B374D848, "FFFFFFFF/FFFFFFFF": ^LSN(0)} {
		got, err := ParseLSN(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s: %x, %v, %s", text, uint64(got), err, got)
		}
	}
	for _, text := range []string{"", "1", "/", "1/", "x/1", "1/123456789", "-1/0"} {
		if _, err := ParseLSN(text); err == nil {
			t.Errorf("%q is read", text)
		}
	}
	var l struct{ At LSN }
	if err := json.Unmarshal([]byte(`{"At":"1/2"}`), &l); err != nil || l.At != 1<<32+2 {
		t.Errorf("%x, %v", uint64(l.At), err)
	}
}
