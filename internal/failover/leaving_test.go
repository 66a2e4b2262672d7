package failover

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mxcluster/clusterconf"
)

// passage is a preloaded pair and a third server while the pair's cluster is deleted:
// what is on every server's disk, and what each has heard of the others since it came
// up. The order of everything is drawn.
type passage struct {
	servers map[string]*station
	now     time.Time
}

type station struct {
	doc    *clusterconf.Document // on its disk
	up     bool
	alias  bool // its kernel has it
	booted time.Time
	heard  map[string]*Claim
}

var stations = []string{"sb1", "srv1", "srv9"}

func newPassage() *passage {
	prefix := netip.MustParsePrefix
	d := &clusterconf.Document{APIVersion: clusterconf.APIVersion, Kind: clusterconf.Kind, System: "S", Revision: 1,
		Servers: []clusterconf.Server{
			{Name: "sb1", Base: prefix("192.0.2.20/24"), Interface: "eth0", Standby: true},
			{Name: "srv1", Base: prefix("192.0.2.21/24"), Interface: "eth0", LIM: 1},
			{Name: "srv9", Base: prefix("192.0.2.29/24"), Interface: "eth0"},
		},
		Clusters: []clusterconf.Cluster{{Name: "c1", Standby: "sb1", Fallback: clusterconf.FallbackManual, Failover: clusterconf.FailoverPreloaded,
			SplitBrainStop: clusterconf.SideRegular, LIMs: []clusterconf.Member{{LIM: 1, Alias: prefix("192.0.2.11/24"), Priority: 100}}}}}
	p := &passage{servers: map[string]*station{}, now: epoch}
	for _, name := range stations {
		p.servers[name] = &station{doc: d.Clone(), up: true, alias: name != "srv9", booted: epoch, heard: map[string]*Claim{}}
	}
	return p
}

// claim is what a server says.
func (p *passage) claim(name string) *Claim {
	s := p.servers[name]
	c := &Claim{Server: name, Revision: s.doc.Revision, Settled: true}
	cl := s.doc.ClusterOfLIM(1)
	switch {
	case name == "srv1":
		c.LIMs = []LIMClaim{{LIM: 1, State: Running, Term: 3, Holds: cl != nil}}
	case name == "sb1" && s.alias:
		c.LIMs = []LIMClaim{{LIM: 1, State: Preloaded, Holds: true, Blocked: true}}
	case name == "sb1":
		c.LIMs = []LIMClaim{{LIM: 1, State: Stopped, Clear: cl != nil && cl.Member(1).Leaving}}
	}
	return c
}

func (p *passage) view(name string) View {
	s := p.servers[name]
	v := View{Now: p.now, Self: name, Started: s.booted, Settled: true, StartGrace: 30 * time.Second, Document: s.doc,
		Peers: map[string]Peer{}, LIMs: map[int]Local{}, Wire: map[int]Wire{}}
	for _, other := range stations {
		peer := Peer{Liveness: Unheard, Claim: s.heard[other]}
		switch {
		case other == name:
			continue
		case peer.Claim != nil && p.servers[other].up:
			peer.Liveness = Alive
		case peer.Claim != nil:
			peer.Liveness = Gone
		}
		v.Peers[other] = peer
	}
	if name == "sb1" {
		v.LIMs[1] = Local{Standing: Standing{State: Stopped}}
		if s.alias {
			v.LIMs[1] = Local{Standing: Standing{State: Preloaded}, Holds: true}
		}
	}
	return v
}

// do carries one drawn action out.
func (p *passage) do(t *rapid.T, names []string) {
	name, other := rapid.SampledFrom(names).Draw(t, "server"), rapid.SampledFrom(names).Draw(t, "other")
	s, o := p.servers[name], p.servers[other]
	switch action := rapid.SampledFrom([]string{"hear", "hear", "hear", "step", "decide", "power"}).Draw(t, "action"); {
	case action == "power" && s.up:
		s.up, s.alias, s.heard = false, false, map[string]*Claim{}
	case action == "power":
		s.up, s.booted = true, p.now
		s.alias = name == "srv1"
	case !s.up:
	case action == "hear" && o.up && p.connected(name, other):
		s.heard[other] = p.claim(other)
		if o.doc.Revision > s.doc.Revision {
			s.doc = o.doc.Clone()
		}
	case action == "step":
		p.step(name)
	case action == "decide" && name == "sb1":
		p.decide(s)
	}
	p.now = p.now.Add(10 * time.Millisecond)
}

