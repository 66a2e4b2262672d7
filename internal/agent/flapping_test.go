package agent

import (
	"strings"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/failover"
	"mxcluster/internal/services"
	"mxcluster/internal/services/servicestest"
	"mxcluster/internal/status"
)

func (w *world) fallback(via string, lim int) status.StatusFallback {
	w.t.Helper()
	l := w.status(via).LIM(lim)
	if l == nil {
		w.t.Fatalf("status of %s says nothing of LIM %d", via, lim)
	}
	return l.Fallback
}

// A regular server that fails soon after each fallback is taken back later and
// later (design rule 7).
func TestFlappingIsDamped(t *testing.T) {
	inWorld(t, automatic, func(w *world) {
		w.start("sb1", "srv1", "srv2")
		w.await(1, "srv1", 10*time.Second)
		for _, hold := range []time.Duration{0, 2 * time.Minute, 4 * time.Minute} {
			w.powerCut("srv1")
			w.await(1, "sb1", 5*time.Second)
			pass(10 * time.Second)
			w.boot("srv1")
			pass(3 * time.Second)
			if hold > 0 {
				f := w.fallback("srv2", 1)
				t.Logf("%+v; next: %s", f, w.status("srv2").LIM(1).Next)
				if left := time.Duration(f.HeldForMs) * time.Millisecond; left < hold-10*time.Second || left > hold || !strings.Contains(strings.Join(f.BlockedBy, ";"), "held for") {
					t.Errorf("held for %s, want some %s: %v", left, hold, f.BlockedBy)
				}
			}
			took := w.await(1, "srv1", hold+10*time.Second)
			t.Logf("back after %s, hold %s", took, hold)
			if took < hold-10*time.Second {
				t.Errorf("back after %s already, the hold is %s", took, hold)
			}
			pass(20 * time.Second)
		}
		w.neverTwice()
	})
}

// Starting anew is flapping also where it takes less time than a server must be
// silent to count as down.
func TestQuickRestartsAreDamped(t *testing.T) {
	inWorld(t, automatic, func(w *world) {
		w.start("sb1", "srv1", "srv2")
		for range 2 {
			w.await(1, "srv1", 10*time.Second)
			w.powerCut("srv1")
			w.await(1, "sb1", 5*time.Second)
			w.boot("srv1")
		}
		for range 15 {
			w.staysOn(1, []string{"sb1"}, 20*time.Second)
			w.kill("srv1")
			w.start("srv1")
		}
		pass(3 * time.Second)
		if f := w.fallback("srv2", 1); f.HeldForMs < 110_000 {
			t.Errorf("just started, it is held for %d ms only: %v", f.HeldForMs, f.BlockedBy)
		}
		w.await(1, "srv1", 2*time.Minute)
		w.neverTwice()
	})
}

// What was counted outlives the standby's agent, and its server.
func TestFlappingIsRemembered(t *testing.T) {
	inWorld(t, automatic, func(w *world) {
		w.start("sb1", "srv1", "srv2")
		for range 2 {
			w.await(1, "srv1", 10*time.Second)
			w.powerCut("srv1")
			w.await(1, "sb1", 5*time.Second)
			w.boot("srv1")
		}
		pass(3 * time.Second)
		w.kill("sb1")
		w.start("sb1")
		pass(5 * time.Second)
		if f := w.fallback("sb1", 1); f.HeldForMs == 0 {
			t.Errorf("the hold is forgotten: %+v", f)
		}
		w.awaitAlarms(soon, onStandby1, "flapping lim 1 srv1 warning")
		if _, err := w.order("srv2", control.Order{Kind: control.OrderFallback, LIM: 1}); err != nil {
			t.Errorf("an order does not wait: %v", err)
		}
		w.await(1, "srv1", 5*time.Second)
	})
}

