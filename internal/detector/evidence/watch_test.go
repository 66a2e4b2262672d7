package evidence

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

var epoch = time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)

// poller plays a host that is polled as the agent does it.
type poller struct {
	w   Watch
	now time.Time
}

func newPoller(limit time.Duration) *poller {
	return &poller{w: Watch{Limit: limit}, now: epoch}
}

// run polls for a time; answers says whether the poll at a moment is answered.
// It returns when the host counted as silent for the first time, or the zero time.
func (p *poller) run(span time.Duration, answers func(now time.Time) bool) time.Time {
	end := p.now.Add(span)
	for p.now.Before(end) {
		p.w.Polled(p.now)
		if answers(p.now) {
			p.w.Heard(p.now)
		}
		if p.w.Silent(p.now) {
			return p.now
		}
		p.now = p.now.Add(p.w.Period(p.now))
	}
	return time.Time{}
}

func always(time.Time) bool { return true }
func never(time.Time) bool  { return false }

func TestWatchNoticesADeadHost(t *testing.T) {
	for _, limit := range []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, time.Second, 10 * time.Second} {
		p := newPoller(limit)
		if at := p.run(10*limit, always); !at.IsZero() {
			t.Fatalf("limit %s: a host that answers counted as silent", limit)
		}
		died := p.w.LastHeard()
		at := p.run(10*limit, never)
		if late := at.Sub(died) - limit; at.IsZero() || late < 0 || late > p.w.haste() {
			t.Errorf("limit %s: noticed %s after the limit, want at most %s", limit, late, p.w.haste())
		}
	}
}

func TestWatchHurriesOnlyInDoubt(t *testing.T) {
	p := newPoller(time.Second)
	p.run(5*time.Second, always)
	if got := p.w.Period(p.now); got != 100*time.Millisecond {
		t.Errorf("calm period is %s, want a tenth of the limit", got)
	}
	p.run(350*time.Millisecond, never)
	if got := p.w.Period(p.now); !p.w.InDoubt() || got != 5*time.Millisecond {
		t.Errorf("period in doubt is %s, want a two-hundredth of the limit", got)
	}
	for p.now.Before(epoch.Add(10 * time.Second)) { // long dead: calm again
		p.w.Polled(p.now)
		p.now = p.now.Add(p.w.Period(p.now))
	}
	if got := p.w.Period(p.now); got != 100*time.Millisecond {
		t.Errorf("period of a host long dead is %s, want the calm one", got)
	}
	if !p.w.Silent(p.now) {
		t.Error("a host long dead does not count as silent")
	}
}

// A process that was stopped asked nobody and may have missed answers: its own
// pause is no silence of the others.
func TestWatchForgivesItsOwnPause(t *testing.T) {
	for _, pause := range []time.Duration{150 * time.Millisecond, 2 * time.Second, time.Hour} {
		p := newPoller(200 * time.Millisecond)
		p.run(time.Second, always)
		p.now = p.now.Add(pause)
		p.w.Polled(p.now)
		if p.w.Silent(p.now) {
			t.Errorf("pause of %s: the others count as silent at once", pause)
		}
		resumed := p.now
		at := p.run(5*time.Second, never)
		if got := at.Sub(resumed); got < 200*time.Millisecond {
			t.Errorf("pause of %s: silence of %s was enough, want the whole limit", pause, got)
		}
	}
}

func TestWatchNeverPolledIsNotSilent(t *testing.T) {
	w := Watch{Limit: time.Second}
	if w.Silent(epoch.Add(time.Hour)) || w.InDoubt() || w.HeardSince(epoch) {
		t.Error("a host that was never asked is silent, in doubt or heard")
	}
}

// At half the frames lost in each direction a poll succeeds one time in four;
// no history of that kind makes a live host silent.
func TestWatchSurvivesLoss(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		p := newPoller(rapid.SampledFrom([]time.Duration{200 * time.Millisecond, time.Second, 10 * time.Second}).Draw(t, "limit"))
		lucky := func(time.Time) bool {
			seed = seed*6364136223846793005 + 1442695040888963407
			return seed>>62 == 0
		}
		if at := p.run(100*p.w.Limit, lucky); !at.IsZero() {
			t.Fatalf("a host that answers one poll in four counted as silent at %s", at.Sub(epoch))
		}
	})
}
