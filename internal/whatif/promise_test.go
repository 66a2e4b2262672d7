package whatif

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mxcluster/clusterconf"
	"mxcluster/internal/failover"
)

// kept says a promise in one line.
func kept(p *failover.Promise) string {
	switch {
	case p.Covered == nil:
		return "unknown: " + p.Why
	case *p.Covered:
		return "yes, by " + p.By + ": " + p.Why
	}
	text := "no: " + p.Why
	if p.Remedy != nil {
		text += "; " + p.Remedy.Command
	}
	return text
}

// claimOf returns a server's claim for a LIM, to change it.
func claimOf(p Present, server string, lim int) *failover.LIMClaim {
	c := p.Servers[server].Claim
	for i := range c.LIMs {
		if c.LIMs[i].LIM == lim {
			return &c.LIMs[i]
		}
	}
	c.LIMs = append(c.LIMs, failover.LIMClaim{LIM: lim, State: failover.Stopped})
	return &c.LIMs[len(c.LIMs)-1]
}

// moveToStandby moves a LIM to the standby.
func moveToStandby(p Present, lim int) {
	r := p.Document.RegularOf(lim).Name
	home, away := claimOf(p, r, lim), claimOf(p, "sb1", lim)
	away.State, away.Holds, away.Term, away.Known = failover.Running, true, 2, failover.Place{Term: 2, Server: "sb1"}
	home.State, home.Holds, home.Known = failover.Stopped, false, away.Known
}

func lose(p Present, server string, to failover.Liveness) {
	s := p.Servers[server]
	s.Liveness = to
	p.Servers[server] = s
}

