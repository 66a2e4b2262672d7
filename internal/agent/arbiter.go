package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"time"

	"mxcluster/internal/alarms"
	"mxcluster/internal/arbiter"
	"mxcluster/internal/events"
	"mxcluster/internal/failover"
)

// errNoProof says that the arbiter's word is too old for an alias to be taken or
// kept by it.
var errNoProof = errors.New("the arbiter did not answer lately")

// aliasTime is for how long the kernel may be given an alias that this server may
// have for some time: it counts in whole seconds.
func aliasTime(lease, left time.Duration) time.Duration {
	return min(lease, left).Truncate(time.Second)
}

// outlives reports whether an alias was given away for longer than this server may
// have it. The time that the call took does not matter, that of a pause does.
func outlives(lease, left time.Duration) bool { return lease > left+keyMargin/4 }

// holdProven takes an alias, with an arbiter for no longer than its key is proof.
// It returns until when.
func (a *Agent) holdProven(n *network, l *lim, alias netip.Prefix) (time.Time, error) {
	now, lease := time.Now(), a.cfg.Lease
	if a.keeper != nil {
		if lease = aliasTime(lease, a.keeper.left(l.number, now)); lease == 0 {
			return now, errNoProof
		}
	}
	if err := a.deps.Kernel.Hold(n.ifname, alias, lease); err != nil {
		return now, err
	}
	if a.keeper != nil && outlives(lease, a.keeper.left(l.number, time.Now())) {
		return now, errors.Join(errNoProof, a.deps.Kernel.Drop(n.ifname, alias))
	}
	return now.Add(lease), nil
}

// tendKeys says which keys are to be kept, asked for and given back.
func (a *Agent) tendKeys(now time.Time) {
	if a.keeper == nil {
		return
	}
	for n, l := range a.lims {
		how, term := giveBack, l.term
		if l.state.Active() || l.holds && !l.passive() {
			how = keepKey
		}
		if d := a.plan.For(n); !a.stopping && d != nil && (d.Claim || d.Want == failover.Run) && a.aliasOf(n).IsValid() {
			how, term = claimKey, d.Term
		}
		a.keeper.keep(n, how, term)
	}
	word, failure := a.keeper.word(now)
	if word == a.arbiter {
		return
	}
	was := a.arbiter
	a.arbiter = word
	if word == failover.ArbiterSilent {
		a.record(slog.LevelError, events.Event{Kind: events.Arbiter, Is: word, Was: was, Reason: failure,
			Text: fmt.Sprintf("%s does not reach the arbiter: %s", a.cfg.Server, failure)})
		return
	}
	a.record(slog.LevelInfo, events.Event{Kind: events.Arbiter, Is: word, Was: was, Text: a.cfg.Server + " reaches the arbiter"})
}

// arbiterAsked reports whether it is known who has which key, or that nobody says so.
func (a *Agent) arbiterAsked(now time.Time) bool {
	if a.keeper == nil {
		return true
	}
	word, _ := a.keeper.word(now)
	return word != ""
}

// untilKeyEnds is the time until the first key ends that a LIM serves by.
func (a *Agent) untilKeyEnds(now time.Time) time.Duration {
	wait := a.cfg.Lease
	if a.keeper == nil {
		return wait
	}
	for n, l := range a.lims {
		if left := a.keeper.left(n, now); l.holds && left > 0 {
			wait = min(wait, left)
		}
	}
	return wait
}

// deafSince is since when nobody can be served over this server's link; zero: it works.
func (a *Agent) deafSince(now time.Time) time.Time {
	switch {
	case !a.linkDown.IsZero():
		return a.linkDown
	case !a.deaf.since.IsZero() && now.Sub(a.deaf.since) >= a.deafAfter():
		return a.deaf.since
	}
	return time.Time{}
}

// arbiterConditions tells of an arbiter that is not reached, and of servers of
// this cluster that do not ask it: they would take over without.
func (a *Agent) arbiterConditions() []alarms.Condition {
	if a.keeper == nil {
		return nil
	}
	var out []alarms.Condition
	if a.arbiter == failover.ArbiterSilent {
		out = append(out, alarms.Condition{Name: alarms.ArbiterUnreachable, Severity: alarms.Warning, Server: a.cfg.Server,
			Text: fmt.Sprintf("%s does not reach the arbiter: LIMs neither run nor start there until it does", a.cfg.Server)})
	}
	for _, name := range a.mates() {
		if p := a.peer(name); p.liveness == failover.Alive && p.claim.Settled && p.claim.Arbiter == "" {
			out = append(out, alarms.Condition{Name: alarms.ArbiterDiffers, Severity: alarms.Warning, Server: name, After: settleTime,
				Text: fmt.Sprintf("%s asks no arbiter, unlike %s: it would take over without one; see arbiter.etcd.endpoints in its settings", name, a.cfg.Server)})
		}
	}
	return out
}

// leaveKeys gives back the keys of the LIMs that were given up, and has the arbiter
// keep those of the LIMs that go on without the agent, beside the main loop: as
// long as their aliases stay, and a minute at most, for nobody else can run them
// that long whatever happens to this server.
func (a *Agent) leaveKeys(then func()) {
	a.tendKeys(time.Now())
	stay := map[int]bool{}
	for n, l := range a.lims {
		stay[n] = l.holds && !l.passive()
	}
	lasts := min(a.cfg.StopLease, parkedKey)
	a.wg.Go(func() {
		a.keeper.halt()
		keys := a.keeper.snapshot()
		for _, n := range slices.Sorted(maps.Keys(keys)) {
			switch key := keys[n]; {
			case key.keeping == giveBack:
				a.keeper.release(a.ctx, n, key)
			case stay[n] && key.lease != 0:
				a.keeper.leave(a.ctx, n, key, lasts)
			}
		}
		a.post(then)
	})
}

// leaveAlias leaves the alias of a LIM that goes on without the agent for the stop
// lease, with an arbiter for no longer than its key.
func (a *Agent) leaveAlias(l *lim) error {
	lease := a.cfg.StopLease
	if a.keeper != nil && !l.passive() {
		if lease = aliasTime(lease, a.keeper.left(l.number, time.Now())); lease == 0 {
			return nil // it has some time left
		}
	}
	return a.deps.Kernel.Hold(a.net.ifname, l.alias, lease)
}

// leave takes a key of ours anew, for longer.
func (k *keeper) leave(ctx context.Context, lim int, was limKey, lasts time.Duration) {
	sent := time.Now()
	err := k.call(ctx, func(ctx context.Context) error {
		got, err := k.arb.Take(ctx, lim, arbiter.Key{Server: k.server, Term: was.term, Since: sent.UTC().Round(0)}, lasts)
		if err == nil && got.Server != k.server {
			err = arbiter.ErrNoKey
		}
		return err
	})
	if err != nil {
		k.log.Warn("a key was not left for the next agent", "lim", lim, "err", err)
		return
	}
	k.change(lim, was, func(key *limKey) { key.until = sent.Add(lasts - keyMargin) })
}
