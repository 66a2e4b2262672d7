package agent

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"mxcluster/internal/failover"
	"mxcluster/internal/services"
)

const (
	retryFirst   = 10 * time.Second // after software failed; doubled each time
	retryLongest = 5 * time.Minute
	retryAddress = time.Second      // after the alias was found in use
	retryStop    = 30 * time.Second // after software did not stop
	restopLimit  = 10 * time.Second // of that
	stopLongest  = 2 * time.Minute
)

// lim is a LIM on this server. It is owned by the main loop; its operations run
// beside it and report back.
type lim struct {
	*lims
	number   int
	alias    *alias
	software *software
	state    failover.State
	term     uint64
	since    time.Time
	released time.Time
	known    failover.Place
	retryAt  time.Time
	failure  string
	failures int    // in a row
	reason   string // of the last decision
	waiting  bool
	remedy   *failover.Remedy
	blocked  []string

	heldUntil time.Time // automatic fallback is held back until then at least
	heldWhy   string
	flaps     failover.Flaps
	suspended failover.Suspension

	clear bool               // it leaves its cluster, and nothing of it is left here
	op    context.CancelFunc // ends the operation in progress; nil: none
}

// lims are the LIMs on this server.
type lims struct {
	*core
	publish func(now time.Time) // what this server says, to the others
	kept    *keptState
	aliases *aliases
	all     map[int]*lim
	data    *data
}

// of returns the record of a LIM, made anew if need be.
func (a *lims) of(number int) *lim {
	l := a.all[number]
	if l == nil {
		l = &lim{lims: a, number: number, alias: a.aliases.of(number), software: &software{core: a.core, lim: number}, state: failover.Stopped, since: time.Now()}
		a.all[number] = l
	}
	return l
}

// set changes a LIM's state.
func (l *lim) set(s failover.State, reason string) {
	if l.state != s {
		l.recordState(l, s, reason)
		l.state, l.since = s, time.Now()
	}
}

// apply carries one decision out.
func (a *Agent) apply(d *failover.Decision, now time.Time) {
	l := a.lims.of(d.LIM)
	if l.reason != d.Reason {
		a.recordDecision(d)
	}
	l.reason, l.waiting, l.blocked, l.remedy = d.Reason, d.Waiting, d.BlockedBy, d.Remedy
	l.heldUntil, l.heldWhy = d.HeldUntil, d.HeldWhy
	a.askWire(d, now)
	switch d.Want {
	case failover.Run:
		if l.applyRun(d) {
			a.startedOnWord(d)
		}
	case failover.Preload:
		if d.Unmark {
			l.released = time.Time{}
		}
		l.applyPreload(d)
	case failover.Stop:
		l.alias.inUse.text = "" // it is not wanted here any more
		if d.AliasOff {
			l.alias.drop() // whatever is in progress: another server has it
		}
		if d.Unmark {
			l.released = time.Time{}
		}
		if d.Release && l.released.IsZero() {
			l.released = now
			l.keep(d) // saved with the stop
		}
		l.applyStop(d)
	}
}

// askWire has the detector ask for the alias as long as the decision hangs on it.
func (a *Agent) askWire(d *failover.Decision, now time.Time) {
	c := a.doc.ClusterOfLIM(d.LIM)
	if d.AskWire && c != nil {
		a.net.detector.WatchAlias(d.LIM, c.Member(d.LIM).Alias.Addr(), c.SilenceLimit(), now)
	} else {
		a.net.detector.UnwatchAlias(d.LIM)
	}
}

func (l *lim) applyRun(d *failover.Decision) (starts bool) {
	alias := l.aliasOf(l.number)
	l.alias.contest(d.Contested)
	switch {
	case l.op != nil:
	case l.state == failover.Running && (l.alias.holds || l.alias.absent || !alias.IsValid()):
		if l.term != d.Term {
			l.reterm(d.Term)
		}
		l.tendSoftware()
	default:
		l.keep(d) // saved with the start
		l.start(d.Term, alias, d.Reason)
		return true
	}
	return false
}

// keep takes over what a decision says is to be remembered of the LIM.
func (l *lim) keep(d *failover.Decision) {
	if d.Flaps != nil {
		l.flaps = *d.Flaps
	}
	if d.Suspended != nil {
		l.suspended = *d.Suspended
	}
}

