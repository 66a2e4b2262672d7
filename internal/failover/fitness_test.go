package failover

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mxcluster/clusterconf"
)

// One hiccup changes nothing: three failures in a row make a server unfit, two successes fit.
func TestFitnessFallsAndRises(t *testing.T) {
	for _, c := range []struct{ name, results, want string }{ // .: passed, x: failed, ?: could not be run
		{"has not run", "", "unchecked"},
		{"passed once", ".", "fit"},
		{"a hiccup", ".x.xx.", "fit"},
		{"three failures", "..xxx", "unfit"},
		{"failed from the start", "xx", "unchecked"},
		{"failed from the start, long enough", "xxx", "unfit"},
		{"one success", "xxx.", "unfit"},
		{"no two in a row", "xxx.x.x.", "unfit"},
		{"two successes", "xxx..", "fit"},
		{"could not be run", "..??", "fit"},
		{"could not be run for long", "..???", "unchecked"},
		{"could be run again", "..???.", "fit"},
		{"could not be run, and failed", "..??x", "unfit"},
		{"unfit, and cannot be run", "xxx????", "unfit"},
	} {
		f, at := Unproven(), epoch
		for _, r := range c.results {
			at = at.Add(time.Second)
			switch r {
			case '.':
				f = f.Next("", "", at)
			case 'x':
				f = f.Next("check /x: it failed", "", at)
			case '?':
				f = f.Next("", "check /x cannot be run", at)
			}
		}
		got := "fit"
		switch {
		case f.Unfit != "":
			got = "unfit"
		case f.Unchecked != "":
			got = "unchecked"
		}
		failing := f.Unfit == "" && c.results != "" && !strings.HasSuffix(c.results, ".") && !strings.HasSuffix(c.results, "???")
		if (f.Failing != "") != failing {
			t.Errorf("%s: failing is %q", c.name, f.Failing)
		}
		if got != c.want || f.Unfit != "" && f.Unchecked != "" {
			t.Errorf("%s: %+v, not %s", c.name, f, c.want)
		}
	}
	f := Unproven().Next("x", "", epoch).Next("x", "", epoch).Next("y", "", epoch)
	if f.Unfit != "y" || !f.Since.IsZero() {
		t.Errorf("%+v", f)
	}
	if f = f.Next("", "", epoch).Next("", "", epoch.Add(time.Minute)); !f.Since.Equal(epoch.Add(time.Minute)) {
		t.Errorf("fit since %s", f.Since)
	}
}

// pair is a regular server and its standby, each with what the other last said: two
// servers that are well, but for their checks.
type pair struct {
	doc        *clusterconf.Document
	now        time.Time
	home, away Local
}

func (p *pair) view(self string) View {
	v := View{Now: p.now, Self: self, Settled: true, StartGrace: 30 * time.Second, FirstHold: 2 * time.Minute, Started: epoch.Add(-time.Hour),
		Document: p.doc, LIMs: map[int]Local{1: p.home}, Wire: map[int]Wire{}}
	other, l := "sb1", p.away
	if self == "sb1" {
		other, l, v.LIMs[1] = "srv1", p.home, p.away
	}
	v.Peers = map[string]Peer{other: {Liveness: Alive, Since: epoch.Add(-time.Hour), Claim: claimOf(other, true, map[int]Local{1: l})}}
	return v
}

// act carries a decision out at once.
func (p *pair) act(l *Local, self string, d *Decision) {
	if d.Flaps != nil {
		l.Flaps = *d.Flaps
	}
	if d.Suspended != nil {
		l.Suspended = *d.Suspended
	}
	switch d.Want {
	case Run:
		if !l.State.Active() {
			l.Released = time.Time{}
		}
		l.State, l.Holds, l.Term = Running, true, d.Term
		l.Known = l.Known.Later(Place{d.Term, self})
	case Stop:
		if d.Unmark {
			l.Released = time.Time{}
		}
		if d.Release {
			l.Released = p.now
		}
		l.State, l.Holds = Stopped, false
	}
}

// step has the two decide one after the other, often enough for a move; it reports whether
// the LIM serves.
func (p *pair) step() (served bool) {
	for range 4 {
		for _, x := range []struct {
			self string
			l    *Local
		}{{"srv1", &p.home}, {"sb1", &p.away}} {
			p.act(x.l, x.self, Decide(p.view(x.self)).For(1))
		}
	}
	return p.home.State == Running || p.away.State == Running
}

