package failover

import (
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mxcluster/clusterconf"
)

// world is a random cluster seen from outside: what is true of every server.
type world struct {
	doc  *clusterconf.Document
	lims []int
}

func drawWorld(t *rapid.T) world {
	n := rapid.IntRange(1, 4).Draw(t, "lims")
	c := clusterconf.Cluster{Name: "c1", Standby: "sb1",
		Fallback:       rapid.SampledFrom([]clusterconf.FallbackType{clusterconf.FallbackManual, clusterconf.FallbackAutomatic}).Draw(t, "fallback"),
		SplitBrainStop: rapid.SampledFrom([]clusterconf.Side{clusterconf.SideRegular, clusterconf.SideStandby}).Draw(t, "stop")}
	w := world{doc: &clusterconf.Document{Revision: 2, Servers: []clusterconf.Server{{Name: "sb1", Standby: true}}}}
	for lim := 1; lim <= n; lim++ {
		w.doc.Servers = append(w.doc.Servers, clusterconf.Server{Name: regularName(lim), LIM: lim})
		c.LIMs = append(c.LIMs, clusterconf.Member{LIM: lim, Priority: rapid.IntRange(0, 2).Draw(t, "priority"), Lock: drawLock(t),
			Alias: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(lim)}), 24)})
		w.lims = append(w.lims, lim)
	}
	w.doc.Clusters = []clusterconf.Cluster{c}
	return w
}

// drawLock draws no lock, one that holds or one that has expired.
func drawLock(t *rapid.T) *clusterconf.Lock {
	l := &clusterconf.Lock{To: rapid.SampledFrom([]clusterconf.Side{clusterconf.SideRegular, clusterconf.SideStandby}).Draw(t, "locked to"), Since: epoch.Add(-time.Hour)}
	switch rapid.IntRange(0, 5).Draw(t, "lock") {
	case 0:
	case 1:
		end := epoch.Add(time.Duration(rapid.IntRange(-1, 1).Draw(t, "lock ends")) * time.Minute)
		l.Expires = &end
	default:
		return nil
	}
	return l
}

func regularName(lim int) string { return "srv" + string(rune('0'+lim)) }

func drawState(t *rapid.T) State {
	return rapid.SampledFrom([]State{Stopped, Starting, Running, Stopping, Failed}).Draw(t, "state")
}

func drawPlace(t *rapid.T, lim int) Place {
	return Place{Term: rapid.Uint64Range(0, 5).Draw(t, "known"), Server: rapid.SampledFrom([]string{"sb1", regularName(lim)}).Draw(t, "on")}
}

func drawLocal(t *rapid.T, lim int) Local {
	l := Local{Standing: Standing{State: drawState(t), Term: rapid.Uint64Range(0, 5).Draw(t, "term"), Known: drawPlace(t, lim)}}
	l.Holds = l.State.Active() && rapid.Bool().Draw(t, "holds")
	if rapid.Bool().Draw(t, "retrying") {
		l.RetryAt, l.Failure = epoch.Add(time.Duration(rapid.IntRange(-5, 5).Draw(t, "retry"))*time.Second), "it exited"
	}
	if rapid.Bool().Draw(t, "was released") {
		l.Released = epoch.Add(-time.Duration(rapid.IntRange(0, 30).Draw(t, "released")) * time.Second)
	}
	l.Fitness = drawFitness(t)
	return l
}

func drawFitness(t *rapid.T) Fitness {
	return rapid.SampledFrom([]Fitness{{}, {}, {Since: epoch}, {Unfit: "check /trunk: it is down"}, {Failing: "check /trunk: it is down"}, Unproven()}).Draw(t, "fitness")
}

func claimOf(server string, settled bool, lims map[int]Local) *Claim {
	c := &Claim{Server: server, Revision: 2, Settled: settled}
	for lim, l := range lims {
		c.LIMs = append(c.LIMs, LIMClaim{LIM: lim, State: l.State, Term: l.Term, Holds: l.Holds, Known: l.Known,
			Unfit: l.Fitness.Unfit, Unchecked: l.Fitness.Unchecked, Failing: l.Fitness.Failing, FitSince: l.Fitness.Since, Released: !l.Released.IsZero() && !l.State.Active()})
	}
	return c
}

