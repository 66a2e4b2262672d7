package agent

import (
	"slices"
	"time"

	"mxcluster/internal/control"
	"mxcluster/internal/failover"
)

// takeovers counts the LIMs that this server took over from one that failed, and how long
// each took. It is of the main loop.
type takeovers struct {
	begun   map[int]time.Time // by LIM
	count   uint64
	sum     time.Duration
	buckets []uint64 // as many as bounds
}

// takeoverBounds are those of the buckets.
func takeoverBounds() []time.Duration {
	return []time.Duration{50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, time.Second,
		2 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute}
}

func newTakeovers() takeovers {
	return takeovers{begun: map[int]time.Time{}, buckets: make([]uint64, len(takeoverBounds()))}
}

// decided notes that a LIM is to be taken over, or to do something else.
func (t *takeovers) decided(d *failover.Decision, now time.Time) {
	if _, ok := t.begun[d.LIM]; d.Want != failover.Run || ok {
		if d.Want != failover.Run {
			delete(t.begun, d.LIM)
		}
		return
	}
	if d.Rule == failover.RuleTakeover {
		t.begun[d.LIM] = now
	}
}

// is notes that a LIM is in another state.
func (t *takeovers) is(lim int, state failover.State, now time.Time) {
	began, ok := t.begun[lim]
	if !ok || state != failover.Running && state != failover.Failed {
		return
	}
	delete(t.begun, lim)
	if state != failover.Running {
		return
	}
	took := max(now.Sub(began), 0)
	t.count++
	t.sum += took
	if i := slices.IndexFunc(takeoverBounds(), func(b time.Duration) bool { return took <= b }); i >= 0 {
		t.buckets[i]++
	}
}

// info is what there was, with cumulative buckets.
func (t *takeovers) info() *control.Takeovers {
	out := &control.Takeovers{Count: t.count, SumMs: t.sum.Milliseconds()}
	sum := uint64(0)
	for i, b := range takeoverBounds() {
		sum += t.buckets[i]
		out.Buckets = append(out.Buckets, control.TakeoverBucket{UpToMs: b.Milliseconds(), Count: sum})
	}
	return out
}