// Whatever the checks of two servers say, the LIM serves on; it leaves a server by itself only
// for one that is fit, or one that failed no more than the other; and it does not go to and
// fro: from the second time on it stays away from a server that was unfit soon after a fallback
// for minutes, and for longer each time.
func TestUnfitnessMovesNoLIMToAndFro(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := clusterconf.Cluster{Name: "c1", Standby: "sb1", SplitBrainStop: clusterconf.SideRegular, LIMs: []clusterconf.Member{{LIM: 1}},
			Fallback: rapid.SampledFrom([]clusterconf.FallbackType{clusterconf.FallbackManual, clusterconf.FallbackAutomatic}).Draw(t, "fallback")}
		p := &pair{now: epoch, home: Local{Standing: Standing{State: Running, Term: 1, Known: Place{1, "srv1"}}, Holds: true}, away: Local{Standing: Standing{State: Stopped, Known: Place{1, "srv1"}}},
			doc: &clusterconf.Document{Revision: 2, Servers: []clusterconf.Server{{Name: "sb1", Standby: true}, {Name: "srv1", LIM: 1}}, Clusters: []clusterconf.Cluster{c}}}
		moves := 0
		for range rapid.IntRange(1, 60).Draw(t, "changes") {
			p.now = p.now.Add(time.Duration(rapid.IntRange(1, 30).Draw(t, "seconds")) * time.Second)
			for _, l := range []*Local{&p.home, &p.away} {
				was := l.Fitness
				l.Fitness = drawFitness(t)
				switch {
				case l.Fitness.Unfit == "" && was.Unfit != "":
					l.Fitness.Since = p.now
				case l.Fitness.Unfit == "":
					l.Fitness.Since = was.Since
				}
			}
			wasHome := p.home.State == Running
			if !p.step() {
				t.Fatalf("it serves nowhere: %+v, %+v", p.home, p.away)
			}
			if isHome := p.home.State == Running; isHome != wasHome {
				moves++
				to := p.away.Fitness
				if isHome {
					to = p.home.Fitness
				}
				if to.Unfit != "" || to.Unchecked != "" || to.Failing != "" {
					t.Fatalf("it moved to a server that is not fit: %+v, %+v", p.home, p.away)
				}
			}
		}
		// Half an hour at most: the first way there and back, then one more each for holds of 2, 4, 8 and 16 minutes.
		if moves > 2+2*5 {
			t.Fatalf("%d moves within %s", moves, p.now.Sub(epoch))
		}
	})
}

// An unfit standby takes nothing over by itself; what it starts all the same was given up
// for it or ran there last.
func TestUnfitStandbyTakesNothingOver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, v := drawStandbyView(t)
		drawMaintenance(t, w.doc)
		for _, d := range Decide(v).Decisions {
			l, p := v.LIMs[d.LIM], v.Peers[regularName(d.LIM)]
			given := p.Claim != nil && !p.Claim.Leaving && p.Claim.LIM(d.LIM).Released
			if d.Want == Run && l.Fitness.Unfit != "" && !l.State.Active() && !given && v.known(d.LIM).Server != "sb1" {
				t.Fatalf("LIM %d is taken over:\n%s", d.LIM, trace(Decide(v)))
			}
		}
	})
}

// A LIM leaves its regular server for being unfit only where the standby is fit, free and
// ready, and nobody forbids it.
func TestUnfitServerGivesUpOnlyWhatTheOtherSideCanRun(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, sv := drawStandbyView(t)
		drawMaintenance(t, w.doc)
		v := w.view("srv1", map[int]Local{1: drawLocal(t, 1)})
		p := Peer{Liveness: rapid.SampledFrom([]Liveness{Unheard, Alive, AgentLost, Gone}).Draw(t, "standby")}
		if p.Liveness != Unheard {
			p.Claim = claimOf("sb1", rapid.Bool().Draw(t, "settled"), sv.LIMs)
		}
		v.Peers["sb1"] = p
		d, c := Decide(v).For(1), &w.doc.Clusters[0]
		if d.Rule != RuleUnfit || !d.Release {
			return
		}
		theirs := p.Claim.LIM(1)
		if p.Liveness != Alive || !p.Claim.Settled || theirs.Unfit != "" || theirs.Unchecked != "" || theirs.Failing != "" || Evicts(v, c, 1) != 0 ||
			v.lockedTo(c, 1) != "" && v.lockedTo(c, 1) != clusterconf.SideStandby || v.frozen(c) || v.drained("sb1") != "" {
			t.Fatalf("it is given up: %s%+v", trace(Decide(v)), p.Claim)
		}
	})
}
