package failover

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/clusterconf/clusterconftest"
)

// What keeps an order from being carried out is told before it is given, and whether
// "now" would overrule that.
func TestWhatBlocksOrders(t *testing.T) {
	drained := &clusterconf.Maintenance{By: "root", Reason: "new disk"}
	for _, tc := range []struct {
		name               string
		change             func(*View)
		fallback, failover string // of LIM 2, which runs on the standby, and to it
		ableBack, able     bool
	}{
		{"nothing in the way", func(*View) {}, "[]", "", true, true},
		{"its server is drained", func(v *View) { v.Document.Server("srv2").Drained = drained },
			"[srv2 is drained by root (new disk)]", "", false, true},
		{"the standby is drained", func(v *View) { v.Document.Server("sb1").Drained = drained },
			"[]", "sb1 is drained by root (new disk)", true, false},
		{"one that does not go before it has the standby", func(v *View) { v.Peers["sb1"].Claim.LIMs[0] = LIMClaim{LIM: 3, State: Running} },
			"[]", "sb1 runs LIM 3", true, false},
		{"one that is locked to it has the standby", func(v *View) {
			v.Peers["sb1"].Claim.LIMs[0] = LIMClaim{LIM: 4, State: Running}
			v.Document.Clusters[0].Member(4).Lock = &clusterconf.Lock{To: clusterconf.SideStandby, By: "root"}
		}, "[]", "sb1 runs LIM 4, which is locked to the standby side by root", true, false},
		{"one that goes after it has the standby", func(v *View) { v.Peers["sb1"].Claim.LIMs[0] = LIMClaim{LIM: 4, State: Running} },
			"[]", "", true, true},
		{"one of another cluster has the standby", func(v *View) { v.Peers["sb1"].Claim.LIMs[0] = LIMClaim{LIM: 9, State: Running} },
			"[]", "", true, true},
		{"it failed there", func(v *View) {
			v.Peers["sb1"].Claim.LIMs[0] = LIMClaim{LIM: 2, State: Failed, Failure: "no licence"}
			v.Peers["srv2"].Claim.LIMs = []LIMClaim{{LIM: 2, State: Failed, Reason: "was told to"}}
		}, "[it failed on srv2: was told to]", "it failed on sb1: no licence", true, true},
		{"its agent still stops it there", func(v *View) {
			v.Peers["sb1"].Claim.LIMs[0] = LIMClaim{LIM: 2, State: Stopping}
			v.Peers["srv2"].Claim.LIMs = []LIMClaim{{LIM: 2, State: Stopping}}
		}, "[it is being stopped on srv2]", "it is being stopped on sb1", true, false},
		{"it is up there", func(v *View) {
			v.Peers["sb1"].Claim.LIMs[0] = LIMClaim{LIM: 2, State: Starting}
			v.Peers["srv2"].Claim.LIMs = []LIMClaim{{LIM: 2, State: Running}}
		}, "[it is still up on srv2]", "it is still up on sb1", true, false},
	} {
		d := clusterconftest.System(1, 4)
		v := View{Now: epoch, Self: "sb1", Settled: true, Document: d, LIMs: map[int]Local{},
			Peers: map[string]Peer{"sb1": {Liveness: Alive, Claim: &Claim{Server: "sb1", Revision: 7, Settled: true, LIMs: make([]LIMClaim, 1)}}}}
		d.Clusters[0].Member(4).Priority++
		for _, name := range []string{"srv2", "srv3", "srv4"} {
			v.Peers[name] = Peer{Liveness: Alive, Claim: &Claim{Server: name, Revision: 7, Settled: true}}
		}
		tc.change(&v)
		if why, able := FallbackBlockedBy(v, 2); fmt.Sprint(why) != tc.fallback || able != tc.ableBack {
			t.Errorf("%s: fallback: %q, %t", tc.name, why, able)
		}
		v.Self = "srv2"
		if why, able := FailoverBlockedBy(v, 2); strings.Join(why, "; ") != tc.failover || able != tc.able {
			t.Errorf("%s: failover: %q, %t", tc.name, why, able)
		}
	}
	v := trio()
	if why, able := FallbackBlockedBy(v, 9); len(why) != 1 || able {
		t.Errorf("a LIM that is none: %q, %t", why, able)
	}
}

// An order that costs another LIM the standby says which.
func TestEvicts(t *testing.T) {
	v := trio()
	v.Self = "srv1"
	for state, want := range map[State]int{Running: 2, Starting: 2, Stopped: 0, Preloaded: 0} {
		v.Peers["sb1"] = Peer{Liveness: Alive, Claim: &Claim{LIMs: []LIMClaim{{LIM: 1, State: Running}, {LIM: 2, State: state}}}}
		if got := Evicts(v, &v.Document.Clusters[0], 1); got != want {
			t.Errorf("LIM 2 is %s on the standby: %d", state, got)
		}
	}
}

