package agent

import (
	"slices"
	"strings"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/failover"
	"mxcluster/internal/fault"
	"mxcluster/internal/services"
	"mxcluster/internal/services/servicestest"
)

const (
	manual    = clusterconf.FallbackManual
	automatic = clusterconf.FallbackAutomatic
	soon      = 5 * time.Second
)

// settled starts all agents and waits until every LIM runs where it belongs.
func (w *world) settled() {
	w.t.Helper()
	w.start("srv1", "srv2", "sb1")
	w.await(1, "srv1", soon)
	w.await(2, "srv2", soon)
	pass(time.Second)
}

func TestPowerCutAndFallbackByOrder(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		cut := w.powerCut("srv1")
		w.await(1, "sb1", soon)
		since := w.status("sb1").Clusters[0].LIMs[0].Since
		took := since.Sub(cut)
		t.Logf("takeover %s after the power cut, failover-after %s", took, limit)
		// Silence counts from the last sign of life, up to a poll before the cut.
		if took < limit-limit/10 || took > limit+100*time.Millisecond {
			t.Errorf("takeover after %s, want %s, a tenth less or 100ms more", took, limit)
		}
		w.boot("srv1")
		pass(10 * time.Second)
		w.await(1, "sb1", 0) // manual: it stays
		l := w.status("srv2").Clusters[0].LIMs[0]
		if l.Side != "standby" || l.Fallback.Ready == nil || !*l.Fallback.Ready {
			t.Errorf("status after the regular server is back: side %s, fallback %+v", l.Side, l.Fallback)
		}
		if _, err := w.order("srv2", control.Order{Kind: control.OrderFallback, LIM: 1}); err != nil {
			t.Fatal(err)
		}
		t.Logf("fallback by order took %s", w.await(1, "srv1", soon))
		pass(5 * time.Second)
		w.await(1, "srv1", 0)
		w.neverTwice()
	})
}

func TestAutomaticFallback(t *testing.T) {
	inWorld(t, automatic, func(w *world) {
		w.settled()
		w.powerCut("srv1")
		w.await(1, "sb1", soon)
		pass(10 * time.Second)
		w.boot("srv1")
		t.Logf("back by itself %s after its agent started", w.await(1, "srv1", soon))
		w.neverTwice()
	})
}

// A standby that has newer data keeps the LIM until the regular server has it.
func TestAutomaticFallbackWaitsForData(t *testing.T) {
	inWorld(t, automatic, func(w *world) {
		w.settled()
		w.powerCut("srv1")
		w.await(1, "sb1", soon)
		newer := &failover.Data{Version: "xdata_1_20260301020000", Newest: time.Now().UTC()}
		w.servers["sb1"].setData(newer)
		pass(10 * time.Second)
		w.boot("srv1")
		pass(20 * time.Second)
		w.await(1, "sb1", 0)
		_, err := w.order("sb1", control.Order{Kind: control.OrderFallback, LIM: 1})
		if fault.CodeOf(err) != fault.Refused || !strings.Contains(err.Error(), newer.Version) || fault.HintOf(err) == "" {
			t.Errorf("order to fall back without the data: %v (code %d, hint %q)", err, fault.CodeOf(err), fault.HintOf(err))
		}
		w.servers["srv1"].setData(newer)
		w.await(1, "srv1", 10*time.Second)
		w.neverTwice()
	})
}

// The agent dies, its server lives: the alias goes with its lease, and only
// then does the standby take over.
func TestAgentKilled(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.kill("srv1")
		took := w.await(1, "sb1", 10*time.Second)
		t.Logf("served again %s after the agent died", took)
		if took > 3*time.Second+limit+600*time.Millisecond {
			t.Errorf("takeover after %s", took)
		}
		w.start("srv1")
		pass(5 * time.Second)
		w.await(1, "sb1", 0)
		w.neverTwice()
		if got := w.software("srv1"); got != services.Stopped {
			t.Errorf("the software that the dead agent left behind is %s", got)
		}
	})
}