func TestPromises(t *testing.T) {
	data := func(hours int) *failover.Data {
		return &failover.Data{Version: "xdata_1_2026030100000" + string(rune('0'+hours)), Newest: now.Add(time.Duration(hours) * time.Hour)}
	}
	maintenance := &clusterconf.Maintenance{Since: now.Add(-time.Hour), By: "ann"}
	for _, tt := range []struct {
		name   string
		change func(p Present)
		want   string
	}{
		{"all is well", func(Present) {}, "yes, by sb1: "},
		{"on the standby", func(p Present) { moveToStandby(p, 1) }, "yes, by srv1: "},
		{"on the standby, its own server down", func(p Present) { moveToStandby(p, 1); lose(p, "srv1", failover.Gone) }, "no: srv1 is down"},
		{"the standby down", func(p Present) { lose(p, "sb1", failover.Gone) }, "no: sb1 is down"},
		{"the standby's agent silent", func(p Present) { lose(p, "sb1", failover.AgentLost) }, "no: the agent of sb1 does not answer; systemctl start mxcluster-agent"},
		{"the standby never heard", func(p Present) { lose(p, "sb1", failover.Unheard) }, "unknown: sb1 was not heard yet"},
		{"its own server never heard", func(p Present) { lose(p, "srv1", failover.Unheard) }, "unknown: it cannot be seen where it runs"},
		{"the standby just started", func(p Present) { p.Servers["sb1"].Claim.Settled = false }, "no: sb1 has just started, and waits to hear the others"},
		{"on the standby, its own server heard though its link is down", func(p Present) {
			moveToStandby(p, 1)
			p.Servers["srv1"].Claim.Isolated = true
		}, "no: srv1 hears nobody, and takes nothing over by itself"},
		{"on the standby, which works by an older document than the others", func(p Present) {
			moveToStandby(p, 1)
			p.Servers["srv1"].Claim.Revision++
			p.Servers["srv2"].Claim.Revision++
		}, "yes, by srv1: "},
		{"the standby's agent stopped", func(p Present) { p.Servers["sb1"].Claim.Parked = true }, "no: the agent of sb1 is stopped; systemctl start mxcluster-agent"},
		{"it runs nowhere", func(p Present) { c := claimOf(p, "srv1", 1); c.State, c.Holds = failover.Failed, false }, "no: it runs nowhere"},
		{"it ran where the agent is silent now", func(p Present) { lose(p, "srv1", failover.AgentLost) },
			"unknown: whether it runs on srv1 cannot be seen: the agent of srv1 does not answer"},
		{"it has its key where nothing is heard", func(p Present) { lose(p, "srv1", failover.Gone); p.Keys[1] = "srv1" },
			"unknown: whether it runs on srv1 cannot be seen: nothing is heard of srv1, but the arbiter's key is there"},
		{"its key is there no more", func(p Present) { lose(p, "srv1", failover.Gone); p.Keys[1] = "sb1" }, "no: it runs nowhere"},
		{"it failed where the agent is silent now", func(p Present) {
			c := claimOf(p, "srv1", 1)
			c.State, c.Holds = failover.Failed, false
			lose(p, "srv1", failover.AgentLost)
		}, "no: it runs nowhere"},
		{"it runs twice", func(p Present) {
			c := claimOf(p, "sb1", 1)
			c.State, c.Holds = failover.Running, true
		}, "no: it runs on srv1 and on sb1"},
		{"locked to its regular server", func(p Present) {
			p.Document.ClusterOfLIM(1).Member(1).Lock = &clusterconf.Lock{To: clusterconf.SideRegular, Since: now, By: "ann"}
		}, "no: it is locked to the regular side by ann; mxcluster unlock 1"},
		{"the standby drained", func(p Present) { p.Document.Server("sb1").Drained = maintenance }, "no: sb1 is drained by ann; mxcluster server undrain sb1"},
		{"its own server drained", func(p Present) { moveToStandby(p, 1); p.Document.Server("srv1").Drained = maintenance }, "no: srv1 is drained by ann; mxcluster server undrain srv1"},
		{"the cluster frozen", func(p Present) { p.Document.ClusterOfLIM(1).Frozen = maintenance }, "no: cluster c1 is frozen by ann; mxcluster unfreeze c1"},
		{"a freeze that is over", func(p Present) {
			end := now
			p.Document.ClusterOfLIM(1).Frozen = &clusterconf.Maintenance{Since: now.Add(-time.Hour), Until: &end}
		}, "yes, by sb1: "},
		{"a LIM of lower priority on the standby, its server up", func(p Present) { moveToStandby(p, 2) }, "yes, by sb1: "},
		{"a LIM of lower priority on the standby, its server down", func(p Present) { moveToStandby(p, 2); lose(p, "srv2", failover.Gone) },
			"no: sb1 would take it over and end LIM 2, which it runs; mxcluster fallback 2"},
		{"a LIM of lower priority on the standby, whose server has no room for its state", func(p Present) {
			moveToStandby(p, 2)
			p.Servers["srv2"].Claim.Hindered = []string{"there is no room for the agent's state"}
		}, "no: sb1 would take it over and end LIM 2, which it runs; mxcluster fallback 2"},
		{"a LIM of lower priority on the standby, whose server does not reach the arbiter", func(p Present) {
			moveToStandby(p, 2)
			p.Servers["srv2"].Claim.Hindered = []string{"the arbiter is not reached"}
		}, "no: sb1 would take it over and end LIM 2, which it runs; mxcluster fallback 2"},
		{"a LIM of the same priority on the standby, which goes home when that is held back no more", func(p Present) {
			automatic(p.Document.ClusterOfLIM(1))
			moveToStandby(p, 2)
			c := claimOf(p, "sb1", 2)
			p.Document.ClusterOfLIM(1).Member(2).Priority = p.Document.ClusterOfLIM(1).Member(1).Priority
			c.Flaps, c.HeldUntil = 1, now.Add(time.Minute)
		}, "no: without srv1 it would wait: the standby runs LIM 2"},
		{"a LIM of the same priority on the standby, which was held back", func(p Present) {
			automatic(p.Document.ClusterOfLIM(1))
			moveToStandby(p, 2)
			c := claimOf(p, "sb1", 2)
			p.Document.ClusterOfLIM(1).Member(2).Priority = p.Document.ClusterOfLIM(1).Member(1).Priority
			c.Flaps, c.HeldUntil = 1, now
		}, "yes, by sb1: "},
		{"a LIM of higher priority on the standby", func(p Present) {
			moveToStandby(p, 2)
			p.Document.ClusterOfLIM(1).Member(2).Priority = 1
			lose(p, "srv2", failover.Gone)
		}, "no: without srv1 it would wait: the standby runs LIM 2"},
		{"software that cannot start there", func(p Present) { claimOf(p, "sb1", 1).Unable = "program /lim does not exist" }, "no: its software cannot start on sb1: program /lim does not exist"},
		{"software of another LIM that cannot", func(p Present) { claimOf(p, "sb1", 2).Unable = "program /lim does not exist" }, "yes, by sb1: "},
		{"it failed there", func(p Present) {
			c := claimOf(p, "sb1", 1)
			c.State, c.Failure = failover.Failed, "it exited with 1"
		}, "no: it failed on sb1: it exited with 1"},
		{"no data there", func(p Present) { claimOf(p, "srv1", 1).Data = data(1) }, "no: sb1 has no data version of it that can be relied on; mxcluster sync --lim 1"},
		{"older data there", func(p Present) { claimOf(p, "srv1", 1).Data = data(2); claimOf(p, "sb1", 1).Data = data(1) },
			"yes, by sb1: on data version xdata_1_20260301000001, which is older than the newest, xdata_1_20260301000002"},
		{"a stranger on the alias", func(p Present) { claimOf(p, "srv1", 1).ForeignMAC = "02:00:00:00:00:99" }, "no: its alias is used by 02:00:00:00:00:99, too"},
		{"what the standby knows of itself", func(p Present) { p.Servers["sb1"].Claim.Hindered = []string{"there is no room for the agent's state"} },
			"no: sb1 could not do its part: there is no room for the agent's state"},
		{"what its own server knows of itself", func(p Present) {
			moveToStandby(p, 1)
			p.Servers["srv1"].Claim.Hindered = []string{"there is no room for the agent's state"}
		}, "no: srv1 could not do its part: there is no room for the agent's state"},
		{"what it knows of one LIM", func(p Present) { claimOf(p, "sb1", 1).NotTaken = "sb1 would hear nobody else" }, "no: sb1 would hear nobody else"},
		{"what it knows of another LIM", func(p Present) { claimOf(p, "sb1", 2).NotTaken = "sb1 would hear nobody else" }, "yes, by sb1: "},
		{"the standby has another LIM, whose alias is blocked there, beside its own server, whose agent is stopped", func(p Present) {
			there := *claimOf(p, "srv2", 2)
			moveToStandby(p, 2)
			*claimOf(p, "srv2", 2), p.Servers["srv2"].Claim.Parked = there, true
			lose(p, "srv2", failover.AgentLost)
			p.Document.ClusterOfLIM(1).Member(1).Priority = 1
			claimOf(p, "sb1", 2).Blocked = true
		}, "yes, by sb1: "},
		{"the standby has another LIM, which it would end", func(p Present) {
			moveToStandby(p, 2)
			lose(p, "srv2", failover.Gone)
			p.Document.ClusterOfLIM(1).Member(1).Priority = 1
		}, "no: sb1 would take it over and end LIM 2, which it runs"},
		{"the standby waits with another LIM, whose alias a stranger uses", func(p Present) {
			lose(p, "srv2", failover.Gone)
			p.Document.ClusterOfLIM(2).Member(2).Priority = 0
			c := claimOf(p, "sb1", 2)
			c.Failure, c.ForeignMAC = "the alias is in use by 02:00:00:00:00:99", "02:00:00:00:00:99"
		}, "yes, by sb1: "},
		{"loaded there already, by a program that is gone since", func(p Present) {
			p.Document.ClusterOfLIM(1).Failover = clusterconf.FailoverPreloaded
			c := claimOf(p, "sb1", 1)
			c.State, c.Unable = failover.Preloaded, "program /lim does not exist"
		}, "yes, by sb1: "},
		{"no prompts there", func(p Present) { claimOf(p, "sb1", 1).NoPrompts = "folder /prompts is empty" },
			"yes, by sb1: without announcement prompts: folder /prompts is empty"},
		{"no prompts where it runs", func(p Present) { claimOf(p, "srv1", 1).NoPrompts = "folder /prompts is empty" }, "yes, by sb1: "},
		{"a broken document there", func(p Present) { p.Servers["sb1"].Claim.Unreadable = "it is cut short" },
			"yes, by sb1: the cluster document on the disk of sb1 cannot be used: it is cut short"},
		{"only regular servers as witnesses", func(p Present) { p.Servers["sb1"].Claim.Limits = "redundant for one failure" }, "yes, by sb1: redundant for one failure"},
		{"its own server has an older document", func(p Present) { moveToStandby(p, 1); p.Servers["srv1"].Claim.Revision-- },
			"no: without sb1: waits for the newest cluster document: srv2 has a newer cluster document (7, here 6)"},
		{"the standby has an older document than the lost server alone", func(p Present) { p.Servers["srv1"].Claim.Revision++ }, "yes, by sb1: "},
		{"a newer document elsewhere", func(p Present) { p.Servers["srv3"].Claim.Revision++ }, "no: without srv1: srv3 has a newer cluster document"},
		{"it leaves its cluster", func(p Present) { p.Document.ClusterOfLIM(1).Member(1).Leaving = true }, "no: LIM 1 leaves cluster c1"},
	} {
		p := AllWell(system(nil), now)
		p.Keys = map[int]string{}
		p.FirstHold = 2 * time.Minute
		tt.change(p)
		got := Promises(p, p.Document.Cluster("c1"))[1]
		if text := kept(got); !strings.HasPrefix(text, tt.want) || tt.want[len(tt.want)-1] == ' ' && text != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, text, tt.want)
		}
		if got.Covered != nil && *got.Covered && got.Detect != p.Document.ClusterOfLIM(1).SilenceLimit() {
			t.Errorf("%s: after %s", tt.name, got.Detect)
		}
	}
}