// reterm gives a running LIM a later term and announces it again, after another
// server had it too.
func (l *lim) reterm(term uint64) {
	l.term, l.known = term, l.known.Later(failover.Place{Term: term, Server: l.cfg.Server})
	l.kept.saveBeside()
	l.recordState(l, l.state, "goes on under a later term")
	if l.alias.hold != nil {
		l.alias.announceAnew()
	}
}

// start begins to run a LIM here: term saved, alias probed and leased, announced,
// software started.
func (l *lim) start(term uint64, alias netip.Prefix, reason string) {
	goesOn := l.kept.durable(l, term)
	l.term, l.released, l.alias.absent = term, time.Time{}, false
	l.known = l.known.Later(failover.Place{Term: term, Server: l.cfg.Server})
	l.set(failover.Starting, reason)
	software, env, err := l.software.build(alias)
	if err != nil {
		l.giveUp(err, func() { l.fail(err) })
		return
	}
	passive, former := l.alias.passive(), l.alias.former
	acquire := alias.IsValid() && (!l.alias.holds || passive)
	changes := l.software.role == rolePassive
	gone := l.software.gone(software)
	if goesOn && l.software.specs != nil {
		software = software.Only(l.software.specs) // what was added since must not bring down what runs
	}
	l.software.mayBeUp(software, gone)
	net, saved := l.net, l.kept.saveBegin()
	if goesOn {
		saved = func() error { return nil }
	}
	given := acquire && l.alias.givenUp(term)
	before := l.alias.beforeTaking(net, alias, given, saved)
	l.alias.taking = acquire
	l.operate(func(ctx context.Context) func() {
		if acquire {
			if err := l.alias.acquire(ctx, net, alias, passive, former, before); err != nil {
				return func() { l.notAcquired(err) }
			}
			if given {
				l.probeBeside(net, alias.Addr())
			}
		} else if err := saved(); err != nil {
			return func() { l.giveUp(err, func() { l.fail(err) }) }
		}
		data := l.newestData(&env)
		l.software.noteStart(data.Newest)
		l.post(func() { l.software.startsOn(data) })
		l.software.stopGone(ctx, gone, env)
		err := l.software.serve(ctx, software, env, changes)
		if err == nil {
			err = l.software.calledOff(ctx, software, env)
		}
		if err != nil {
			return func() {
				l.software.didNotComeUp(err)
				l.alias.drop()
				l.fail(err)
			}
		}
		return func() { l.runs(software, env) }
	})
}

// runs notes that a LIM's software runs, and watches it.
func (l *lim) runs(software services.Set, env services.Env) {
	l.failure, l.retryAt, l.software.up, l.alias.inUse.text, l.software.role, l.software.version = "", time.Time{}, true, "", env.Role, nil
	l.software.mayBeUp(software)
	l.software.change.hash = ""       // the document may want another by now
	if l.state == failover.Stopping { // called off when it was up already
		l.stop(false, l.reason, nil)
		return
	}
	l.set(failover.Running, l.reason)
	l.watchHealth(software, env)
}

// operate runs one operation of a LIM beside the main loop; the function that
// it returns is then done by the main loop. A LIM has one operation at a time.
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

// applyStop takes a LIM down here, if it is not down already.
func (l *lim) applyStop(d *failover.Decision) {
	if l.software.stopsAgain || l.state == failover.Stopping && l.op != nil {
		return
	}
	if l.alias.passive() {
		l.alias.drop() // what is being stopped must not look like a holder
	}
	if l.op != nil { // a start, which ends and cleans up behind itself
		l.set(failover.Stopping, d.Reason)
		l.op()
		return
	}
	switch idle := !l.state.Active() && !l.alias.holds; {
	case idle && !l.software.up:
		l.alias.drop()
		l.forgive()
		return
	case idle && !l.software.stopAgain.IsZero():
		l.stopSoftwareAgain()
		return
	}
	l.stop(d.AliasOff, d.Reason, nil)
}

// stopLIM takes a LIM down: software and alias, the alias first when another
// server has it too. then, if any, is done by the main loop at the end.
func (l *lim) stop(aliasFirst bool, reason string, then func()) {
	l.set(failover.Stopping, reason)
	l.software.endHealth()
	alias := l.aliasOf(l.number)
	if l.software.role == rolePassive && !alias.IsValid() {
		alias = l.alias.addr // its cluster was deleted
	}
	software, env, err := l.software.build(alias)
	if err != nil {
		l.log.Error("stopping the software", "lim", l.number, "err", err)
	}
	software = append(software, l.software.gone(software)...)
	if aliasFirst {
		l.alias.drop()
	}
	l.operate(func(ctx context.Context) func() {
		ctx, cancel := context.WithTimeout(ctx, stopLongest)
		defer cancel()
		l.newestData(&env)
		err := software.Stop(ctx, env)
		return func() {
			l.software.role, l.software.version = "", nil
			l.software.stopped(err)
			l.alias.drop()
			l.stopped(reason, then)
		}
	})
}

