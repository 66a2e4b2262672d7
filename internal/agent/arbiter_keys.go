package agent

import (
	"time"

	"mxcluster/internal/arbiter/keeper"
	"mxcluster/internal/failover"
)

// parkedKey bounds how long the keys of a stopped agent stay at the arbiter.
const parkedKey = time.Minute

// arbiterKeys decides which keys at the arbiter this server should have, by the state of its LIMs.
// The keeper manages them beside the main loop. Without an arbiter it does nothing.
type arbiterKeys struct {
	*core
	lims *lims

	toldState string // state of the arbiter that the others were last told
	left      bool   // the keys were left for the next run
}

// view returns what is known of the keys; nil: there is no arbiter.
func (a *arbiterKeys) view(now time.Time) *failover.Arbiter {
	if a.keeper == nil {
		return nil
	}
	holds := make(map[int]bool, len(a.lims.all))
	for n, l := range a.lims.all {
		holds[n] = l.alias.holds
	}
	return a.keeper.View(holds, now)
}

// tend tells the keeper which keys to hold, claim and give back, by a plan.
func (a *arbiterKeys) tend(plan failover.Plan, now time.Time) {
	if a.keeper == nil {
		return
	}
	for n, l := range a.lims.all {
		how, term := keeper.GiveBack, l.Term
		if l.State.Active() || l.alias.holds && !l.alias.passive() {
			how = keeper.Hold
		}
		if d := plan.For(n); !a.stopping && d != nil && (d.Claim || d.Want == failover.Run) && a.aliasOf(n).IsValid() {
			how, term = keeper.Claim, d.Term
		}
		a.keeper.Keep(n, how, term)
	}
	word, failure := a.keeper.Word(now)
	if word == a.toldState {
		return
	}
	was := a.toldState
	a.toldState = word
	a.journal.arbiter(word, was, failure)
}

// asked reports whether the state of the keys is known, or the arbiter is known to be unreachable.
func (a *arbiterKeys) asked(now time.Time) bool {
	if a.keeper == nil {
		return true
	}
	word, _ := a.keeper.Word(now)
	return word != ""
}

// untilEnd returns the time until the first key of an active LIM expires.
func (a *arbiterKeys) untilEnd(now time.Time) time.Duration {
	wait := a.cfg.Lease
	if a.keeper == nil {
		return wait
	}
	for n, l := range a.lims.all {
		if left := a.keeper.Left(n, now); l.alias.holds && left > 0 {
			wait = min(wait, left)
		}
	}
	return wait
}

// parkedLife is how long a stopped agent leaves a key behind.
func (a *arbiterKeys) parkedLife() time.Duration { return min(a.cfg.StopLease, parkedKey) }

// lease is how long this server's keys may outlive it; 0: there is no arbiter.
func (a *arbiterKeys) lease() time.Duration {
	switch {
	case a.keeper == nil:
		return 0
	case a.parked || a.stopping:
		return max(a.cfg.ArbiterLease, a.parkedLife())
	}
	return a.cfg.ArbiterLease
}

// leave gives back the keys of released LIMs, and extends those of LIMs that go on without the
// agent, beside the main loop: as long as their aliases stay, at most a minute, since no other
// server can run these LIMs during that time.
func (a *arbiterKeys) leave(then func()) {
	a.left = true
	a.tend(failover.Plan{}, time.Now())
	stay := map[int]bool{}
	for n, l := range a.lims.all {
		stay[n] = l.alias.holds && !l.alias.passive()
	}
	lasts := a.parkedLife()
	a.wg.Go(func() {
		a.keeper.Leave(a.ctx, stay, lasts)
		a.post(then)
	})
}