// connected reports whether one server is heard by another: a blocked alias keeps the
// address of the other one off, too.
func (p *passage) connected(name, other string) bool {
	if other != "srv1" && name != "srv1" {
		return true
	}
	srv1 := p.servers["srv1"].doc
	peer := p.servers[map[bool]string{true: other, false: name}[name == "srv1"]]
	return !peer.alias || srv1.Gossip(srv1.Server("srv1")).Addr() != netip.MustParseAddr("192.0.2.11")
}

// step has a server take the next step, if it is the one that carries edits on.
func (p *passage) step(name string) {
	own, v := p.claim(name), p.view(name)
	if !Pending(v.Document) || EditPlace(v, own).Server != name {
		return
	}
	next := p.servers[name].doc.Clone()
	s := NextStep(v, own)
	for _, lim := range s.Left {
		next.CompleteLeave(lim)
	}
	for _, server := range s.Settled {
		next.SettleBase(server)
	}
	if len(s.Left)+len(s.Settled) > 0 {
		next.Revision++
		next.Changed.On = name
		p.servers[name].doc = next
	}
}

// decide has the standby do what the brain says.
func (p *passage) decide(s *station) {
	v := p.view("sb1")
	d := Decide(v).For(1)
	switch {
	case d == nil && s.alias, d != nil && d.Want == Stop: // a LIM that is in no cluster is a stray
		s.alias = false
	case d != nil && d.Want == Preload:
		s.alias = true
	}
}

// wrong says what must never be; "": nothing.
func (p *passage) wrong() string {
	srv1, sb1 := p.servers["srv1"], p.servers["sb1"]
	if srv1.doc.ClusterOfLIM(1) != nil {
		return ""
	}
	if sb1.up && sb1.alias {
		return "the standby has what is the other server's base"
	}
	if c := sb1.doc.ClusterOfLIM(1); c != nil && !c.Member(1).Leaving {
		return "the standby can come back with a document in which the LIM does not leave"
	}
	for name, s := range p.servers {
		if !srv1.doc.Server("srv1").ReachedAt.IsValid() && s.doc.ClusterOfLIM(1) != nil {
			return "the former base is gone, and " + name + " does not know the new one"
		}
	}
	return ""
}

// TestPassage deletes a preloaded pair with everything in any order: crashes, boots,
// claims and documents that arrive or do not, and steps that are taken late. Nothing
// that must not be ever is, and once all are up and hear each other it ends.
func TestPassage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPassage()
		editor := p.servers["srv1"]
		if err := editor.doc.BeginLeave("c1", ""); err != nil {
			t.Fatal(err)
		}
		editor.doc.Revision++
		for range rapid.IntRange(10, 200).Draw(t, "actions") {
			p.do(t, stations)
			if why := p.wrong(); why != "" {
				t.Fatal(why)
			}
		}
		for _, s := range p.servers {
			s.up, s.booted = true, p.now
		}
		for range 20 {
			for _, name := range stations {
				for _, other := range stations {
					if s, o := p.servers[name], p.servers[other]; name != other && p.connected(name, other) {
						s.heard[other] = p.claim(other)
						if o.doc.Revision > s.doc.Revision {
							s.doc = o.doc.Clone()
						}
					}
				}
				p.step(name)
			}
			p.decide(p.servers["sb1"])
			if why := p.wrong(); why != "" {
				t.Fatal(why)
			}
		}
		for name, s := range p.servers {
			if len(s.doc.Clusters) > 0 || Pending(s.doc) {
				t.Fatalf("%s has revision %d, and it is not at its end", name, s.doc.Revision)
			}
		}
	})
}