// A LIM is promised exactly where the brain of the server that is to take it over, with
// the other one gone and time passed, runs it, and nothing that it runs ends for that.
func TestPromiseIsWhatTheBrainDoes(t *testing.T) {
	promised, refused := 0, 0
	property := func(t *rapid.T) {
		p := drawPresent(t)
		c := p.Document.Cluster("c1")
		if waitsToMove(p, c) {
			return // what else moves once there is room, the brain of one server cannot tell
		}
		for lim, promise := range Promises(p, c) {
			from, to := holderIn(p, lim)
			if promise.Covered == nil || from == "" {
				continue
			}
			if promise.On != nil && *promise.On != from || *promise.Covered && promise.On == nil {
				t.Fatalf("LIM %d is on %s, and the promise is about %v", lim, from, promise.On)
			}
			runs, ends := brainRuns(p, lim, from, to)
			if *promise.Covered {
				promised++
			} else {
				refused++
			}
			if *promise.Covered != (runs && !ends) {
				t.Fatalf("LIM %d on %s: promised %s; the brain of %s runs it: %t, ends another: %t\n%s", lim, from, kept(promise), to, runs, ends, clusterconf.Encode(p.Document))
			}
		}
	}
	for range 15 { // more than a thousand of views
		rapid.Check(t, property)
	}
	if promised < 500 || refused < 500 {
		t.Errorf("%d promised, %d not: the test tells nothing", promised, refused)
	}
}