// An agent that is back within the lease adopts the LIM: nobody notices.
func TestAgentRestartedWithinLease(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		gap := w.watchGap(1, "srv1")
		starts := w.count("srv1", servicestest.VerbStart)
		w.kill("srv1")
		pass(1500 * time.Millisecond)
		w.start("srv1")
		pass(10 * time.Second)
		if g := gap(); g != 0 {
			t.Errorf("the alias was missing for %s", g)
		}
		w.await(1, "srv1", 0)
		if l := w.status("sb1").Clusters[0].LIMs[0]; l.Term != 1 {
			t.Errorf("term %d after the adoption, want the old one", l.Term)
		}
		t.Logf("software started %d times before, %d after", starts, w.count("srv1", servicestest.VerbStart))
		w.neverTwice()
	})
}

func TestAgentStopped(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		m := w.servers["srv1"]
		res, err := m.agent.Stop(w.t.Context(), control.StopRequest{})
		if err != nil || !slices.Equal(res.LIMsLeftRunning, []int{1}) {
			t.Fatalf("stop: %+v, %v", res, err)
		}
		if err := <-m.ended; err != nil {
			t.Fatal(err)
		}
		m.agent = nil
		pass(time.Minute) // far longer than the lease: the LIM goes on, on purpose
		if h := w.holders(1); !slices.Equal(h, []string{"srv1"}) {
			t.Fatalf("after the stop the alias is on %v", h)
		}
		w.start("srv1")
		w.await(1, "srv1", soon)
		if _, err := w.servers["srv1"].agent.Stop(w.t.Context(), control.StopRequest{Release: true}); err != nil {
			t.Fatal(err)
		}
		<-m.ended
		m.agent = nil
		t.Logf("served by the standby %s after the release", w.await(1, "sb1", soon))
		w.neverTwice()
	})
}

// Boot order does not matter, with the standby running a LIM or not.
func TestBootOrder(t *testing.T) {
	orders := [][]string{
		{"srv1", "srv2", "sb1"}, {"srv1", "sb1", "srv2"}, {"srv2", "srv1", "sb1"},
		{"srv2", "sb1", "srv1"}, {"sb1", "srv1", "srv2"}, {"sb1", "srv2", "srv1"},
	}
	for _, away := range []bool{false, true} {
		for _, order := range orders {
			for _, pause := range []time.Duration{0, 7 * time.Second} {
				name := strings.Join(order, ",") + " every " + pause.String()
				want := "srv1"
				if away {
					name, want = name+" with LIM 1 on the standby", "sb1"
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					inWorld(t, manual, func(w *world) {
						if away {
							w.moveAway()
						}
						start := func(s string) { w.start(s) }
						if away {
							start = w.boot
						}
						for _, s := range order {
							start(s)
							pass(pause)
						}
						w.await(1, want, 40*time.Second)
						w.await(2, "srv2", 40*time.Second)
						pass(10 * time.Second)
						w.await(1, want, 0)
						w.await(2, "srv2", 0)
						w.neverTwice()
					})
				})
			}
		}
	}
}

// moveAway brings LIM 1 to the standby and cuts the power of the whole site.
func (w *world) moveAway() {
	w.t.Helper()
	w.settled()
	if _, err := w.order("srv1", control.Order{Kind: control.OrderFailover, LIM: 1}); err != nil {
		w.t.Fatal(err)
	}
	w.await(1, "sb1", soon)
	for _, s := range []string{"srv1", "srv2", "sb1"} {
		w.powerCut(s)
	}
	pass(time.Minute)
}

// A silent partition between a regular server and the others: both sides run,
// as specified; after the heal the regular side yields.
func TestPartitionAndHeal(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.talk()
		w.partition(true, "srv1", "sb1", "srv2")
		pass(5 * time.Second)
		if h := w.holders(1); !slices.Equal(h, []string{"sb1", "srv1"}) {
			t.Fatalf("during the partition the alias is on %v", h)
		}
		w.partition(false, "srv1", "sb1", "srv2")
		t.Logf("one holder %s after the heal", w.await(1, "sb1", time.Second))
		pass(10 * time.Second)
		w.await(1, "sb1", 0)
	})
}

// A standby that hears the others again does not take over from those that it heard
// last before it was cut off, nor does it try to.
func TestStandbyThatIsBackListens(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		for range 5 {
			w.partition(true, "sb1", "srv1", "srv2")
			pass(5 * time.Second)
			w.partition(false, "sb1", "srv2")
			pass(w.doc.Clusters[0].SilenceLimit() / 2) // time enough to hear one of them
			w.partition(false, "sb1", "srv1")
			pass(5 * time.Second)
		}
		for _, lim := range []int{1, 2} {
			l := w.status("sb1").LIM(lim)
			if l.Term != 1 || l.Side != "regular" {
				t.Errorf("LIM %d: %+v", lim, l)
			}
		}
		w.neverTwice()
	})
}

