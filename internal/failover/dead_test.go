package failover

import (
	"strings"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/clusterconf/clusterconftest"
)

// trio is the standby's view of a [clusterconftest.Trio], long after its start, and srv1 is
// gone.
func trio() View {
	v := View{Now: epoch, Self: "sb1", Started: epoch.Add(-time.Hour), StartGrace: time.Minute, Settled: true,
		Document: clusterconftest.Trio(nil), Peers: map[string]Peer{"srv1": {Liveness: Gone}}, LIMs: map[int]Local{}}
	for _, name := range []string{"srv2", "srv3", "srv4"} {
		v.Peers[name] = Peer{Liveness: Alive, Claim: &Claim{Server: name, Revision: 7}}
	}
	return v
}

// active has the standby run a LIM.
func active(lim int) func(*View) {
	return func(v *View) { v.LIMs[lim] = Local{Standing: Standing{State: Running, Term: 4}} }
}

func TestMayTakeFromDead(t *testing.T) {
	peer := func(name string, p Peer) func(*View) { return func(v *View) { v.Peers[name] = p } }
	for _, tc := range []struct {
		name   string
		change func(*View)
		lim    int
		dead   string
		why    string // a part; "": it may
	}{
		{"nothing in the way", func(*View) {}, 1, "srv1", ""},
		{"in no cluster", func(*View) {}, 4, "srv4", "is in no cluster"},
		{"no such LIM", func(*View) {}, 9, "srv1", "is in no cluster"},
		{"another server is named", func(*View) {}, 1, "srv2", "the server of LIM 1 is srv1"},
		{"asked of another server", func(v *View) { v.Self = "srv2" }, 1, "srv1", "srv2 is not the standby"},
		{"it leaves", func(v *View) { v.Document.Clusters[0].Member(1).Leaving = true }, 1, "srv1", "leaves cluster c1"},
		{"another one leaves", func(v *View) { v.Document.Clusters[0].Member(2).Leaving = true }, 1, "srv1", ""},
		{"an arbiter", func(v *View) { v.Arbiter = &Arbiter{} }, 1, "srv1", "the arbiter says"},
		{"no link", func(v *View) { v.Down = true }, 1, "srv1", "the link of sb1 is down"},
		{"it is heard", peer("srv1", Peer{Liveness: Alive, Claim: &Claim{}}), 1, "srv1", "srv1 is heard"},
		{"its kernel answers", peer("srv1", Peer{Liveness: AgentLost}), 1, "srv1", "its kernel answers"},
		{"never heard, waited for", func(v *View) { v.Peers["srv1"], v.Started = Peer{Liveness: Unheard}, epoch.Add(-time.Second) }, 1, "srv1", "is waited for until"},
		{"never heard, waited for to the last instant", func(v *View) { v.Peers["srv1"], v.Started = Peer{Liveness: Unheard}, epoch.Add(-time.Minute+1) }, 1, "srv1", "is waited for until"},
		{"never heard", func(v *View) { v.Peers["srv1"], v.Started = Peer{Liveness: Unheard}, epoch.Add(-time.Minute) }, 1, "srv1", ""},
		{"nothing known of it", func(v *View) { delete(v.Peers, "srv1") }, 1, "srv1", ""},
		{"not settled", func(v *View) { v.Settled = false }, 1, "srv1", "waits to hear the other servers"},
		{"a newer document", peer("srv2", Peer{Liveness: Alive, Claim: &Claim{Revision: 8}}), 1, "srv1", "srv2 has a newer cluster document (8, here 7)"},
		{"a newer document, of one that is gone", peer("srv2", Peer{Liveness: Gone, Claim: &Claim{Revision: 8}}), 1, "srv1", ""},
		{"it runs here already", active(1), 1, "srv1", ""},
		{"a lower one is here", active(2), 1, "srv1", ""},
		{"a higher one is here", active(1), 2, "srv2", "sb1 runs LIM 1"},
		{"one of the same priority is here", active(3), 2, "srv2", "sb1 runs LIM 3"},
		{"a lower one that is locked is here", func(v *View) {
			active(2)(v)
			v.Document.Clusters[0].Member(2).Lock = &clusterconf.Lock{To: clusterconf.SideStandby, By: "root"}
		}, 1, "srv1", "sb1 runs LIM 2, which is locked to the standby side by root"},
		{"a lower one that is locked to its server is here", func(v *View) {
			active(2)(v)
			v.Document.Clusters[0].Member(2).Lock = &clusterconf.Lock{To: clusterconf.SideRegular}
		}, 1, "srv1", ""},
	} {
		v := trio()
		if tc.lim == 2 {
			v.Peers["srv2"] = Peer{Liveness: Gone}
		}
		tc.change(&v)
		switch why, hint := MayTakeFromDead(v, tc.lim, tc.dead); {
		case tc.why == "" && why != "", !strings.Contains(why, tc.why):
			t.Errorf("%s: %q, want %q", tc.name, why, tc.why)
		case why != "" && hint == "" && !strings.Contains(why, "in no cluster"):
			t.Errorf("%s: %q without a remedy", tc.name, why)
		}
	}
}

