package whatif

import (
	"slices"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/failover"
	"mxcluster/internal/fault"
)

// seen is a system of which all was seen to be well, with one server as it is given.
func seen(d *clusterconf.Document, name string, change func(*Server)) Present {
	p := AllWell(d, now)
	p.Assumed = false
	x := p.Servers[name]
	c := *x.Claim
	c.LIMs = slices.Clone(c.LIMs)
	x.Claim = &c
	change(&x)
	p.Servers[name] = x
	return p
}

// What a server that is not as it should be says of its LIM counts in a simulation.
func TestSimulateFromWhatIsSeen(t *testing.T) {
	parked := func(x *Server) { x.Liveness, x.Claim.Parked = failover.AgentLost, true }
	for _, tc := range []struct {
		name string
		p    Present
		s    Scenario
		want string
	}{
		{"an agent that was stopped leaves its LIM running", seen(system(nil), "srv1", parked), Scenario{}, ""},
		{"and loses it with its power", seen(system(nil), "srv1", parked), Scenario{Down: []string{"srv1"}}, "1 srv1>sb1"},
		{"an agent that is silent", seen(system(nil), "srv1", func(x *Server) { x.Liveness = failover.AgentLost }), Scenario{}, "1 >sb1"},
		{"a stopped agent whose LIM was down", seen(system(nil), "srv1", func(x *Server) { parked(x); x.Claim.LIMs[0].State, x.Claim.LIMs[0].Holds = failover.Stopped, false }), Scenario{}, "1 >sb1"},
		{"a silent agent of which nothing was heard", seen(system(nil), "srv1", func(x *Server) { x.Liveness, x.Claim = failover.AgentLost, nil }), Scenario{}, "1 >sb1"},
	} {
		if got := words(Simulate(tc.p, tc.s)); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

// A standby that hears a newer document than its own takes nothing over; one that has the
// newest does.
func TestSimulateANewerDocument(t *testing.T) {
	for revision, want := range map[uint64]string{6: "1 srv1>sb1", 7: "1 srv1>sb1", 8: "1 srv1>"} {
		p := seen(system(nil), "srv4", func(x *Server) { x.Claim.Revision = revision })
		if got := words(Simulate(p, Scenario{Down: []string{"srv1"}})); got != want {
			t.Errorf("revision %d: %q, want %q", revision, got, want)
		}
	}
}

// LIMs are told in their order, whichever that of their servers is.
func TestSimulateTellsLIMsInOrder(t *testing.T) {
	d := system(nil)
	slices.Reverse(d.Servers)
	var got []int
	for _, o := range Simulate(AllWell(d, now), Scenario{}).LIMs {
		got = append(got, o.LIM)
	}
	if !slices.Equal(got, []int{1, 2, 3, 4}) {
		t.Errorf("got %v", got)
	}
}

// A server that was gone before does not go once more: it is not waited for anew.
func TestSimulateWhatWasGone(t *testing.T) {
	p := seen(system(nil), "srv1", func(x *Server) { x.Liveness, x.Claim = failover.Gone, nil })
	w := newPlay(p, Scenario{Down: []string{"srv1", "srv2"}})
	if w.nodes["srv1"].changed || !w.nodes["srv2"].changed {
		t.Errorf("srv1 changed %t, srv2 %t", w.nodes["srv1"].changed, w.nodes["srv2"].changed)
	}
	if since := w.peer(w.nodes["sb1"], w.nodes["srv1"]).Since; !since.Equal(now.Add(-time.Hour)) {
		t.Errorf("gone since %s", since)
	}
}

// Only who has a newer document is heard beyond its cluster.
func TestSimulateHearsOthersForTheirDocumentAlone(t *testing.T) {
	for revision, want := range map[uint64]int{6: 0, 7: 0, 8: 1} {
		p := seen(system(nil), "srv4", func(x *Server) { x.Claim.Revision = revision })
		w := newPlay(p, Scenario{})
		if len(w.newer) != want || len(w.view(w.nodes["sb1"]).Peers) != 3+want {
			t.Errorf("revision %d: %d newer, peers %d", revision, len(w.newer), len(w.view(w.nodes["sb1"]).Peers))
		}
	}
}

// That a LIM is suspended is told with the run of its server for which it holds.
func TestSimulateWhatIsSuspended(t *testing.T) {
	claim := failover.LIMClaim{LIM: 1, Suspended: true, Reason: "why"}
	w := newPlay(AllWell(system(nil), now), Scenario{})
	if got := w.local(claim).Suspended; got.Run != "srv1" || got.Why != "why" {
		t.Errorf("suspended %+v", got)
	}
	claim.LIM = 9 // of no server
	if got := w.local(claim).Suspended; got != (failover.Suspension{}) {
		t.Errorf("of no server: %+v", got)
	}
	claim.LIM = 1
	delete(w.Servers, "srv1")
	if got := w.local(claim).Suspended; got != (failover.Suspension{}) {
		t.Errorf("of a server that was not heard: %+v", got)
	}
}

// A regular server leaves its own LIM down since it is down on both sides.
func TestSimulateSinceWhenIdle(t *testing.T) {
	for _, tc := range []struct {
		name   string
		lim    int
		change func(w *play)
		idle   bool
	}{
		{"it runs here", 1, func(*play) {}, false},
		{"it is down", 1, func(w *play) {
			w.nodes["srv1"].lims[1] = failover.Local{Standing: failover.Standing{State: failover.Stopped}}
		}, true},
		{"it runs on the standby", 1, func(w *play) {
			w.nodes["srv1"].lims[1] = failover.Local{Standing: failover.Standing{State: failover.Stopped}}
			w.nodes["sb1"].lims[1] = failover.Local{Standing: failover.Standing{State: failover.Running}}
		}, false},
		{"of no cluster", 4, func(w *play) {
			w.nodes["srv4"].lims[4] = failover.Local{Standing: failover.Standing{State: failover.Stopped}}
		}, false},
		{"no LIM", 0, func(*play) {}, false},
	} {
		w := newPlay(AllWell(system(nil), now), Scenario{})
		tc.change(w)
		n := w.nodes["srv1"]
		w.noteIdle(n, tc.lim)
		if n.idle.IsZero() == tc.idle {
			t.Errorf("%s: idle since %s", tc.name, n.idle)
		}
	}
}

// A name that is mistyped is taken for the nearest one; one that is like none, for none.
func TestScenarioHints(t *testing.T) {
	for name, want := range map[string]string{"srv11": "did you mean srv1?", "zzzzzz": "mxcluster server list"} {
		if got := fault.HintOf(Scenario{Down: []string{name}}.Check(system(nil))); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