func (w world) view(self string, lims map[int]Local) View {
	return View{Now: epoch, Self: self, Settled: true, Started: epoch.Add(-time.Hour), StartGrace: 30 * time.Second,
		Document: w.doc, LIMs: lims, Peers: map[string]Peer{}, Wire: map[int]Wire{}}
}

// drawStandbyView draws anything that a standby may see.
func drawStandbyView(t *rapid.T) (world, View) {
	w := drawWorld(t)
	lims := map[int]Local{}
	for _, lim := range w.lims {
		lims[lim] = drawLocal(t, lim)
	}
	v := w.view("sb1", lims)
	v.Settled, v.Isolated = rapid.Bool().Draw(t, "settled"), rapid.Bool().Draw(t, "isolated")
	for _, lim := range w.lims {
		p := Peer{Liveness: rapid.SampledFrom([]Liveness{Unheard, Alive, AgentLost, Gone}).Draw(t, "liveness"), Since: epoch.Add(-time.Minute)}
		if p.Liveness != Unheard {
			p.Claim = claimOf(regularName(lim), true, map[int]Local{lim: drawLocal(t, lim)})
			p.Claim.Parked = rapid.Bool().Draw(t, "parked")
		}
		v.Peers[regularName(lim)] = p
		v.Wire[lim] = Wire{Silent: rapid.Bool().Draw(t, "silent")}
	}
	return w, v
}

// The standby never runs two LIMs, takes nothing over while it hears nobody or
// has not settled, says why, and gives every start a term that was never used.
func TestStandbyInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, v := drawStandbyView(t)
		p := Decide(v)
		if len(p.Decisions) != len(w.lims) {
			t.Fatalf("%d decisions for %d LIMs:\n%s", len(p.Decisions), len(w.lims), trace(p))
		}
		running := 0
		for _, d := range p.Decisions {
			l := v.LIMs[d.LIM]
			if d.Reason == "" || d.Rule == "" {
				t.Fatalf("no reason:\n%s", trace(p))
			}
			if d.Want != Run {
				continue
			}
			running++
			fresh := !l.State.Active() || !l.Holds
			if fresh && (v.Isolated || !v.Settled) {
				t.Fatalf("LIM %d is taken over by a server that may not:\n%s", d.LIM, trace(p))
			}
			if fresh && d.Term <= v.known(d.LIM).Term {
				t.Fatalf("LIM %d starts under term %d, %d is known:\n%s", d.LIM, d.Term, v.known(d.LIM).Term, trace(p))
			}
		}
		if running > 1 {
			t.Fatalf("the standby is to run %d LIMs:\n%s", running, trace(p))
		}
	})
}

// A better LIM does not start on the standby before the other one has left.
func TestStandbyNeverOverlaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_, v := drawStandbyView(t)
		for _, d := range Decide(v).Decisions {
			if d.Want != Run || v.LIMs[d.LIM].State.Active() {
				continue
			}
			for other, l := range v.LIMs {
				if other != d.LIM && (l.State.Active() || l.Holds) {
					t.Fatalf("LIM %d starts while LIM %d is %s:\n%s", d.LIM, other, l.State, trace(Decide(v)))
				}
			}
		}
	})
}

// Two servers that hear each other and both have a LIM up agree on who stops:
// never both, and never neither.
func TestContestHasOneWinner(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		active := func() Local {
			return Local{Standing: Standing{State: Running, Term: rapid.Uint64Range(1, 4).Draw(t, "term")}, Holds: rapid.Bool().Draw(t, "holds")}
		}
		home, away := active(), active()
		home.Known, away.Known = Place{home.Term, "srv1"}, Place{away.Term, "sb1"}
		hv := w.view("srv1", map[int]Local{1: home})
		av := w.view("sb1", map[int]Local{1: away})
		hv.Peers["sb1"] = Peer{Liveness: Alive, Claim: claimOf("sb1", true, av.LIMs)}
		av.Peers["srv1"] = Peer{Liveness: Alive, Claim: claimOf("srv1", true, hv.LIMs)}
		h, a := Decide(hv).For(1), Decide(av).For(1)
		if (h.Want == Run) == (a.Want == Run) {
			t.Fatalf("regular: %s (%s)\nstandby: %s (%s)", h.Want, h.Reason, a.Want, a.Reason)
		}
	})
}

