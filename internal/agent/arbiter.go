package agent

import (
	"time"

	"mxcluster/internal/arbiter/keeper"
	"mxcluster/internal/failover"
)

// parkedKey bounds for how long a stopped agent leaves a key behind.
const parkedKey = time.Minute

// arbiterView is what the arbiter is known to say of the LIMs; nil: there is none.
func (a *Agent) arbiterView(now time.Time) *failover.Arbiter {
	if a.keeper == nil {
		return nil
	}
	holds := make(map[int]bool, len(a.lims.all))
	for n, l := range a.lims.all {
		holds[n] = l.alias.holds
	}
	return a.keeper.View(holds, now)
}

// tendKeys says which keys are to be kept, asked for and given back.
func (a *Agent) tendKeys(now time.Time) {
	if a.keeper == nil {
		return
	}
	for n, l := range a.lims.all {
		how, term := keeper.GiveBack, l.term
		if l.state.Active() || l.alias.holds && !l.alias.passive() {
			how = keeper.Hold
		}
		if d := a.plan.For(n); !a.stopping && d != nil && (d.Claim || d.Want == failover.Run) && a.aliasOf(n).IsValid() {
			how, term = keeper.Claim, d.Term
		}
		a.keeper.Keep(n, how, term)
	}
	word, failure := a.keeper.Word(now)
	if word == a.arbiter {
		return
	}
	was := a.arbiter
	a.arbiter = word
	a.journal.arbiter(word, was, failure)
}

// arbiterAsked reports whether it is known who has which key, or that nobody says so.
func (a *Agent) arbiterAsked(now time.Time) bool {
	if a.keeper == nil {
		return true
	}
	word, _ := a.keeper.Word(now)
	return word != ""
}

// untilKeyEnds is the time until the first key ends that a LIM serves by.
func (a *Agent) untilKeyEnds(now time.Time) time.Duration {
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

// leaveKeys gives back the keys of the LIMs that were given up, and has the arbiter
// keep those of the LIMs that go on without the agent, beside the main loop: as
// long as their aliases stay, and a minute at most, for nobody else can run them
// that long whatever happens to this server.
func (a *Agent) leaveKeys(then func()) {
	a.tendKeys(time.Now())
	stay := map[int]bool{}
	for n, l := range a.lims.all {
		stay[n] = l.alias.holds && !l.alias.passive()
	}
	lasts := min(a.cfg.StopLease, parkedKey)
	a.wg.Go(func() {
		a.keeper.Leave(a.ctx, stay, lasts)
		a.post(then)
	})
}
