package whatif

import (
	"strings"
	"testing"

	"mxcluster/clusterconf"
	"mxcluster/internal/failover"
)

// Drained servers give up what they run where it can go, and what is locked to them is not
// any more; what speaks against a move that is made all the same is told.
func TestSimulateDrain(t *testing.T) {
	failed := func(lim int) func(*Server) {
		return func(x *Server) {
			x.Claim.LIMs = []failover.LIMClaim{{LIM: lim, State: failover.Failed, Failure: "no licence"}}
		}
	}
	onStandby := func(d *clusterconf.Document, lim int) Present {
		p := after(AllWell(d, now), Scenario{Down: []string{d.RegularOf(lim).Name}})
		p.Assumed = false
		return after(p, Scenario{Up: []string{d.RegularOf(lim).Name}})
	}
	for _, tc := range []struct {
		name     string
		p        Present
		s        Scenario
		want     string
		notReady string // of LIM 1; a part
	}{
		{"a regular server", AllWell(system(nil), now), Scenario{Drain: []string{"srv1"}}, "1 srv1>sb1", ""},
		{"the standby, with nothing there", AllWell(system(nil), now), Scenario{Drain: []string{"sb1"}}, "", ""},
		{"the standby, whose LIM can go home", onStandby(system(nil), 1), Scenario{Drain: []string{"sb1"}}, "1 sb1>srv1", ""},
		{"a server of no cluster", AllWell(system(nil), now), Scenario{Drain: []string{"srv4"}}, "", ""},
		{"a regular server, and its standby is down", AllWell(system(nil), now), Scenario{Drain: []string{"srv1"}, Down: []string{"sb1"}}, "", ""},
		{"a regular server that is down as well", AllWell(system(nil), now), Scenario{Drain: []string{"srv1"}, Down: []string{"srv1"}}, "1 srv1>sb1", ""},
		{"its LIM is locked to it", AllWell(system(lock(1, clusterconf.SideRegular)), now), Scenario{Drain: []string{"srv1"}}, "1 srv1>sb1", ""},
		{"another LIM is locked to its server", AllWell(system(lock(2, clusterconf.SideRegular)), now), Scenario{Drain: []string{"srv1"}, Down: []string{"srv2"}}, "1 srv1>sb1, 2 srv2>", ""},
		{"the standby, and its LIM is locked to it", onStandby(system(lock(1, clusterconf.SideStandby)), 1), Scenario{Drain: []string{"sb1"}}, "1 sb1>srv1", ""},
		{"a regular server whose LIM is locked to the standby", onStandby(system(lock(1, clusterconf.SideStandby)), 1), Scenario{Drain: []string{"srv1"}}, "", ""},
		{"the standby, and one is locked to its own server", onStandby(system(lock(2, clusterconf.SideRegular)), 1), Scenario{Drain: []string{"sb1"}, Down: []string{"srv2"}}, "1 sb1>srv1, 2 srv2>", ""},
		{"the LIM failed on the standby", seen(system(nil), "sb1", failed(1)), Scenario{Drain: []string{"srv1"}}, "1 srv1>", "it failed on sb1: no licence"},
		{"another LIM failed on the standby", seen(system(nil), "sb1", failed(2)), Scenario{Drain: []string{"srv1"}}, "1 srv1>sb1", ""},
		{"nothing of it runs there", seen(system(nil), "srv1", failed(1)), Scenario{Drain: []string{"srv1"}}, "1 >sb1", ""},
	} {
		r := Simulate(tc.p, tc.s)
		why := r.LIM(1).NotReady
		if got := words(r); got != tc.want || (why == "") != (tc.notReady == "") || !strings.Contains(why, tc.notReady) {
			t.Errorf("%s: %q, not ready: %q; want %q, %q", tc.name, got, why, tc.want, tc.notReady)
		}
	}
}

// What surely keeps software from starting keeps a LIM from being taken over.
func TestSimulateSoftwareThatCannotStart(t *testing.T) {
	p := seen(system(nil), "sb1", func(x *Server) {
		x.Claim.LIMs = []failover.LIMClaim{{LIM: 1, State: failover.Stopped, Unable: "program /lim does not exist"}}
	})
	r := Simulate(p, Scenario{Down: []string{"srv1"}})
	if got := words(r); got != "1 srv1>" {
		t.Errorf("of the LIM: %s", got)
	}
	if got := r.LIM(1).Reason; got != "its software cannot start on sb1: program /lim does not exist" {
		t.Errorf("why: %s", got)
	}
	if got := words(Simulate(p, Scenario{Down: []string{"srv2"}})); got != "2 srv2>sb1" {
		t.Errorf("of another one: %s", got)
	}
}

// Who is told of software that failed elsewhere is told where.
func TestSimulateNamesWhereSoftwareFailed(t *testing.T) {
	p := seen(system(nil), "sb1", func(x *Server) {
		x.Claim.LIMs = []failover.LIMClaim{{LIM: 1, State: failover.Failed, Failure: "no licence"}}
	})
	if got := Simulate(p, Scenario{Down: []string{"srv1"}}).LIM(1).Reason; got != "it failed on sb1: no licence" {
		t.Errorf("why: %s", got)
	}
}

// Of two that are down the one that failed first has the standby, also where the other one
// is named first.
func TestSimulateWhoFailedFirst(t *testing.T) {
	p := seen(system(nil), "srv3", func(x *Server) { x.Liveness = failover.Gone })
	if got := words(Simulate(p, Scenario{Down: []string{"srv2", "srv3"}})); got != "2 srv2> waits, 3 >sb1" {
		t.Errorf("srv3 failed an hour ago: %s", got)
	}
}

// A standby takes itself for cut off when it hears none of several that it could hear:
// those of its cluster, and whoever answered before.
func TestSimulateWhoCouldBeHeard(t *testing.T) {
	pair := system(func(c *clusterconf.Cluster) { c.LIMs = c.LIMs[:1] })
	for liveness, want := range map[failover.Liveness]string{failover.Alive: "1 srv1>", failover.Unheard: "1 srv1>sb1"} {
		p := seen(pair, "srv4", func(x *Server) { x.Liveness = liveness })
		for _, name := range []string{"srv2", "srv3"} { // in no cluster, and never heard
			delete(p.Servers, name)
		}
		if got, _, _ := strings.Cut(words(Simulate(p, Scenario{Down: []string{"srv1", "srv4"}})), ","); got != want {
			t.Errorf("beside a server of no cluster that was %s: %s", liveness, got)
		}
	}
}
