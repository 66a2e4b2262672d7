package agent

import (
	"slices"
	"testing"
	"time"
)

// An agent whose main loop hangs, though the rest of its process goes on, renews no
// lease: the kernel takes the alias away, the standby takes it over, and when the
// loop goes on, the LIM is not taken back by force. At no time do two have it.
func TestHungAgentLosesItsLease(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		release := make(chan struct{})
		hung := time.Now()
		w.servers["srv1"].agent.post(func() { <-release })
		w.until(10*time.Second, "the alias is gone", func() bool { return !slices.Contains(w.holders(1), "srv1") })
		t.Logf("the alias is gone %s after the loop hung", time.Since(hung))
		w.await(1, "sb1", 2*soon)
		t.Logf("taken over %s after the loop hung", time.Since(hung))
		pass(time.Minute)
		close(release)
		pass(10 * time.Second)
		w.await(1, "sb1", 0)
		w.neverTwice()
	})
}