// What a leaving LIM waits for is said, and what may not leave is refused with a remedy.
func TestLeaveWaitsAndRefusals(t *testing.T) {
	p := newPassage()
	for _, s := range p.servers {
		for _, other := range stations {
			s.heard[other] = p.claim(other)
		}
	}
	v, own := p.view("srv1"), p.claim("srv1")
	c := v.Document.Cluster("c1")
	if why, _ := MayLeave(v, own, c, 1, ""); why != "" {
		t.Errorf("a pair that is well may not leave: %s", why)
	}
	if why, _ := MayLeave(v, own, c, 1, "sb1"); !strings.Contains(why, "it is heard") {
		t.Errorf("a standby that lives, left out: %q", why)
	}
	sb1 := v.Peers["sb1"]
	for liveness, want := range map[Liveness]string{Gone: "", AgentLost: "it is heard"} {
		sb1.Liveness = liveness
		v.Peers["sb1"] = sb1
		if why, _ := MayLeave(v, own, c, 1, "sb1"); want == "" && why != "" || !strings.Contains(why, want) {
			t.Errorf("a standby that is %s, left out: %q", liveness, why)
		}
		if why, hint := MayLeave(v, own, c, 1, ""); !strings.Contains(why, "its standby sb1 is not heard") || !strings.Contains(hint, "--server-is-dead sb1") {
			t.Errorf("a standby that is %s: %q, %q", liveness, why, hint)
		}
	}
	c.LIMs[0].Leaving, c.LIMs[0].Dead = true, "sb1"
	sb1.Liveness = AgentLost
	v.Peers["sb1"] = sb1
	if s := NextStep(v, own); len(s.Left) > 0 || s.Waits[0].For != "sb1" {
		t.Errorf("with a standby of which something is heard: %+v", s)
	}
	sb1.Liveness = Gone
	v.Peers["sb1"] = sb1
	if s := NextStep(v, own); len(s.Left) != 1 {
		t.Errorf("with a standby that is gone: %+v", s)
	}
}

// Steps are asked for while a LIM leaves or a former base is still in use.
func TestPending(t *testing.T) {
	d := newPassage().servers["sb1"].doc
	if Pending(d) {
		t.Error("of a document at rest")
	}
	d.Clusters[0].LIMs[0].Leaving = true
	if !Pending(d) {
		t.Error("a LIM leaves: nothing")
	}
	d.Clusters[0].LIMs[0].Leaving, d.Servers[1].ReachedAt = false, netip.MustParsePrefix("192.0.2.21/24")
	if !Pending(d) {
		t.Error("a server is reached at its former base: nothing")
	}
}

