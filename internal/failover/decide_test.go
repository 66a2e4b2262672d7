package failover

import (
	"strings"
	"testing"
	"time"

	"mxcluster/clusterconf"
)

// A LIM that no cluster protects runs on its server under the term that it has, and what
// belongs on no server of the document runs nowhere.
func TestDecideWithoutCluster(t *testing.T) {
	for _, tc := range []struct {
		name, self string
		lims       map[int]Local
		want       string
	}{
		{"it was never started", "srv4", map[int]Local{}, "lim 4: run term 1 [home] runs on its server; it is in no cluster\n"},
		{"it runs", "srv4", map[int]Local{4: {Standing: Standing{State: Running, Term: 6}}}, "lim 4: run term 6 [home] runs on its server; it is in no cluster\n"},
		{"it failed a moment ago", "srv4", map[int]Local{4: {Standing: Standing{State: Failed, Failure: "no licence", RetryAt: epoch.Add(1)}}}, "lim 4: wait [software] failed here: no licence; next try at 02:00:00Z\n"},
		{"it is to be tried again", "srv4", map[int]Local{4: {Standing: Standing{State: Failed, Failure: "no licence", RetryAt: epoch}}}, "lim 4: run term 1 [home] runs on its server; it is in no cluster\n"},
		{"a server without a LIM", "free1", map[int]Local{}, "nothing concerns this server\n"},
		{"what is left of a LIM there", "free1", map[int]Local{1: {Standing: Standing{State: Stopped}, Holds: true}, 2: {Standing: Standing{State: Stopped}}}, "lim 1: stop [one-place] the cluster document does not place it on this server\n"},
		{"a server that is not in the document", "old1", map[int]Local{1: {Standing: Standing{State: Running}}}, "lim 1: stop [one-place] the cluster document does not place it on this server\n"},
	} {
		v := trio()
		v.Document.Servers = append(v.Document.Servers, clusterconf.Server{Name: "free1"})
		v.Self, v.LIMs = tc.self, tc.lims
		if got := trace(Decide(v)); got != tc.want {
			t.Errorf("%s: %s", tc.name, got)
		}
	}
}

// Of two sides that are active and have no alias the later term goes first, and of equal
// terms the side that does not yield; a lock goes before both.
func TestOutranks(t *testing.T) {
	for _, tc := range []struct {
		mine, theirs    uint64
		yields, lock    clusterconf.Side
		regular, atHome bool // theirs has the alias
		want            bool // the regular side goes first
	}{
		{mine: 2, theirs: 1, yields: clusterconf.SideRegular, want: true},
		{mine: 1, theirs: 2, yields: clusterconf.SideStandby, want: false},
		{mine: 2, theirs: 2, yields: clusterconf.SideStandby, want: true},
		{mine: 2, theirs: 2, yields: clusterconf.SideRegular, want: false},
		{mine: 1, theirs: 2, yields: clusterconf.SideRegular, lock: clusterconf.SideRegular, want: true},
		{mine: 2, theirs: 1, yields: clusterconf.SideStandby, lock: clusterconf.SideStandby, want: false},
	} {
		v := trio()
		c := &v.Document.Clusters[0]
		v.Self, c.SplitBrainStop = "srv1", tc.yields
		if tc.lock != "" {
			c.Member(1).Lock = &clusterconf.Lock{To: tc.lock}
		}
		mine, theirs := Local{Standing: Standing{State: Running, Term: tc.mine}}, LIMClaim{LIM: 1, State: Running, Term: tc.theirs}
		if got := v.outranks(c, mine, theirs, clusterconf.SideRegular); got != tc.want {
			t.Errorf("%+v: %t", tc, got)
		}
		if mine.State = Stopped; v.outranks(c, mine, theirs, clusterconf.SideRegular) {
			t.Errorf("%+v: what is not active goes first", tc)
		}
		mine.State, theirs.Holds = Running, true
		if v.outranks(c, mine, theirs, clusterconf.SideRegular) {
			t.Errorf("%+v: it goes before one that has the alias", tc)
		}
	}
}