// drawPresent draws a system of which everything was seen, with LIMs here and there.
func drawPresent(t *rapid.T) Present {
	p := AllWell(system(func(c *clusterconf.Cluster) {
		for i := range c.LIMs {
			m := &c.LIMs[i]
			m.Priority = rapid.IntRange(0, 2).Draw(t, "priority")
			if rapid.IntRange(0, 8).Draw(t, "locked") == 5 {
				m.Lock = &clusterconf.Lock{To: rapid.SampledFrom([]clusterconf.Side{clusterconf.SideRegular, clusterconf.SideStandby}).Draw(t, "to"), Since: now}
			}
		}
		if rapid.IntRange(0, 12).Draw(t, "frozen") == 5 {
			end := now.Add(time.Duration(rapid.IntRange(0, 1).Draw(t, "until")) * time.Hour)
			c.Frozen = &clusterconf.Maintenance{Since: now.Add(-time.Hour), Until: &end}
		}
		if rapid.Bool().Draw(t, "automatic") {
			c.Fallback = clusterconf.FallbackAutomatic
		}
	}), now)
	p.Assumed, p.Gateway = false, true
	away := rapid.IntRange(0, 3).Draw(t, "on the standby")
	if away > 0 {
		moveToStandby(p, away)
	}
	for i := range p.Document.Servers {
		s := &p.Document.Servers[i]
		if rapid.IntRange(0, 15).Draw(t, "drained") == 5 {
			s.Drained = &clusterconf.Maintenance{Since: now.Add(-time.Hour)}
		}
		switch rapid.IntRange(0, 20).Draw(t, "state of "+s.Name) {
		case 5:
			lose(p, s.Name, failover.Gone)
		case 6:
			lose(p, s.Name, failover.AgentLost)
		case 7:
			p.Servers[s.Name].Claim.Settled = false
		case 8:
			claimOf(p, s.Name, max(s.LIM, 1)).Unable = "no program"
		case 9:
			if s.LIM != 0 && s.LIM != away {
				c := claimOf(p, s.Name, s.LIM)
				c.State, c.Holds, c.Failure = failover.Failed, false, "it exited"
			}
		}
	}
	return after(p, Scenario{}) // where all is at rest
}