// A lock is against an order away from the side that it names, for as long as it holds.
func TestLocksAgainstOrders(t *testing.T) {
	over := epoch
	for _, tc := range []struct {
		lock                       *clusterconf.Lock
		failover, fallback         bool // it is against them
		hereRegular, hereOnStandby bool
	}{
		{nil, false, false, false, false},
		{&clusterconf.Lock{To: clusterconf.SideRegular}, true, false, true, false},
		{&clusterconf.Lock{To: clusterconf.SideStandby}, false, true, false, true},
		{&clusterconf.Lock{To: clusterconf.SideStandby, Expires: &over}, false, false, false, false},
	} {
		v := trio()
		v.Document.Clusters[0].Member(1).Lock = tc.lock
		if got := LockAgainst(v, Failover, 1) != ""; got != tc.failover {
			t.Errorf("%+v against a failover: %t", tc.lock, got)
		}
		if got := LockAgainst(v, Fallback, 1) != ""; got != tc.fallback {
			t.Errorf("%+v against a fallback: %t", tc.lock, got)
		}
		for self, want := range map[string]bool{"srv1": tc.hereRegular, "sb1": tc.hereOnStandby, "nobody": false} {
			v.Self = self
			if got := LockedHere(v, 1); got != want {
				t.Errorf("%+v, seen on %s: %t", tc.lock, self, got)
			}
		}
	}
	v := trio() // LIM 4 is in no cluster
	if LockAgainst(v, Failover, 4) != "" || LockedHere(v, 4) {
		t.Error("a LIM that is in no cluster is locked")
	}
}

// The order to take a LIM from a dead server is offered where nothing else would do.
func TestRemedyOfIsolation(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*View)
		want   bool
	}{
		{"it hears nobody", func(v *View) { v.Isolated = true }, true},
		{"its link is down", func(v *View) { v.Isolated, v.Down = true, true }, false},
		{"an arbiter decides", func(v *View) { v.Isolated, v.Arbiter = true, &Arbiter{} }, false},
		{"it has just started", func(v *View) { v.Settled = false }, false},
		{"its document is behind", func(v *View) { v.Peers["srv2"].Claim.Revision++ }, false},
		{"the server's kernel answers", func(v *View) {
			v.Isolated, v.Peers["srv1"], v.Wire = true, Peer{Liveness: AgentLost}, map[int]Wire{1: {Silent: true}}
		}, false},
	} {
		v := trio()
		tc.change(&v)
		d := Decide(v).For(1)
		if d.Want != Wait {
			t.Errorf("%s: %s, %s", tc.name, d.Want, d.Reason)
		}
		if (d.Remedy != nil) != tc.want {
			t.Errorf("%s: remedy %+v", tc.name, d.Remedy)
		}
	}
}

// Failures soon after a fallback count for an hour from it, and hold the next one back.
func TestFlaps(t *testing.T) {
	for _, tc := range []struct {
		f      Flaps
		recent int
		hold   time.Duration
	}{
		{Flaps{}, 0, 0},
		{Flaps{Count: 1}, 1, 2 * time.Minute},
		{Flaps{Count: 3, FellBack: epoch.Add(-time.Hour + 1)}, 3, 8 * time.Minute},
		{Flaps{Count: 3, FellBack: epoch.Add(-time.Hour)}, 0, 8 * time.Minute},
		{Flaps{Count: 90}, 90, time.Hour},
	} {
		if got := tc.f.Recent(epoch); got != tc.recent {
			t.Errorf("%+v: %d count", tc.f, got)
		}
		if got := tc.f.Hold(2 * time.Minute); got != tc.hold || tc.f.Hold(0) != 0 {
			t.Errorf("%+v: held for %s", tc.f, got)
		}
	}
}

// What ends by itself does not block soon; what has to be mended does.
func TestWhatBlocksSoon(t *testing.T) {
	for _, tc := range []struct {
		name           string
		change         func(*View, *Claim) // of the server that is moved to
		back, failover string
	}{
		{"it has just started, and still stops it", func(_ *View, c *Claim) { c.Settled, c.LIMs = false, []LIMClaim{{LIM: 2, State: Stopping}} }, "[]", ""},
		{"it runs it", func(_ *View, c *Claim) { c.LIMs = []LIMClaim{{LIM: 2, State: Running}} }, "[it is still up on srv2]", "it is still up on sb1"},
		{"it has just started, and is drained", func(v *View, c *Claim) {
			c.Settled = false
			v.Document.Server(c.Server).Drained = &clusterconf.Maintenance{By: "root", Reason: "new disk"}
		}, "[srv2 is drained by root (new disk)]", "sb1 is drained by root (new disk)"},
	} {
		blocked := func(self, target string) View {
			d := clusterconftest.System(1, 2)
			v := View{Now: epoch, Self: self, Settled: true, Document: d, LIMs: map[int]Local{}, Peers: map[string]Peer{}}
			c := &Claim{Server: target, Revision: d.Revision, Settled: true}
			tc.change(&v, c)
			v.Peers[target] = Peer{Liveness: Alive, Claim: c}
			return Soon(v, target, 2)
		}
		if why, _ := FallbackBlockedBy(blocked("sb1", "srv2"), 2); fmt.Sprint(why) != tc.back {
			t.Errorf("%s: fallback: %q", tc.name, why)
		}
		if why, _ := FailoverBlockedBy(blocked("srv2", "sb1"), 2); strings.Join(why, "; ") != tc.failover {
			t.Errorf("%s: failover: %q", tc.name, why)
		}
	}
}
