package agent

import (
	"slices"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/fault"
)

// lock locks LIM 1 on one server as a command does; to "" unlocks it.
func (w *world) lock(on string, to clusterconf.Side, d time.Duration) {
	w.t.Helper()
	w.edit(on, func(c *clusterconf.Cluster) {
		m := c.Member(1)
		m.Lock = nil
		if to == "" {
			return
		}
		m.Lock = &clusterconf.Lock{To: to, Since: time.Now().UTC().Truncate(time.Millisecond), By: "test"}
		if d > 0 {
			end := m.Lock.Since.Add(d)
			m.Lock.Expires = &end
		}
	})
	pass(3 * time.Second) // all servers have it
}

func (w *world) refused(via string, o control.Order) {
	w.t.Helper()
	if res, err := w.order(via, o); fault.CodeOf(err) != fault.Refused {
		w.t.Errorf("%s of LIM %d is not refused: %+v, %v", o.Kind, o.LIM, res, err)
	} else {
		w.t.Log(err)
	}
}

func (w *world) staysOn(lim int, on []string, d time.Duration) {
	w.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); pass(20 * time.Millisecond) {
		if h := w.holders(lim); !slices.Equal(h, on) {
			w.t.Fatalf("the alias of LIM %d is on %v, not %v; %s", lim, h, on, w.reasons(lim))
		}
	}
}

func TestLockedToRegular(t *testing.T) {
	inWorld(t, automatic, func(w *world) {
		w.start("sb1", "srv1", "srv2")
		w.await(1, "srv1", 10*time.Second)
		w.lock("srv1", clusterconf.SideRegular, 0)
		w.refused("srv2", control.Order{Kind: control.OrderFailover, LIM: 1, Now: true})
		w.powerCut("srv1")
		pass(time.Second)
		w.staysOn(1, nil, 30*time.Second)
		if l := w.status("sb1").LIM(1); l.Lock == nil || l.Side != "none" {
			t.Errorf("status of a locked LIM whose server is down: %+v", l)
		}
		if h := w.status("sb1").Health; h != "critical" {
			t.Errorf("health is %s", h)
		}
		w.lock("srv2", "", 0)
		w.await(1, "sb1", 5*time.Second)
	})
}

func TestLockEndsByItself(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.start("sb1", "srv1", "srv2")
		w.await(1, "srv1", 10*time.Second)
		w.lock("srv1", clusterconf.SideRegular, time.Minute)
		w.powerCut("srv1")
		pass(time.Second)
		w.staysOn(1, nil, 50*time.Second)
		w.await(1, "sb1", 10*time.Second)
	})
}

// A reboot under a lock: the LIM starts again on its server, where fallback is manual too.
func TestRebootUnderALock(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.start("sb1", "srv1", "srv2")
		w.await(1, "srv1", 10*time.Second)
		w.lock("srv1", clusterconf.SideRegular, 0)
		w.powerCut("srv1")
		pass(5 * time.Second)
		w.boot("srv1")
		w.await(1, "srv1", 10*time.Second)
		w.neverTwice()
	})
}

// Unlocked from the standby, the fallback type decides (specification, chapter 10),
// whether the LIM came there by a failure or by order.
func TestLockedToStandby(t *testing.T) {
	for _, moved := range []string{"by failure", "by order"} {
		t.Run(moved, func(t *testing.T) {
			inWorld(t, automatic, func(w *world) {
				w.settled()
				if moved == "by order" {
					if _, err := w.order("srv2", control.Order{Kind: control.OrderFailover, LIM: 1}); err != nil {
						t.Fatal(err)
					}
				} else {
					w.powerCut("srv1")
				}
				w.await(1, "sb1", 10*time.Second)
				w.lock("sb1", clusterconf.SideStandby, 0)
				if moved != "by order" {
					w.boot("srv1")
				}
				w.staysOn(1, []string{"sb1"}, 20*time.Second)
				w.refused("srv1", control.Order{Kind: control.OrderFallback, LIM: 1, Now: true})
				w.lock("srv2", "", 0)
				w.await(1, "srv1", 10*time.Second)
				w.neverTwice()
			})
		})
	}
}

// A regular server does not start what is locked to a standby that is gone.
func TestLockedStandbyGone(t *testing.T) {
	inWorld(t, automatic, func(w *world) {
		w.settled()
		if _, err := w.order("srv1", control.Order{Kind: control.OrderFailover, LIM: 1}); err != nil {
			t.Fatal(err)
		}
		w.await(1, "sb1", 10*time.Second)
		w.lock("srv1", clusterconf.SideStandby, 0)
		w.powerCut("sb1")
		pass(time.Second)
		w.staysOn(1, nil, 30*time.Second)
		w.boot("sb1")
		w.await(1, "sb1", 40*time.Second)
	})
}

func TestReleaseKeepsWhatIsLocked(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.start("sb1", "srv1", "srv2")
		w.await(1, "srv1", 10*time.Second)
		w.lock("srv1", clusterconf.SideRegular, 0)
		m := w.servers["srv1"]
		res, err := m.agent.Stop(w.t.Context(), control.StopRequest{Release: true})
		if err != nil || !slices.Equal(res.Locked, []int{1}) || !slices.Equal(res.LIMsLeftRunning, []int{1}) {
			t.Fatalf("release of a locked LIM: %+v, %v", res, err)
		}
		<-m.ended
		m.agent = nil
		w.staysOn(1, []string{"srv1"}, 30*time.Second)
	})
}

// With the whole server on its way down the LIM is given up, and taken over sooner
// than a silent server would be.
func TestSystemShutdown(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled() // the standby has heard it
		m := w.servers["srv1"]
		m.shutdown = true
		m.cancel()
		<-m.ended
		m.agent = nil
		if took := w.await(1, "sb1", limit); took > limit {
			t.Errorf("taken over after %s", took)
		}
		w.neverTwice()
	})
}

// What an edit allows can be ordered at once, on the server that was edited: the one
// that acts waits for the document. Edits that follow one another are not held up.
func TestOrderRightAfterAnEdit(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		if _, err := w.order("srv1", control.Order{Kind: control.OrderFailover, LIM: 1}); err != nil {
			t.Fatal(err)
		}
		w.await(1, "sb1", 10*time.Second)
		w.lock("srv1", clusterconf.SideStandby, 0)
		for range 3 {
			w.edit("srv1", func(c *clusterconf.Cluster) { c.Member(1).Priority++ })
			pass(50 * time.Millisecond)
		}
		w.edit("srv1", func(c *clusterconf.Cluster) { c.Member(1).Lock = nil })
		start := time.Now()
		if _, err := w.order("srv1", control.Order{Kind: control.OrderFallback, LIM: 1}); err != nil {
			t.Errorf("right after it was unlocked: %v", err)
		}
		if took := time.Since(start); took > 500*time.Millisecond {
			t.Errorf("the order waited %s for the document", took)
		}
		w.await(1, "srv1", 10*time.Second)
	})
}

// A server that cannot get the document that an order rests on says so.
func TestOrderWithoutItsDocument(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.start("sb1", "srv1", "srv2")
		w.await(1, "srv1", 10*time.Second)
		a := w.servers["srv1"].agent
		reply, err := on(w.t.Context(), a.core, func() (<-chan reply, error) {
			return a.mail.passOn("sb1", message{Type: typeOrder, Order: &control.Order{Kind: control.OrderFallback, LIM: 1}, Revision: a.doc.Revision + 1}), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if r := <-reply; fault.CodeOf(r.err) != fault.Busy {
			t.Errorf("%+v", r)
		}
	})
}
