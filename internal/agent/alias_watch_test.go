package agent

import (
	"testing"
	"time"
)

// The standby has an alias that a killed agent left before failover-after is over
// once more: the server answers, and for the alias no longer.
func TestTakeoverAfterTheLease(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.kill("srv1")
		took := w.await(1, "sb1", 10*time.Second)
		t.Logf("the standby serves after %s", took)
		if lease := w.config("srv1").Lease; took > lease+limit {
			t.Errorf("served again after %s, want at most %s", took, lease+limit)
		}
		w.neverTwice()
	})
}
