package agent

import (
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
)

// Who moved a LIM, why and when stands until it moves again, also when the agent there is
// started anew; so does since when it runs there.
func TestCauseStands(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		want := func(what, by, reason string) time.Time {
			t.Helper()
			l := w.status("srv2").LIM(1)
			if l.Cause == nil || l.Cause.What != what || l.Cause.By != by || l.Cause.Reason != reason || l.Cause.At == nil || l.Since == nil || !l.Since.Equal(*l.Cause.At) && what != "start" {
				t.Fatalf("cause %+v since %v, want %s by %q (%s)", l.Cause, l.Since, what, by, reason)
			}
			return *l.Since
		}
		was := want("start", "", "")
		w.kill("srv1")
		w.start("srv1")
		pass(5 * time.Second)
		if at := want("start", "", ""); !at.Equal(was) {
			t.Errorf("since %s, before the restart %s", at, was)
		}
		order := func(kind control.OrderKind, by, reason string) {
			t.Helper()
			if _, err := w.order("srv2", control.Order{Kind: kind, LIM: 1, By: by, Reason: reason}); err != nil {
				t.Fatal(err)
			}
			pass(5 * time.Second)
		}
		order(control.OrderFailover, "ann", "new disk")
		was = want("ordered", "ann", "new disk")
		w.kill("sb1")
		w.start("sb1")
		pass(10 * time.Second)
		if at := want("ordered", "ann", "new disk"); !at.Equal(was) {
			t.Errorf("since %s, before the restart %s", at, was)
		}
		order(control.OrderFallback, "bob", "done")
		want("fallback", "bob", "done")
		w.powerCut("srv1")
		w.await(1, "sb1", soon)
		pass(2 * time.Second)
		want("failed", "", "srv1 was down")
	})
}

// A LIM that another one displaces, and one that leaves a drained server, say so.
func TestCauseOfOthers(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.edit("srv1", func(c *clusterconf.Cluster) { c.LIMs[1].Priority = 1 })
		w.movedToStandby(1)
		pass(20 * time.Second) // an order is not taken back at once
		w.powerCut("srv2")
		w.await(2, "sb1", soon)
		w.await(1, "srv1", 20*time.Second)
		pass(2 * time.Second)
		if c := w.status("sb1").LIM(1).Cause; c == nil || c.What != "preempted" || c.Reason != "made room for LIM 2, which had a higher priority" {
			t.Errorf("displaced: %+v", c)
		}
		w.boot("srv2")
		pass(5 * time.Second)
		if _, err := w.order("sb1", control.Order{Kind: control.OrderFallback, LIM: 2}); err != nil {
			t.Fatal(err)
		}
		w.await(2, "srv2", soon)
		w.drain("srv2", "srv1", time.Hour)
		w.await(1, "sb1", 10*time.Second)
		pass(2 * time.Second)
		if c := w.status("srv2").LIM(1).Cause; c == nil || c.What != "drained" || c.By != "test" || c.Reason != "new disk" {
			t.Errorf("drained: %+v", c)
		}
	})
}

// A split brain is told for a day after it is over.
func TestSplitIsTold(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.talk()
		w.settled()
		w.partition(true, "srv1", "sb1")
		pass(20 * time.Second)
		w.partition(false, "srv1", "sb1")
		pass(10 * time.Second)
		for _, on := range []string{"srv1", "srv2", "sb1"} {
			s := w.status(on).LIM(1).LastSplit
			if s == nil || len(s.Servers) != 2 || s.Servers[0] != "sb1" || s.Servers[1] != "srv1" {
				t.Errorf("%s tells of %+v", on, s)
			} else if took := s.Ended.Sub(s.Began); took < 17*time.Second || took > 22*time.Second {
				t.Errorf("%s: it took %s", on, took)
			}
		}
	})
}
