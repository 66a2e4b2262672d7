package agent

import (
	"strings"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/fault"
)

// An order that would throw another LIM off the standby names it, and is carried out
// for who agrees to that one alone. A LIM that waits is not said to have moved.
func TestOrderThatStopsAnother(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.edit("srv1", func(c *clusterconf.Cluster) { c.LIMs[0].Priority = 50 })
		pass(soon)
		w.powerCut("srv2")
		w.await(2, "sb1", 5*time.Second)
		o := control.Order{Kind: control.OrderFailover, LIM: 1, DryRun: true}
		if res, err := w.order("sb1", o); err != nil || res.Evicts != 2 || !strings.Contains(res.Text, "LIM 2 would be stopped") {
			t.Errorf("a trial says %+v, %v", res, err)
		}
		for _, evict := range []int{0, 1} {
			o = control.Order{Kind: control.OrderFailover, LIM: 1, Evict: evict}
			if _, err := w.order("sb1", o); fault.CodeOf(err) != fault.Refused || !strings.Contains(err.Error(), "LIM 2") {
				t.Errorf("agreed to stop LIM %d: %v", evict, err)
			}
		}
		pass(3 * time.Second)
		w.await(2, "sb1", 0)
		o.Evict = 2
		if res, err := w.order("sb1", o); err != nil || res.Evicts != 2 {
			t.Fatalf("%+v, %v", res, err)
		}
		w.await(1, "sb1", 5*time.Second)
		pass(2 * time.Second)
		_, err := w.order("sb1", control.Order{Kind: control.OrderFallback, LIM: 2})
		if fault.CodeOf(err) != fault.Refused || !strings.Contains(err.Error(), "waits") {
			t.Errorf("fallback of a LIM that waits: %v (code %d)", err, fault.CodeOf(err))
		}
		w.neverTwice()
	})
}