// What a leaving LIM waits for is told in words that fit.
func TestLeaveWaits(t *testing.T) {
	claim := func(lim LIMClaim) *Claim { return &Claim{Revision: 1, LIMs: []LIMClaim{lim}} }
	ready := claim(LIMClaim{LIM: 1, State: Stopped, Clear: true})
	for _, tc := range []struct {
		name          string
		standby, home Peer
		dead          string
		want          string // a part; "": it has left
	}{
		{"nothing", Peer{Liveness: Alive, Claim: ready}, Peer{Liveness: Alive, Claim: claim(LIMClaim{LIM: 1, State: Running})}, "", ""},
		{"it runs on the standby", Peer{Liveness: Alive, Claim: claim(LIMClaim{LIM: 1, State: Running})}, Peer{Liveness: Alive, Claim: ready}, "", "`mxcluster fallback 1` brings it back"},
		{"the standby still has something", Peer{Liveness: Alive, Claim: claim(LIMClaim{LIM: 1, State: Stopped})}, Peer{Liveness: Alive, Claim: ready}, "", "sb1 gives up what it has of LIM 1"},
		{"the standby is silent", Peer{Liveness: Gone, Claim: ready}, Peer{Liveness: Alive, Claim: ready}, "", "sb1 is not heard"},
		{"the standby is behind", Peer{Liveness: Alive, Claim: &Claim{}}, Peer{Liveness: Alive, Claim: ready}, "", "sb1 has not got revision 1"},
		{"its server is behind", Peer{Liveness: Alive, Claim: ready}, Peer{Liveness: Alive, Claim: &Claim{}}, "", "srv1 has not got revision 1"},
		{"a standby that is said to be dead", Peer{Liveness: Gone}, Peer{Liveness: Alive, Claim: ready}, "sb1", ""},
		{"one of which something is heard", Peer{Liveness: AgentLost}, Peer{Liveness: Alive, Claim: ready}, "sb1", "was given up as lost for good, and something of it is heard"},
		{"one that is back", Peer{Liveness: Alive, Claim: ready}, Peer{Liveness: Alive, Claim: ready}, "sb1", ""},
		{"one that is back and behind", Peer{Liveness: Alive, Claim: &Claim{}}, Peer{Liveness: Alive, Claim: ready}, "sb1", "sb1 has not got revision 1"},
		{"the other one is silent", Peer{Liveness: Alive, Claim: ready}, Peer{Liveness: AgentLost, Claim: ready}, "sb1", "srv1 is not heard"},
	} {
		v := newPassage().view("srv9")
		c := v.Document.Cluster("c1")
		c.LIMs[0].Leaving, c.LIMs[0].Dead = true, tc.dead
		v.Peers["sb1"], v.Peers["srv1"] = tc.standby, tc.home
		got := ""
		if d := v.leaveWaits(c, c.LIMs[0]); d != nil {
			got = d.Why
		}
		if got == "" != (tc.want == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

// A base is settled when all have the document; of several that lack it one that is not
// heard is told of, for that is what has to be seen to.
func TestLacksDocument(t *testing.T) {
	v := newPassage().view("sb1")
	has, lacks := &Claim{Revision: 1}, &Claim{}
	for _, tc := range []struct {
		srv1, srv9 Peer
		want       string
	}{
		{Peer{Liveness: Alive, Claim: has}, Peer{Liveness: Gone, Claim: has}, ""},
		{Peer{Liveness: Alive, Claim: lacks}, Peer{Liveness: Gone, Claim: has}, "srv1"},
		{Peer{Liveness: Alive, Claim: lacks}, Peer{Liveness: Gone, Claim: lacks}, "srv9"},
		{Peer{Liveness: Gone, Claim: lacks}, Peer{Liveness: Alive, Claim: lacks}, "srv1"},
		{Peer{Liveness: Alive, Claim: lacks}, Peer{Liveness: Alive}, "srv1"},
		{Peer{Liveness: Gone}, Peer{Liveness: AgentLost}, "srv1"},
	} {
		v.Peers = map[string]Peer{"sb1": {Liveness: Alive, Claim: has}, "srv1": tc.srv1, "srv9": tc.srv9}
		if got := v.lacksDocument(); got != tc.want {
			t.Errorf("%+v, %+v: %q, want %q", tc.srv1, tc.srv9, got, tc.want)
		}
	}
}

// A LIM that runs on its standby leaves when it was brought back, and at once where its own
// server is lost for good: it is stopped there.
func TestLeavingLIMOnTheStandby(t *testing.T) {
	v := newPassage().view("sb1")
	c := v.Document.Cluster("c1")
	v.Started = epoch.Add(-time.Hour)
	v.LIMs[1] = Local{Standing: Standing{State: Running, Term: 4}, Holds: true}
	running := &Claim{Revision: 1, LIMs: []LIMClaim{{LIM: 1, State: Running}}}
	for _, tc := range []struct {
		name string
		srv1 Peer
		dead string
		may  string // part of why it may not begin; "": it may
		want Want   // once it has begun
	}{
		{"its server is well", Peer{Liveness: Alive, Claim: &Claim{Revision: 1, Settled: true}}, "", "bring it back first: mxcluster fallback 1", Run},
		{"its server is lost for good", Peer{Liveness: Gone}, "srv1", "", Stop},
		{"its server is lost, and nobody said so", Peer{Liveness: Gone}, "", "LIM 1 runs on its standby sb1", Run},
		{"it runs on its server after all", Peer{Liveness: Alive, Claim: running}, "srv1", "it is heard", Run},
	} {
		c.LIMs[0].Leaving, c.LIMs[0].Dead = false, ""
		v.Peers = map[string]Peer{"srv1": tc.srv1}
		own := &Claim{Revision: 1, LIMs: []LIMClaim{{LIM: 1, State: Running}}}
		why, hint := MayLeave(v, own, c, 1, tc.dead)
		if text := why + "; " + hint; (why == "") != (tc.may == "") || !strings.Contains(text, tc.may) {
			t.Errorf("%s: %q", tc.name, text)
		}
		c.LIMs[0].Leaving, c.LIMs[0].Dead = true, tc.dead
		if d := Decide(v).For(1); d.Want != tc.want {
			t.Errorf("%s: %s, %s", tc.name, d.Want, d.Reason)
		}
	}
}