// waitsToMove reports whether a LIM is to leave its regular server as soon as it can.
func waitsToMove(p Present, c *clusterconf.Cluster) bool {
	return slices.ContainsFunc(c.LIMs, func(m clusterconf.Member) bool {
		from, to := holderIn(p, m.LIM)
		return to == "sb1" && (m.LockedTo(now) == clusterconf.SideStandby || p.Document.Server(from).Drained != nil)
	})
}

// holderIn returns who has a LIM, and the other one of its servers.
func holderIn(p Present, lim int) (from, to string) {
	regular := p.Document.RegularOf(lim).Name
	for _, pair := range [][2]string{{regular, "sb1"}, {"sb1", regular}} {
		if s := p.Servers[pair[0]]; s.Liveness == failover.Alive && s.Claim.LIM(lim).State.Active() {
			return pair[0], pair[1]
		}
	}
	return "", ""
}

// brainRuns asks the brain of one server what it does with another one gone, and carries
// out what it says, until it says nothing new.
func brainRuns(p Present, lim int, gone, self string) (runs, ends bool) {
	own := p.Servers[self]
	if own.Liveness != failover.Alive || !own.Claim.Settled || own.Claim.LIM(lim).Unable != "" || own.Claim.LIM(lim).State == failover.Failed {
		return false, false
	}
	v := failover.View{Now: now.Add(time.Minute), Self: self, Started: now.Add(-time.Hour), Settled: true, Document: p.Document,
		Peers: map[string]failover.Peer{}, LIMs: map[int]failover.Local{}, Wire: map[int]failover.Wire{}}
	for name, s := range p.Servers {
		if name != self && p.Document.ClusterOfServer(name) != nil {
			v.Peers[name] = failover.Peer{Liveness: s.Liveness, Since: now.Add(-time.Hour), Claim: s.Claim}
		}
	}
	v.Peers[gone] = failover.Peer{Liveness: failover.Gone, Since: now, Claim: p.Servers[gone].Claim}
	for _, m := range p.Document.Cluster("c1").LIMs {
		holder, _ := holderIn(p, m.LIM)
		v.Wire[m.LIM] = failover.Wire{Silent: holder == "" || holder == gone}
	}
	for _, l := range own.Claim.LIMs {
		v.LIMs[l.LIM] = failover.Local{Standing: failover.Standing{State: l.State, Term: l.Term, Known: l.Known}, Holds: l.Holds}
	}
	for range 8 {
		for _, d := range failover.Decide(v).Decisions {
			l := v.LIMs[d.LIM]
			switch d.Want {
			case failover.Stop:
				if l.State == failover.Running {
					regular := p.Document.RegularOf(d.LIM)
					home := p.Servers[regular.Name]
					mayRun := home.Liveness == failover.Alive && home.Claim.Settled && home.Claim.LIM(d.LIM).Unable == "" && home.Claim.LIM(d.LIM).State != failover.Failed && regular.Drained == nil &&
						p.Document.ClusterOfLIM(d.LIM).Member(d.LIM).LockedTo(v.Now) != clusterconf.SideStandby
					ends = ends || d.LIM != lim && !mayRun
				}
				l.State, l.Holds = failover.Stopped, false
			case failover.Run:
				if l.State == failover.Running {
					continue
				}
				l.State, l.Holds, l.Term = failover.Running, true, d.Term
				if own.Claim.LIM(d.LIM).Unable != "" {
					l.State, l.Holds, l.RetryAt, l.Failure = failover.Failed, false, v.Now.Add(time.Hour), "no program"
				}
			}
			v.LIMs[d.LIM] = l
		}
	}
	return v.LIMs[lim].State == failover.Running, ends
}
