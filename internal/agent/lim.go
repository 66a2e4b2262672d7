package agent

import (
	"context"
	"fmt"
	"time"

	"mxcluster/internal/failover"
	"mxcluster/internal/services"
)

const (
	retryFirst   = 10 * time.Second // delay after software failed; doubled each time
	retryLongest = 5 * time.Minute
	retryAddress = time.Second      // after the alias was found in use
	retryStop    = 30 * time.Second // after software did not stop
	restopLimit  = 10 * time.Second // of such a retry
	stopLongest  = 2 * time.Minute
)

// lim is a LIM on this server. It is owned by the main loop; its operations run beside it and post
// their results.
type lim struct {
	*lims
	number   int
	alias    *alias
	software *software
	failover.Standing
	since    time.Time       // start of its state
	serving  time.Time       // since when it is active here, whatever became of the agent meanwhile; zero: it is not
	cause    *failover.Cause // why it is here, or was last; nil: not known
	left     *failover.Cause // why it left for the other side; nil: it did not, or for no reason of its own
	split    *failover.Split // the last one; nil: there was none
	failures int             // in a row
	reason   string          // of the last decision
	waiting  bool
	remedy   *failover.Remedy
	blocked  []string

	backoffUntil  time.Time // automatic fallback waits until then at least
	backoffReason string

	tookToStart time.Duration // how long its software took to start here last, on trial or not; 0: it never did

	clear bool               // it leaves its cluster, and nothing of it is left here
	op    context.CancelFunc // cancels the operation in progress; nil: none
}

// lims is the set of LIMs on this server.
type lims struct {
	*core
	gossip  *gossip
	kept    *keptState
	aliases *aliases
	all     map[int]*lim
	data    *data

	endRehearsals func(why string) <-chan struct{} // ends rehearsals; see [rehearsals.clear]
}

// of returns the record of a LIM; it creates one if needed.
func (a *lims) of(number int) *lim {
	l := a.all[number]
	if l == nil {
		l = &lim{lims: a, number: number, alias: a.aliases.of(number), software: &software{core: a.core, lim: number}, Standing: failover.Standing{State: failover.Stopped}, since: time.Now()}
		a.all[number] = l
	}
	return l
}

// set changes a LIM's state.
func (l *lim) set(s failover.State, reason string) {
	if l.State != s {
		l.journal.state(l.number, l.Term, s, l.State, reason)
		l.State, l.since = s, time.Now()
		if s != failover.Starting && s != failover.Running {
			l.serving = time.Time{}
		}
	}
}

// apply carries out one decision.
func (a *Agent) apply(d *failover.Decision, now time.Time) {
	l := a.lims.of(d.LIM)
	if l.reason != d.Reason {
		a.journal.decision(d)
	}
	l.reason, l.waiting, l.blocked, l.remedy = d.Reason, d.Waiting, d.BlockedBy, d.Remedy
	l.backoffUntil, l.backoffReason = d.HeldUntil, d.HeldWhy
	a.askWire(d, now)
	a.noteSplit(l, d, now)
	a.leaves(l, d, now)
	switch d.Want {
	case failover.Run:
		a.arrives(l, d)
		if l.applyRun(d) {
			a.orders.startedFromDead(d)
		}
	case failover.Preload:
		if d.Unmark {
			l.Released = time.Time{}
		}
		l.applyPreload(d)
	case failover.Stop:
		l.alias.inUse.text = "" // it is not wanted here any more
		if d.AliasOff {
			l.alias.drop() // even during an operation: another server has it
		}
		if d.Unmark {
			l.Released = time.Time{}
		}
		if d.Release && l.Released.IsZero() {
			l.Released = now
			l.keep(d) // saved with the stop
		}
		l.applyStop(d)
	}
}

// askWire makes the detector watch the alias while the decision depends on it.
func (a *Agent) askWire(d *failover.Decision, now time.Time) {
	c := a.doc.ClusterOfLIM(d.LIM)
	if d.AskWire && c != nil {
		a.net.detector.WatchAlias(d.LIM, c.Member(d.LIM).Alias.Addr(), c.SilenceLimit(), now)
	} else {
		a.net.detector.UnwatchAlias(d.LIM)
	}
}

// keep takes over what a decision says should be remembered of the LIM.
func (l *lim) keep(d *failover.Decision) {
	if d.Flaps != nil {
		l.Flaps = *d.Flaps
	}
	if d.Suspended != nil {
		l.Suspended = *d.Suspended
	}
}

// operate runs an operation of a LIM beside the main loop, and then the function that it returns on
// the main loop. A LIM has one operation at a time.
func (l *lim) operate(f func(ctx context.Context) func()) {
	ctx, cancel := context.WithCancel(l.ctx)
	l.op = cancel
	l.wg.Go(func() {
		then := f(ctx)
		l.post(func() {
			cancel()
			l.op, l.alias.taking = nil, false
			then()
		})
	})
}

// watchHealth starts the health checks of a LIM's software, and restarts failing software in place
// a configured number of times (design section 5, rule 11).
func (l *lim) watchHealth(software services.Set, env services.Env) {
	l.software.endHealth()
	if len(software) == 0 {
		return
	}
	ctx, cancel := context.WithCancel(l.ctx)
	l.software.health = cancel
	l.wg.Go(func() { l.software.watch(ctx, software, env, l.unhealthy) })
}

// unhealthy restarts failed software, or gives the LIM up here.
func (l *lim) unhealthy(ctx context.Context, service string, state services.State, err error) {
	if ctx.Err() != nil || l.State != failover.Running && l.State != failover.Preloaded || l.op != nil {
		return
	}
	if time.Since(l.since) > healthyFor {
		l.software.restarts, l.failures = 0, 0
	}
	why := fmt.Errorf("%s is %s", service, state)
	if err != nil {
		why = fmt.Errorf("%s: %w", service, err)
	}
	if l.software.restarts < l.cfg.Restarts {
		l.software.restarts++
		l.journal.software(l.number, fmt.Sprintf("restarting the software of LIM %d in place, for the %d. time of %d: %v", l.number, l.software.restarts, l.cfg.Restarts, why))
		if l.State == failover.Preloaded {
			l.load(why.Error())
			return
		}
		l.start(l.Term, l.aliasOf(l.number), why.Error())
		return
	}
	l.software.restarts = 0
	l.stop(l.alias.passive(), why.Error(), func() { l.fail(why) })
}

// serves reports whether a LIM is up here, or starting and has not failed before.
func (l *lim) serves() bool {
	return l.State == failover.Running || l.State == failover.Starting && l.Failure == ""
}

// putBack adds the aliases again that were removed while the interface was down.
func (a *lims) putBack() {
	for _, l := range a.all {
		switch {
		case !l.alias.absent || l.op != nil:
		case l.State != failover.Running:
			l.alias.absent = false // loaded anew
		default:
			l.alias.absent = false
			l.alias.event("deleted", fmt.Sprintf("the alias %s was deleted while %s was down; it is put back", l.alias.addr.Addr(), a.net.ifname))
			l.alias.putBack(l.alias.addr, setUp)
		}
	}
}

// aliasFreed starts a LIM at once that waits for its alias.
func (a *lims) aliasFreed(lim int) {
	if l := a.of(lim); !l.State.Active() {
		l.RetryAt = time.Time{}
	}
}