// The standby alone on its side of a partition takes nothing over.
func TestIsolatedStandby(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.partition(true, "sb1", "srv1", "srv2")
		pass(time.Minute)
		for lim, want := range map[int]string{1: "srv1", 2: "srv2"} {
			if h := w.holders(lim); !slices.Equal(h, []string{want}) {
				t.Errorf("LIM %d is on %v", lim, h)
			}
		}
		w.partition(false, "sb1", "srv1", "srv2")
		pass(10 * time.Second)
		w.await(1, "srv1", 0)
		w.neverTwice()
	})
}

// Two fail, the standby takes one; the other waits and is served when it can be.
func TestTwoFail(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.talk()
		w.powerCut("srv1")
		w.await(1, "sb1", soon)
		// The standby runs one LIM, and keeps the one that it has.
		w.powerCut("srv2")
		pass(10 * time.Second)
		w.await(1, "sb1", 0)
		if h := w.holders(2); len(h) != 0 {
			t.Errorf("LIM 2 is on %v", h)
		}
		w.boot("srv2")
		w.await(2, "srv2", soon)
		w.neverTwice()
	})
}

// Software that stops is started again in place, then the LIM fails over.
func TestSoftwareFails(t *testing.T) {
	inWorld(t, automatic, func(w *world) {
		w.settled()
		soft := w.servers["srv1"].soft
		soft.SetState(services.Stopped)
		pass(3 * time.Second)
		if got := w.software("srv1"); got != services.Running {
			t.Fatalf("the software is %s, want it restarted in place", got)
		}
		w.await(1, "srv1", 0)
		soft.Script(servicestest.VerbStart, servicestest.Step{Err: errBroken})
		soft.SetState(services.Stopped)
		w.await(1, "sb1", 10*time.Second)
		pass(time.Minute)
		w.await(1, "sb1", 0) // no automatic fallback to where it failed
		w.neverTwice()
	})
}

// Software that failed at home is mended: what status and the refusal of a fallback say to type takes
// the LIM home.
func TestFallbackToMendedSoftware(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		soft := w.servers["srv1"].soft
		soft.Script(servicestest.VerbStart, servicestest.Step{Err: errBroken})
		soft.SetState(services.Stopped)
		w.await(1, "sb1", 10*time.Second)
		soft.Script(servicestest.VerbStart, servicestest.Step{})
		pass(time.Minute)
		w.await(1, "sb1", 0)
		r := w.status("sb1").LIM(1).Remedy
		if r == nil || r.Command != "mxcluster fallback 1 --now" || r.What != "once it is mended on srv1" {
			t.Errorf("to type: %+v", r)
		}
		if _, err := w.order("sb1", control.Order{Kind: control.OrderFallback, LIM: 1}); fault.CodeOf(err) != fault.Refused || fault.HintOf(err) != "once that is mended: `mxcluster fallback 1 --now`" {
			t.Errorf("without --now: %v, %s", err, fault.HintOf(err))
		}
		w.ordered(control.OrderFallback, "srv1")
		if l := w.status("sb1").LIM(1); l.Redundant == nil || !*l.Redundant || l.Remedy != nil {
			t.Errorf("then: %v, %s, %+v", l.Redundant, l.RedundantWhy, l.Remedy)
		}
	})
}

// Somebody deletes the alias: it is back at once.
func TestAliasDeletedByHand(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		alias := w.doc.ClusterOfLIM(1).Member(1).Alias
		if err := w.servers["srv1"].kernel.Drop("eth0", alias); err != nil {
			t.Fatal(err)
		}
		t.Logf("back after %s", w.await(1, "srv1", time.Second))
		pass(5 * time.Second)
		w.await(1, "srv1", 0)
	})
}

// Another host uses the alias: the LIM is not started until it is gone.
func TestForeignHost(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		alias := w.doc.ClusterOfLIM(1).Member(1).Alias
		foreign := w.foreignHost(alias)
		w.start("srv1", "srv2", "sb1")
		w.await(2, "srv2", soon)
		pass(5 * time.Second)
		if h := w.holders(1); len(h) != 0 {
			t.Fatalf("the alias in use by a foreign host is on %v", h)
		}
		if why := w.reasons(1); !strings.Contains(why, "02:00:00:00:00:99") {
			t.Errorf("nobody names the foreign MAC: %s", why)
		}
		if err := foreign.Drop("eth0", alias); err != nil {
			t.Fatal(err)
		}
		t.Logf("started %s after the foreign host was gone", w.await(1, "srv1", 3*time.Second))
	})
}