// A fallback that fails: the standby takes over again, and waits for an order, or
// for the agent there to start anew (design rule 4).
func TestFailedFallbackIsSuspended(t *testing.T) {
	for _, end := range []string{"order", "new agent"} {
		t.Run(end, func(t *testing.T) {
			inWorld(t, automatic, func(w *world) {
				w.start("sb1", "srv1", "srv2")
				w.await(1, "srv1", 10*time.Second)
				w.powerCut("srv1")
				w.await(1, "sb1", 5*time.Second)
				w.servers["srv1"].soft.Script(servicestest.VerbStart, servicestest.Step{Err: errBroken})
				w.boot("srv1")
				pass(5 * time.Second)
				w.await(1, "sb1", 30*time.Second)
				w.staysOn(1, []string{"sb1"}, 5*time.Minute)
				f := w.fallback("srv2", 1)
				if f.Ready == nil || *f.Ready || len(f.BlockedBy) == 0 || !strings.Contains(f.BlockedBy[0], "failed") {
					t.Errorf("status says %+v", f)
				}
				t.Log(f.BlockedBy)
				w.servers["srv1"].soft.Script(servicestest.VerbStart, servicestest.Step{})
				if end == "order" {
					if _, err := w.order("srv2", control.Order{Kind: control.OrderFallback, LIM: 1, Now: true}); err != nil {
						t.Fatal(err)
					}
				} else {
					w.kill("srv1")
					w.start("srv1")
				}
				w.await(1, "srv1", 5*time.Minute)
				w.neverTwice()
			})
		})
	}
}

// A regular server that is alive but cannot start its LIM, and cannot say that it
// failed either, does not keep the LIM down.
func TestIdleRegularIsTakenOver(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.start("sb1", "srv1", "srv2")
		w.await(1, "srv1", 10*time.Second)
		a := w.servers["srv1"].agent
		_, err := on(w.t.Context(), a.core, func() (struct{}, error) {
			l := a.lims.of(1)
			l.stop(false, "test", func() { l.RetryAt, l.Failure = time.Now().Add(time.Hour), "it is kept from starting" })
			return struct{}{}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		took := w.await(1, "sb1", time.Minute)
		t.Logf("taken over after %s", took)
	})
}

// The better of three takes the standby; who is replaced goes home where that is
// fit, though fallback is manual (design rules 2 and 3).
func TestEvictedGoesHome(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		for _, s := range []string{"sb1", "srv1", "srv2"} {
			if _, err := w.servers[s].store.Edit(w.t.Context(), clusterconf.Change{By: "test", At: time.Now()}, func(d *clusterconf.Document) error {
				d.Clusters[0].LIMs[0].Priority = 10
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		w.start("sb1", "srv1", "srv2")
		w.await(2, "srv2", 10*time.Second)
		w.powerCut("srv2")
		w.await(2, "sb1", 5*time.Second)
		w.boot("srv2")
		w.staysOn(2, []string{"sb1"}, 20*time.Second)
		w.powerCut("srv1")
		w.await(1, "sb1", 5*time.Second)
		w.await(2, "srv2", 5*time.Second)
		// When its software fails there it waits, and says so; and starts when the
		// standby is free.
		w.servers["srv2"].soft.Script(servicestest.VerbStart, servicestest.Step{Err: errBroken})
		w.servers["srv2"].soft.SetState(services.Failed)
		pass(8 * time.Second)
		if l := w.status("sb1").LIM(2); !l.Waiting || l.State != "waiting" || l.Side != "none" {
			t.Errorf("status of a LIM that waits: %+v", l)
		}
		w.boot("srv1")
		pass(3 * time.Second)
		if _, err := w.order("sb1", control.Order{Kind: control.OrderFallback, LIM: 1}); err != nil {
			t.Fatal(err)
		}
		w.await(1, "srv1", 5*time.Second)
		w.await(2, "sb1", 5*time.Second)
		if s := w.status("sb1").LIM(2).State; s != string(failover.Running) {
			t.Errorf("LIM 2 is %s", s)
		}
		w.neverTwice()
	})
}

// Automatic fallback waits for software that could not start, instead of trying it.
func TestFallbackWaitsForSoftware(t *testing.T) {
	inWorld(t, automatic, func(w *world) {
		w.settled()
		w.powerCut("srv1")
		w.await(1, "sb1", soon)
		w.servers["srv1"].soft.Script(servicestest.VerbAble, servicestest.Step{Err: errBroken})
		w.boot("srv1")
		pass(3 * time.Second)
		w.staysOn(1, []string{"sb1"}, time.Minute)
		if f := w.fallback("srv2", 1); len(f.BlockedBy) != 1 || !strings.Contains(f.BlockedBy[0], "its software cannot start on srv1: service lim software: broken on purpose") {
			t.Errorf("blocked by %q", f.BlockedBy)
		}
		w.servers["srv1"].soft.Script(servicestest.VerbAble, servicestest.Step{})
		w.await(1, "srv1", 5*time.Second)
	})
}