// stopSoftwareAgain does so, in silence: nobody has to wait for it.
func (l *lim) stopSoftwareAgain() {
	if time.Now().Before(l.software.stopAgain) {
		return
	}
	software, env, err := l.software.build(l.aliasOf(l.number))
	if err != nil {
		l.software.stopped(err)
		return
	}
	software = append(software, l.software.gone(software)...)
	l.software.stopsAgain = true
	l.operate(func(ctx context.Context) func() {
		ctx, cancel := context.WithTimeout(ctx, restopLimit)
		defer cancel()
		l.newestData(&env)
		err := software.Stop(ctx, env)
		return func() {
			l.software.stopsAgain = false
			l.software.stopped(err)
		}
	})
}

// forgive forgets a failure on the standby when the LIM is not wanted there any
// more. On the regular server it stays, and holds automatic fallback back.
func (l *lim) forgive() {
	if s := l.doc.Server(l.cfg.Server); s == nil || !s.Standby || time.Now().Before(l.retryAt) {
		return
	}
	l.failure = ""
	if l.state == failover.Failed {
		l.set(failover.Stopped, l.reason)
	}
}

func (l *lim) stopped(reason string, then func()) {
	l.set(failover.Stopped, reason)
	if !l.released.IsZero() {
		l.released = time.Now()
		l.publish(l.released) // before it is saved: the other side waits for it, and the clients
	}
	l.kept.saveBeside()
	if then != nil {
		then()
	}
}

// fail notes that a LIM did not come up here, or stopped working.
func (l *lim) fail(err error) {
	if l.state == failover.Stopping || l.ctx.Err() != nil { // the start was called off
		l.stopped(l.reason, nil)
		return
	}
	retry := min(retryFirst<<min(l.failures, 8), retryLongest)
	l.failures++
	l.failure, l.retryAt = err.Error(), time.Now().Add(retry)
	l.set(failover.Failed, err.Error())
	l.kept.saveBeside()
}

// aliasFreed has a LIM that waited for its alias started at once.
func (a *Agent) aliasFreed(lim int) {
	if l := a.lims.of(lim); !l.state.Active() {
		l.retryAt = time.Time{}
	}
}

// watchHealth asks a LIM's software how it is, from time to time, and restarts
// it in place a settable number of times (design section 5, rule 11).
func (l *lim) watchHealth(software services.Set, env services.Env) {
	l.software.endHealth()
	if len(software) == 0 {
		return
	}
	ctx, cancel := context.WithCancel(l.ctx)
	l.software.health = cancel
	l.wg.Go(func() { l.software.watch(ctx, software, env, l.unhealthy) })
}

// unhealthy restarts software that no longer runs, or gives it up here.
func (l *lim) unhealthy(ctx context.Context, service string, state services.State, err error) {
	if ctx.Err() != nil || l.state != failover.Running && l.state != failover.Preloaded || l.op != nil {
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
		l.recordSoftware(l.number, fmt.Sprintf("restarting the software of LIM %d in place, for the %d. time of %d: %v", l.number, l.software.restarts, l.cfg.Restarts, why))
		if l.state == failover.Preloaded {
			l.load(why.Error())
			return
		}
		l.start(l.term, l.aliasOf(l.number), why.Error())
		return
	}
	l.software.restarts = 0
	l.stop(l.alias.passive(), why.Error(), func() { l.fail(why) })
}

// serves reports whether a LIM is up here, or coming up and did not fail before.
func (l *lim) serves() bool {
	return l.state == failover.Running || l.state == failover.Starting && l.failure == ""
}

// putBack takes the aliases again that were taken off while the interface was down.
func (a *lims) putBack() {
	for _, l := range a.all {
		switch {
		case !l.alias.absent || l.op != nil:
		case l.state != failover.Running:
			l.alias.absent = false // it is loaded anew
		default:
			l.alias.absent = false
			l.alias.event("deleted", fmt.Sprintf("the alias %s was deleted while %s was down; it is put back", l.alias.addr.Addr(), a.net.ifname))
			l.alias.putBack(l.alias.addr, setUp)
		}
	}
}
