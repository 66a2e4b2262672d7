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
		v.LIMs[1] = Local{State: Stopped}
		if s.alias {
			v.LIMs[1] = Local{State: Preloaded, Holds: true}
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