// What runs keeps its term, unless a higher one was heard of, whose server says itself that
// it has stopped.
func TestHoldingTerm(t *testing.T) {
	for _, tc := range []struct {
		name  string
		term  uint64
		known Place
		peer  Peer // where it is known to have run
		want  uint64
	}{
		{"the latest is its own", 3, Place{3, "sb1"}, Peer{}, 3},
		{"a later one of its own", 3, Place{5, "sb1"}, Peer{}, 6},
		{"an earlier one elsewhere", 3, Place{2, "srv1"}, Peer{}, 3},
		{"it never had one", 0, Place{4, "srv1"}, Peer{}, 5},
		{"the same one elsewhere, stopped", 3, Place{3, "srv1"}, Peer{Liveness: Alive, Claim: &Claim{LIMs: []LIMClaim{{LIM: 1, Known: Place{3, "srv1"}}}}}, 4},
		{"a later one elsewhere, stopped", 3, Place{7, "srv1"}, Peer{Liveness: Alive, Claim: &Claim{LIMs: []LIMClaim{{LIM: 1, Known: Place{7, "srv1"}}}}}, 8},
		{"a later one elsewhere, not stopped", 3, Place{7, "srv1"}, Peer{Liveness: Alive, Claim: &Claim{LIMs: []LIMClaim{{LIM: 1, State: Running, Known: Place{7, "srv1"}}}}}, 3},
		{"a later one elsewhere, that one does not know of", 3, Place{7, "srv1"}, Peer{Liveness: Alive, Claim: &Claim{LIMs: []LIMClaim{{LIM: 1, Known: Place{6, "srv1"}}}}}, 3},
		{"a later one elsewhere, silent", 3, Place{7, "srv1"}, Peer{Liveness: Gone, Claim: &Claim{LIMs: []LIMClaim{{LIM: 1, Known: Place{7, "srv1"}}}}}, 3},
	} {
		v := trio()
		l := Local{Standing: Standing{State: Running, Term: tc.term, Known: tc.known}, Holds: true}
		v.LIMs[1], v.Peers["srv1"] = l, tc.peer
		if got := v.holdingTerm(1, l); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.name, got, tc.want)
		}
	}
}

// A server that was last heard of under a higher term keeps its place; one that is beyond
// all counting is damage.
func TestLater(t *testing.T) {
	mine := Place{3, "srv1"}
	for _, tc := range []struct{ other, want Place }{
		{Place{2, "sb1"}, mine}, {Place{3, "sb1"}, mine}, {Place{4, "sb1"}, Place{4, "sb1"}},
		{Place{maxTerm - 1, "sb1"}, Place{maxTerm - 1, "sb1"}}, {Place{maxTerm, "sb1"}, mine},
	} {
		if got := mine.Later(tc.other); got != tc.want {
			t.Errorf("after %+v: %+v", tc.other, got)
		}
	}
}

// Of several servers with newer documents the newest counts, and of those that have it the
// first by name is told of: always the same one.
func TestBehind(t *testing.T) {
	for range 20 { // in whatever order they are looked at
		v := trio()
		for name, revision := range map[string]uint64{"srv1": 7, "srv2": 9, "srv3": 9, "srv4": 8} {
			v.Peers[name] = Peer{Liveness: Alive, Claim: &Claim{Revision: revision}}
		}
		if got, want := v.behind(), "srv2 has a newer cluster document (9, here 7)"; got != want {
			t.Fatalf("%q, want %q", got, want)
		}
		v.Document.Revision = 9
		if got := v.behind(); got != "" {
			t.Fatalf("with the newest one: %q", got)
		}
	}
}

// While LIMs leave the standby, the first of them is told of.
func TestActiveHereExcept(t *testing.T) {
	for range 20 {
		v := trio()
		v.LIMs = map[int]Local{1: {Standing: Standing{State: Running}}, 2: {Standing: Standing{State: Stopping}}, 3: {Standing: Standing{State: Stopped}, Holds: true}, 4: {Standing: Standing{State: Stopped}}}
		for lim, want := range map[int]int{1: 2, 2: 1, 3: 1} {
			if got := v.activeHereExcept(lim); got != want {
				t.Fatalf("besides LIM %d: %d, want %d", lim, got, want)
			}
		}
	}
}

// A LIM is left down on an idle server for as long as it may take to start, and the arbiter
// counts as reached by all when it has answered for that long.
func TestTimeToStart(t *testing.T) {
	for _, tc := range []struct {
		idle, answers time.Duration
		want          Want
	}{
		{startLimit, startLimit, Run}, {startLimit - 1, startLimit, Stop}, {startLimit, startLimit - 1, Stop},
	} {
		v := trio()
		v.Arbiter = &Arbiter{Lease: time.Second, Since: epoch.Add(-tc.answers), LIMs: map[int]Verdict{1: {Word: Ours}}}
		v.Peers["srv1"] = Peer{Liveness: Alive, IdleSince: epoch.Add(-tc.idle), Claim: &Claim{Revision: 7, Settled: true}}
		if d := Decide(v).For(1); d.Want != tc.want {
			t.Errorf("%+v: %s, %s", tc, d.Want, d.Reason)
		}
	}
}