// A healthy pair at rest changes nothing.
func TestRestIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		if l := w.doc.Clusters[0].LIMs[0].Lock; l != nil {
			l.To = clusterconf.SideRegular
		}
		term := rapid.Uint64Range(1, 9).Draw(t, "term")
		home := Local{Standing: Standing{State: Running, Term: term, Known: Place{term, "srv1"}}, Holds: true}
		hv := w.view("srv1", map[int]Local{1: home})
		hv.Peers["sb1"] = Peer{Liveness: Alive, Claim: claimOf("sb1", true, map[int]Local{1: {Standing: Standing{State: Stopped, Known: Place{term, "srv1"}}}})}
		if d := Decide(hv).For(1); d.Want != Run || d.Term != term {
			t.Fatalf("a LIM at rest on its regular server: %+v", d)
		}
	})
}

// A locked LIM does not move: what is locked to the regular side never starts on
// the standby, and what the standby has and is locked to it leaves it neither by
// order nor for another one, unless that is locked there, too.
func TestLockedDoesNotMove(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, v := drawStandbyView(t)
		for _, lim := range w.lims {
			if rapid.Bool().Draw(t, "ordered") {
				v.Orders = append(v.Orders, Order{Kind: Fallback, LIM: lim, Now: rapid.Bool().Draw(t, "now"), Expires: epoch.Add(time.Minute)})
			}
		}
		c := &w.doc.Clusters[0]
		lockedRivals := 0
		for _, m := range c.LIMs {
			if m.LockedTo(epoch) == clusterconf.SideStandby {
				lockedRivals++
			}
		}
		for _, d := range Decide(v).Decisions {
			l := v.LIMs[d.LIM]
			switch c.Member(d.LIM).LockedTo(epoch) {
			case clusterconf.SideRegular:
				if d.Want == Run && !l.Holds {
					t.Fatalf("LIM %d is locked to the regular side and starts on the standby:\n%s", d.LIM, trace(Decide(v)))
				}
			case clusterconf.SideStandby:
				leaves := d.Want == Stop && l.Holds && l.State != Stopping
				if leaves && (d.Release || lockedRivals == 1) {
					t.Fatalf("LIM %d is locked to the standby and leaves it:\n%s", d.LIM, trace(Decide(v)))
				}
			}
		}
	})
}

// On the regular server a locked LIM does not move either: it obeys no order away,
// and does not start where it is locked to the standby.
func TestLockedDoesNotMoveFromHome(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		l := drawLocal(t, 1)
		v := w.view("srv1", map[int]Local{1: l})
		v.Peers["sb1"] = Peer{Liveness: rapid.SampledFrom([]Liveness{Unheard, Alive, AgentLost, Gone}).Draw(t, "liveness")}
		if p := v.Peers["sb1"]; p.Liveness != Unheard {
			p.Claim = claimOf("sb1", true, map[int]Local{1: drawLocal(t, 1)})
			v.Peers["sb1"] = p
		}
		v.Orders = []Order{{Kind: Failover, LIM: 1, Now: rapid.Bool().Draw(t, "now"), Expires: epoch.Add(time.Minute)}}
		d := Decide(v).For(1)
		switch w.doc.Clusters[0].LIMs[0].LockedTo(epoch) {
		case clusterconf.SideRegular:
			if d.Release || d.Want == Stop && l.Holds && l.State != Stopping {
				t.Fatalf("locked to the regular side, it leaves it: %s", trace(Decide(v)))
			}
		case clusterconf.SideStandby:
			if d.Want == Run && (!l.Holds || !l.State.Active()) && !v.outranks(&w.doc.Clusters[0], l, v.Peers["sb1"].Claim.LIM(1), clusterconf.SideRegular) {
				t.Fatalf("locked to the standby, it starts on its regular server: %s", trace(Decide(v)))
			}
		}
	})
}