// Newer documents reach every server, and of two with one revision one wins everywhere.
func TestDocumentReachesAll(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.edit("srv1", func(c *clusterconf.Cluster) { c.Fallback = automatic })
		pass(time.Second)
		w.sameDocument(2)
		for _, m := range w.servers { // another fallback type: older data does not fit any more
			m.mu.Lock()
			slices.Sort(m.pruned)
			if !slices.Equal(m.pruned, []int{1, 2}) {
				t.Errorf("%s removed the outdated data of LIMs %v", m.name, m.pruned)
			}
			m.mu.Unlock()
		}
		w.partition(true, "srv2", "sb1", "srv1")
		w.edit("srv1", func(c *clusterconf.Cluster) { c.LIMs[0].Priority = 1 })
		pass(time.Second)
		w.edit("srv2", func(c *clusterconf.Cluster) { c.LIMs[0].Priority = 2 })
		pass(time.Second)
		w.partition(false, "srv2", "sb1", "srv1")
		pass(5 * time.Second)
		if d := w.sameDocument(3); d != nil && d.Clusters[0].LIMs[0].Priority != 2 {
			t.Errorf("priority %d won, want that of the later edit", d.Clusters[0].LIMs[0].Priority)
		}
	})
}

// A term that can be kept in no place is not used.
func TestStateThatCannotBeSaved(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.servers["sb1"].state.setFail(errBroken, errBroken)
		w.powerCut("srv1")
		pass(5 * time.Second)
		if h := w.holders(1); len(h) != 0 {
			t.Fatalf("a LIM was started under a term that was not saved, on %v", h)
		}
		w.servers["sb1"].state.setFail(nil, nil)
		w.await(1, "sb1", 30*time.Second)
	})
}

func TestOrdersThatAreRefused(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		for _, c := range []struct {
			order control.Order
			code  fault.Code
			says  string
		}{
			{control.Order{Kind: control.OrderFallback, LIM: 9}, fault.NotFound, "no LIM 9"},
			{control.Order{Kind: "dance", LIM: 1}, fault.Usage, "no order"},
		} {
			if _, err := w.order("srv2", c.order); fault.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%+v: %v (code %d), want code %d and %q", c.order, err, fault.CodeOf(err), c.code, c.says)
			}
		}
		if res, err := w.order("srv2", control.Order{Kind: control.OrderFallback, LIM: 1}); err != nil || !res.Already {
			t.Errorf("fallback of a LIM that is at home: %+v, %v", res, err)
		}
		w.powerCut("sb1")
		pass(3 * time.Second)
		if _, err := w.order("srv2", control.Order{Kind: control.OrderFailover, LIM: 1}); fault.CodeOf(err) != fault.Refused {
			t.Errorf("failover to a dead standby: %v", err)
		}
		if _, err := w.order("srv2", control.Order{Kind: control.OrderFallback, LIM: 1}); fault.CodeOf(err) != fault.Unreachable {
			t.Errorf("fallback from a dead standby: %v (code %d)", err, fault.CodeOf(err))
		}
	})
}

// A planned move there and back, several times: moves leave nothing behind that
// blocks the next one.
func TestThereAndBackByOrder(t *testing.T) {
	for _, fallback := range []clusterconf.FallbackType{manual, automatic} {
		inWorld(t, fallback, func(w *world) {
			w.settled()
			for range 4 {
				if _, err := w.order("srv2", control.Order{Kind: control.OrderFailover, LIM: 1}); err != nil {
					t.Fatal(err)
				}
				w.await(1, "sb1", time.Second)
				pass(20 * time.Second)
				w.await(1, "sb1", 0) // it stays, even where fallback is automatic
				if _, err := w.order("srv2", control.Order{Kind: control.OrderFallback, LIM: 1}); err != nil {
					t.Fatal(err)
				}
				w.await(1, "srv1", time.Second)
				pass(time.Second)
				w.await(1, "srv1", 0)
			}
			w.neverTwice()
		})
	}
}
