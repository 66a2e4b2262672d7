package agent

import (
	"slices"
	"testing"
	"time"

	"mxcluster/internal/failover"
	"mxcluster/internal/status"
	"mxcluster/netops"
)

// A block counts as probed once the side that serves has asked, with few frames; one
// that is none is told of, and does not take the alias from the side that serves.
func TestBlockIsProbed(t *testing.T) {
	for _, leaks := range []bool{false, true} {
		inPreloaded(t, manual, func(w *world) {
			wire, err := w.segment.OpenWire(w.servers["sb1"].kernel, "eth0")
			if err != nil {
				t.Fatal(err)
			}
			asked := 0
			heard := wire.Subscribe(w.t.Context())
			w.servers["sb1"].kernel.Leak(leaks)
			holder := func() status.Holder {
				h := w.status("srv1").Clusters[0].LIMs[0].Alias.Holders
				return h[slices.IndexFunc(h, func(x status.Holder) bool { return x.Server == "sb1" })]
			}
			if h := holder(); h.Probed != nil || !*h.Blocked {
				t.Errorf("before anybody asked: %+v", h)
			}
			took := w.until(10*time.Second, "it was probed", func() bool { p := holder().Probed; return p != nil && *p == !leaks })
			t.Logf("leaks %v: known after %s", leaks, took)
			if *holder().Blocked == leaks {
				t.Errorf("leaks %v, blocked %v", leaks, *holder().Blocked)
			}
			told := slices.ContainsFunc(w.alarmsSeen("srv1"), func(x status.Alarm) bool { return x.Name == "address-twice" && x.Server == "sb1" })
			pass(time.Second)
			told = told || slices.ContainsFunc(w.alarmsSeen("srv1"), func(x status.Alarm) bool { return x.Name == "address-twice" && x.Server == "sb1" })
			if told != leaks {
				t.Errorf("leaks %v, told %v", leaks, told)
			}
			w.await(1, "srv1", 0)
			w.awaitState(1, "sb1", failover.Preloaded, time.Second)
			for {
				select {
				case o := <-heard:
					question := o.Op == netops.Request && o.TargetIP == w.alias(1).Addr() && o.SenderIP != o.TargetIP && !o.SenderIP.IsUnspecified() // no announcement, and not to all
					if question && o.SenderMAC.String() == w.mac("srv1") {
						asked++
					}
					continue
				default:
				}
				break
			}
			if !leaks && (asked == 0 || asked > blockAsks) { // the first may have been asked before
				t.Errorf("asked %d times", asked)
			}
		})
	}
}
