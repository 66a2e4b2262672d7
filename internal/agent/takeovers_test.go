package agent

import (
	"testing"
	"time"

	"mxcluster/internal/failover"
)

// Takeovers that came to their end are counted, with the time from the decision.
func TestTakeoversAreCounted(t *testing.T) {
	x, now := newTakeovers(), time.Now()
	decide := func(lim int, want failover.Want, rule failover.Rule, after time.Duration) {
		x.decided(&failover.Decision{LIM: lim, Want: want, Rule: rule}, now.Add(after))
	}
	decide(1, failover.Run, failover.RuleTakeover, 0)
	decide(1, failover.Run, failover.RuleTakeover, time.Second) // in other words
	x.is(1, failover.Starting, now.Add(time.Second))
	x.is(1, failover.Running, now.Add(3*time.Second))
	x.is(1, failover.Running, now.Add(4*time.Second))
	decide(2, failover.Run, failover.RuleTakeover, 0)
	x.is(2, failover.Failed, now.Add(time.Second))
	x.is(2, failover.Running, now.Add(time.Minute))
	decide(3, failover.Run, failover.RuleTakeover, 0)
	decide(3, failover.Stop, failover.RuleLock, time.Second)
	x.is(3, failover.Running, now.Add(time.Minute))
	decide(4, failover.Run, failover.RuleOrder, 0)
	x.is(4, failover.Running, now.Add(time.Minute))
	got := x.info()
	if got.Count != 1 || got.SumMs != 3000 {
		t.Errorf("%+v", got)
	}
	for _, b := range got.Buckets {
		if want := uint64(1); b.UpToMs < 3000 && b.Count != 0 || b.UpToMs >= 3000 && b.Count != want {
			t.Errorf("bucket %+v", b)
		}
	}
}
