package agent

import (
	"time"

	"mxcluster/internal/arbiter/keeper"
	"mxcluster/internal/failover"
)

// parkedKey bounds for how long a stopped agent leaves a key behind.
const parkedKey = time.Minute

// arbiterKeys says which of the arbiter's keys this server is to have, by what its LIMs are
// and are to be; the keeper has them beside the main loop. Without an arbiter it does nothing.
type arbiterKeys struct {
	*core
	lims *lims

	word string // what the others were told of the arbiter last
	left bool   // the keys were left for the next agent
}

// view is what the arbiter is known to say of the LIMs; nil: there is none.
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

// tend says, by a plan, which keys are to be kept, asked for and given back.
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
	if word == a.word {
		return
	}
	was := a.word
	a.word = word
	a.journal.arbiter(word, was, failure)
}

// asked reports whether it is known who has which key, or that nobody says so.
func (a *arbiterKeys) asked(now time.Time) bool {
	if a.keeper == nil {
		return true
	}
	word, _ := a.keeper.Word(now)
	return word != ""
}

// untilEnd is the time until the first key ends that a LIM serves by.
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

// outlives is how long a stopped agent leaves a key behind.
func (a *arbiterKeys) outlives() time.Duration { return min(a.cfg.StopLease, parkedKey) }

// lease is how long this server's keys at the arbiter may outlive it; 0: there is none.
func (a *arbiterKeys) lease() time.Duration {
	switch {
	case a.keeper == nil:
		return 0
	case a.parked || a.stopping:
		return max(a.cfg.ArbiterLease, a.outlives())
	}
	return a.cfg.ArbiterLease
}

// leave gives back the keys of the LIMs that were given up, and has the arbiter
// keep those of the LIMs that go on without the agent, beside the main loop: as
// long as their aliases stay, and a minute at most, for nobody else can run them
// that long whatever happens to this server.
func (a *arbiterKeys) leave(then func()) {
	a.left = true
	a.tend(failover.Plan{}, time.Now())
	stay := map[int]bool{}
	for n, l := range a.lims.all {
		stay[n] = l.alias.holds && !l.alias.passive()
	}
	lasts := a.outlives()
	a.wg.Go(func() {
		a.keeper.Leave(a.ctx, stay, lasts)
		a.post(then)
	})
}