// The word that a server is dead is good for one start, and as long as nothing is heard.
func TestSaidDead(t *testing.T) {
	order := Order{Kind: Failover, LIM: 1, Dead: "srv1", Expires: epoch.Add(time.Minute)}
	for _, tc := range []struct {
		name   string
		change func(*View, *Order)
		want   bool
	}{
		{"as given", func(*View, *Order) {}, true},
		{"of another server", func(_ *View, o *Order) { o.Dead = "srv2" }, false},
		{"no such word", func(_ *View, o *Order) { o.Dead = "" }, false},
		{"over", func(_ *View, o *Order) { o.Expires = epoch }, false},
		{"to the last instant", func(_ *View, o *Order) { o.Expires = epoch.Add(1) }, true},
		{"of another LIM", func(_ *View, o *Order) { o.LIM = 2 }, false},
		{"a fallback", func(_ *View, o *Order) { o.Kind = Fallback }, false},
		{"an arbiter", func(v *View, _ *Order) { v.Arbiter = &Arbiter{} }, false},
		{"it is heard", func(v *View, _ *Order) { v.Peers["srv1"] = Peer{Liveness: Alive, Claim: &Claim{}} }, false},
		{"used, and it runs", func(v *View, o *Order) { active(1)(v); o.Term = 4 }, true},
		{"used for another start", func(v *View, o *Order) { active(1)(v); o.Term = 3 }, false},
		{"used, and it does not run any more", func(v *View, o *Order) { v.LIMs[1] = Local{Standing: Standing{State: Stopped, Term: 4}}; o.Term = 4 }, false},
	} {
		v, o := trio(), order
		tc.change(&v, &o)
		v.Orders = []Order{{Kind: Failover, LIM: 3, Dead: "srv3", Expires: epoch.Add(time.Hour)}, o}
		if got := v.saidDead(1, "srv1"); (got != nil) != tc.want {
			t.Errorf("%s: %+v", tc.name, got)
		}
	}
}

func TestMakesRoom(t *testing.T) {
	for here := 1; here <= 3; here++ {
		for lim := 1; lim <= 3; lim++ {
			v := trio()
			active(here)(&v)
			want := here
			if lim == here {
				want = 0
			}
			if got := MakesRoom(v, lim); got != want {
				t.Errorf("LIM %d beside %d: %d makes room, want %d", lim, here, got, want)
			}
		}
	}
}

// Of two holders one yields, and each knows which server the other is.
func TestYields(t *testing.T) {
	for _, tc := range []struct {
		self   string
		side   clusterconf.Side
		lim    int
		yields bool
		other  string
	}{
		{"srv1", clusterconf.SideRegular, 1, true, "sb1"}, {"srv1", clusterconf.SideStandby, 1, false, "sb1"},
		{"sb1", clusterconf.SideRegular, 1, false, "srv1"}, {"sb1", clusterconf.SideStandby, 1, true, "srv1"},
		{"srv4", clusterconf.SideRegular, 4, false, ""}, {"sb1", clusterconf.SideRegular, 9, false, ""},
	} {
		v := trio()
		v.Self, v.Document.Clusters[0].SplitBrainStop = tc.self, tc.side
		if yields, other := Yields(v, tc.lim); yields != tc.yields || other != tc.other {
			t.Errorf("%+v: %t, %q", tc, yields, other)
		}
	}
}