// drawMaintenance drains servers and freezes the cluster, or does not.
func drawMaintenance(t *rapid.T, d *clusterconf.Document) {
	for i := range d.Servers {
		if rapid.IntRange(0, 3).Draw(t, "drained") == 0 {
			d.Servers[i].Drained = &clusterconf.Maintenance{Since: epoch.Add(-time.Hour)}
		}
	}
	if rapid.Bool().Draw(t, "frozen") {
		d.Clusters[0].Frozen = &clusterconf.Maintenance{Since: epoch.Add(-time.Hour)}
	}
	if rapid.Bool().Draw(t, "preloaded") {
		d.Clusters[0].Failover = clusterconf.FailoverPreloaded
	}
}

// Nothing starts on a drained server, nor is it loaded there, whatever was ordered and
// whoever is dead; and what serves there is not stopped while it has nowhere to go.
func TestNothingStartsOnADrainedServer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, v := drawStandbyView(t)
		drawMaintenance(t, w.doc)
		v.Orders = append(v.Orders, Order{Kind: Failover, LIM: 1, Now: true, Dead: "srv1", Expires: epoch.Add(time.Minute)})
		starts := func(v View) {
			if v.Document.Server(v.Self).Drained == nil {
				return
			}
			for _, d := range Decide(v).Decisions {
				l := v.LIMs[d.LIM]
				if up := l.State.Active() && l.Holds; d.Want == Run && !up || d.Want == Preload && !up {
					t.Fatalf("LIM %d on %s:\n%s", d.LIM, v.Self, trace(Decide(v)))
				}
			}
		}
		starts(v)
		home := w.view("srv1", map[int]Local{1: drawLocal(t, 1)})
		p := Peer{Liveness: rapid.SampledFrom([]Liveness{Unheard, Alive, AgentLost, Gone}).Draw(t, "standby")}
		if p.Liveness != Unheard {
			p.Claim = claimOf("sb1", true, v.LIMs)
		}
		home.Peers["sb1"] = p
		starts(home)
		l, d := home.LIMs[1], Decide(home).For(1)
		if l.State == Running && l.Holds && p.Liveness != Alive && d.Want != Run {
			t.Fatalf("it has nowhere to go and is stopped:\n%s", trace(Decide(home)))
		}
	})
}

// Without an order no LIM of a frozen cluster leaves the server that has it for the other
// one, and none starts elsewhere than where it ran last.
func TestFrozenMovesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, v := drawStandbyView(t)
		drawMaintenance(t, w.doc)
		w.doc.Clusters[0].Frozen = &clusterconf.Maintenance{Since: epoch.Add(-time.Hour)}
		for _, d := range Decide(v).Decisions {
			l, p := v.LIMs[d.LIM], v.Peers[regularName(d.LIM)]
			given := p.Claim.LIM(d.LIM).Released
			switch up := l.State.Active() && l.Holds; {
			case d.Release:
				t.Fatalf("LIM %d is given back:\n%s", d.LIM, trace(Decide(v)))
			case d.Want == Run && !l.State.Active() && !given && v.known(d.LIM).Server != "sb1":
				t.Fatalf("LIM %d is taken over:\n%s", d.LIM, trace(Decide(v)))
			case up && d.Want == Stop && d.Rule == RulePriority && !anyReleased(v) && v.activeHereExcept(d.LIM) == 0:
				t.Fatalf("LIM %d makes room:\n%s", d.LIM, trace(Decide(v)))
			}
		}
		home := w.view("srv1", map[int]Local{1: drawLocal(t, 1)})
		home.Peers["sb1"] = Peer{Liveness: Alive, Claim: claimOf("sb1", true, v.LIMs)}
		l, d, theirs := home.LIMs[1], Decide(home).For(1), home.Peers["sb1"].Claim.LIM(1)
		if d.Release || d.Want == Run && !l.State.Active() && !theirs.Released && home.known(1).Server == "sb1" {
			t.Fatalf("LIM 1 moves:\n%s", trace(Decide(home)))
		}
	})
}

func anyReleased(v View) bool {
	for lim := range v.LIMs {
		if v.Peers[regularName(lim)].Claim.LIM(lim).Released {
			return true
		}
	}
	return false
}