// Of two equal documents the own one says who yields; a newer one goes before it.
func TestYieldsByTheNewerDocument(t *testing.T) {
	for revision, want := range map[uint64]clusterconf.Side{6: clusterconf.SideRegular, 7: clusterconf.SideRegular, 8: clusterconf.SideStandby} {
		v := trio()
		v.Peers["srv1"] = Peer{Liveness: Alive, Claim: &Claim{Revision: revision, LIMs: []LIMClaim{{LIM: 1, Yields: clusterconf.SideStandby}}}}
		if got := v.yields(&v.Document.Clusters[0], 1); got != want {
			t.Errorf("beside revision %d: the %s side stops", revision, got)
		}
	}
}

// A passive side that may have missed a newer document does not load by its own.
func TestPreloadWaitsForDocument(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*View)
		want   Want
		reason string // a part
	}{
		{"all are heard", func(*View) {}, Preload, ""},
		{"one has a newer one", func(v *View) { v.Peers["srv2"].Claim.Revision++ }, Wait, "srv2 has a newer cluster document"},
		{"nobody is heard, for a while", func(v *View) { v.silent(); v.Started = epoch.Add(-time.Minute + 1) }, Wait, "waits until 02:00:00Z for a newer cluster document"},
		{"nobody is heard, for long", func(v *View) { v.silent(); v.Started = epoch.Add(-time.Minute) }, Preload, ""},
	} {
		v := trio()
		v.Document.Clusters[0].Failover = clusterconf.FailoverPreloaded
		v.Document.Clusters[0].Member(1).Lock = &clusterconf.Lock{To: clusterconf.SideRegular}
		tc.change(&v)
		if d := Decide(v).For(1); d.Want != tc.want || !strings.Contains(d.Reason, tc.reason) {
			t.Errorf("%s: %s, %s", tc.name, d.Want, d.Reason)
		}
	}
}

// silent has nobody be heard.
func (v *View) silent() {
	for name := range v.Peers {
		v.Peers[name] = Peer{Liveness: Unheard}
	}
}

// The word of an agent that was stopped on purpose is good as long as its alias answers,
// and as long as somebody is sure to answer for it.
func TestWordOfAStoppedAgent(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Peer, *View)
		active bool
	}{
		{"stopped, and its alias answers", func(*Peer, *View) {}, true},
		{"its alias is silent", func(_ *Peer, v *View) { v.Wire = map[int]Wire{1: {Silent: true}} }, false},
		{"it was not stopped on purpose", func(p *Peer, _ *View) { p.Claim.Parked = false }, false},
		{"it is gone", func(p *Peer, _ *View) { p.Liveness = Gone }, false},
		{"it lives", func(p *Peer, _ *View) { p.Liveness = Alive }, true},
		{"it never spoke", func(p *Peer, _ *View) { p.Claim = nil }, false},
		{"it had the LIM down", func(p *Peer, _ *View) { p.Claim.LIMs[0].State = Stopped }, false},
		{"others may answer for it, until its lease ends", func(p *Peer, _ *View) { p.Doubtful, p.LeaseEnds = true, epoch.Add(1) }, true},
		{"others may answer for it, and its lease is over", func(p *Peer, _ *View) { p.Doubtful, p.LeaseEnds = true, epoch }, false},
		{"others may answer for it, and its lease is not known", func(p *Peer, _ *View) { p.Doubtful = true }, true},
		{"nobody else answers for it", func(p *Peer, _ *View) { p.LeaseEnds = epoch }, true},
		{"it lives, whoever answers for it", func(p *Peer, _ *View) { p.Liveness, p.Doubtful, p.LeaseEnds = Alive, true, epoch }, true},
	} {
		v := trio()
		p := Peer{Liveness: AgentLost, Claim: &Claim{Parked: true, LIMs: []LIMClaim{{LIM: 1, State: Running}}}}
		tc.change(&p, &v)
		if got := v.active(p, 1); got != tc.active {
			t.Errorf("%s: %t", tc.name, got)
		}
		if p.Liveness == Alive && p.Expired(epoch) {
			t.Errorf("%s: it counts as expired", tc.name)
		}
	}
}
