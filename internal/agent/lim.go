package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"mxcluster/clusterconf"
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
	number   int
	alias    *alias
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

	clear     bool               // it leaves its cluster, and nothing of it is left here
	op        context.CancelFunc // ends the operation in progress; nil: none
	health    context.CancelFunc // ends the health checks
	restarts  int                // of the software in place, since it last ran for a while
	loaded    bool               // its software may be up here, whatever the state
	stopAgain time.Time          // when to stop software again that did not stop; zero: it did
	restop    bool               // the operation in progress does that

	unseen string   // why its software, which is up, cannot be seen; "": it can
	lacks  string   // what of its software is not as the document wants it, and why; "": all is
	specs  []string // of the services that may be up; nil: none are, or it is not known
	change changes

	role    string         // that the software was last told; "": none by this agent
	version *failover.Data // that the software of the passive side has loaded; nil: none

	passedOver string // on which data it was started, and why not on newer; "": there was none newer
}

// lim returns the record of a LIM, made anew if need be.
func (a *Agent) lim(number int) *lim {
	l := a.lims[number]
	if l == nil {
		l = &lim{number: number, alias: a.aliases.of(number), state: failover.Stopped, since: time.Now()}
		a.lims[number] = l
	}
	return l
}

// set changes a LIM's state.
func (a *Agent) set(l *lim, s failover.State, reason string) {
	if l.state != s {
		a.recordState(l, s, reason)
		l.state, l.since = s, time.Now()
	}
}

// apply carries one decision out.
func (a *Agent) apply(d *failover.Decision, now time.Time) {
	l := a.lim(d.LIM)
	if l.reason != d.Reason {
		a.recordDecision(d)
	}
	l.reason, l.waiting, l.blocked, l.remedy = d.Reason, d.Waiting, d.BlockedBy, d.Remedy
	l.heldUntil, l.heldWhy = d.HeldUntil, d.HeldWhy
	a.askWire(d, now)
	switch d.Want {
	case failover.Run:
		a.applyRun(l, d)
	case failover.Preload:
		if d.Unmark {
			l.released = time.Time{}
		}
		a.applyPreload(l, d)
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
		a.applyStop(l, d)
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

func (a *Agent) applyRun(l *lim, d *failover.Decision) {
	alias := a.aliasOf(l.number)
	l.alias.contest(d.Contested)
	switch {
	case l.op != nil:
	case l.state == failover.Running && (l.alias.holds || l.alias.absent || !alias.IsValid()):
		if l.term != d.Term {
			a.reterm(l, d.Term)
		}
		a.tendSoftware(l)
	default:
		l.keep(d) // saved with the start
		a.startedOnWord(d)
		a.start(l, d.Term, alias, d.Reason)
	}
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
func (a *Agent) reterm(l *lim, term uint64) {
	l.term, l.known = term, l.known.Later(failover.Place{Term: term, Server: a.cfg.Server})
	a.saveBeside()
	a.recordState(l, l.state, "goes on under a later term")
	if l.alias.hold != nil {
		l.alias.announceAnew()
	}
}

// start begins to run a LIM here: term saved, alias probed and leased, announced,
// software started.
func (a *Agent) start(l *lim, term uint64, alias netip.Prefix, reason string) {
	goesOn := a.durable(l, term)
	l.term, l.released, l.alias.absent = term, time.Time{}, false
	l.known = l.known.Later(failover.Place{Term: term, Server: a.cfg.Server})
	a.set(l, failover.Starting, reason)
	software, env, err := a.software(l.number, alias)
	if err != nil {
		a.giveUp(l, err, func() { a.fail(l, err) })
		return
	}
	passive, former := l.alias.passive(), l.alias.former
	acquire := alias.IsValid() && (!l.alias.holds || passive)
	changes := l.role == rolePassive
	gone := a.gone(l, software)
	if goesOn && l.specs != nil {
		software = software.Only(l.specs) // what was added since must not bring down what runs
	}
	l.mayBeUp(software, gone)
	net, saved := a.net, a.saveBegin()
	if goesOn {
		saved = func() error { return nil }
	}
	given := acquire && l.alias.givenUp(term)
	before := l.alias.beforeTaking(net, alias, given, saved)
	l.alias.taking = acquire
	a.operate(l, func(ctx context.Context) func() {
		if acquire {
			if err := l.alias.acquire(ctx, net, alias, passive, former, before); err != nil {
				return func() { a.notAcquired(l, err) }
			}
			if given {
				a.probeBeside(net, alias.Addr())
			}
		} else if err := saved(); err != nil {
			return func() { a.giveUp(l, err, func() { a.fail(l, err) }) }
		}
		data := a.newestData(&env)
		a.noteStart(l.number, data.Newest)
		a.post(func() { a.startsOn(l, data) })
		a.stopGone(ctx, gone, env)
		err := a.startSoftware(ctx, software, env, changes)
		if err == nil {
			err = a.calledOff(ctx, software, env)
		}
		if err != nil {
			return func() {
				a.didNotComeUp(l, err)
				l.alias.drop()
				a.fail(l, err)
			}
		}
		return func() { a.runs(l, software, env) }
	})
}

// calledOff undoes a start that succeeded though it was called off meanwhile.
func (a *Agent) calledOff(ctx context.Context, software services.Set, env services.Env) error {
	if ctx.Err() == nil {
		return nil
	}
	if err := software.Stop(context.WithoutCancel(ctx), env); err != nil {
		return fmt.Errorf("the start was called off, %w", &services.NotStoppedError{Err: err})
	}
	return errors.New("the start was called off")
}

// runs notes that a LIM's software runs, and watches it.
func (a *Agent) runs(l *lim, software services.Set, env services.Env) {
	l.failure, l.retryAt, l.loaded, l.alias.inUse.text, l.role, l.version = "", time.Time{}, true, "", env.Role, nil
	l.mayBeUp(software)
	l.change.hash = ""                // the document may want another by now
	if l.state == failover.Stopping { // called off when it was up already
		a.stopLIM(l, false, l.reason, nil)
		return
	}
	a.set(l, failover.Running, l.reason)
	a.watchHealth(l, software, env)
}

// operate runs one operation of a LIM beside the main loop; the function that
// it returns is then done by the main loop. A LIM has one operation at a time.
func (a *Agent) operate(l *lim, f func(ctx context.Context) func()) {
	ctx, cancel := context.WithCancel(a.ctx)
	l.op = cancel
	a.wg.Go(func() {
		then := f(ctx)
		a.post(func() {
			cancel()
			l.op, l.alias.taking = nil, false
			then()
		})
	})
}

// applyStop takes a LIM down here, if it is not down already.
func (a *Agent) applyStop(l *lim, d *failover.Decision) {
	if l.restop || l.state == failover.Stopping && l.op != nil {
		return
	}
	if l.alias.passive() {
		l.alias.drop() // what is being stopped must not look like a holder
	}
	if l.op != nil { // a start, which ends and cleans up behind itself
		a.set(l, failover.Stopping, d.Reason)
		l.op()
		return
	}
	switch idle := !l.state.Active() && !l.alias.holds; {
	case idle && !l.loaded:
		l.alias.drop()
		a.forgive(l)
		return
	case idle && !l.stopAgain.IsZero():
		a.stopSoftwareAgain(l)
		return
	}
	a.stopLIM(l, d.AliasOff, d.Reason, nil)
}

// stopLIM takes a LIM down: software and alias, the alias first when another
// server has it too. then, if any, is done by the main loop at the end.
func (a *Agent) stopLIM(l *lim, aliasFirst bool, reason string, then func()) {
	a.set(l, failover.Stopping, reason)
	a.endHealth(l)
	alias := a.aliasOf(l.number)
	if l.role == rolePassive && !alias.IsValid() {
		alias = l.alias.addr // its cluster was deleted
	}
	software, env, err := a.software(l.number, alias)
	if err != nil {
		a.log.Error("stopping the software", "lim", l.number, "err", err)
	}
	software = append(software, a.gone(l, software)...)
	if aliasFirst {
		l.alias.drop()
	}
	a.operate(l, func(ctx context.Context) func() {
		ctx, cancel := context.WithTimeout(ctx, stopLongest)
		defer cancel()
		a.newestData(&env)
		err := software.Stop(ctx, env)
		return func() {
			l.role, l.version = "", nil
			a.softwareStopped(l, err)
			l.alias.drop()
			a.stopped(l, reason, then)
		}
	})
}

// didNotComeUp notes what is left of software that did not start: nothing, for it
// was stopped, unless that failed, too.
func (a *Agent) didNotComeUp(l *lim, err error) {
	var notStopped *services.NotStoppedError
	if errors.As(err, &notStopped) {
		a.softwareStopped(l, notStopped.Err)
		return
	}
	a.softwareStopped(l, nil)
}

// softwareStopped notes how stopping software went. One that did not stop is
// stopped again later, for as long as the LIM is not to run here: it may be up
// without its alias, while the LIM runs elsewhere.
func (a *Agent) softwareStopped(l *lim, err error) {
	first := l.stopAgain.IsZero()
	l.loaded, l.stopAgain = err != nil, time.Time{}
	if err == nil {
		l.specs, l.lacks, l.change = nil, "", changes{}
	}
	if err != nil {
		l.stopAgain = time.Now().Add(retryStop)
		if first {
			a.recordSoftware(l.number, fmt.Sprintf("the software of LIM %d did not stop, and is stopped again until it does: %v", l.number, err))
		}
		a.log.Error("stopping the software", "lim", l.number, "err", err, "again", l.stopAgain)
	}
}

// stopSoftwareAgain does so, in silence: nobody has to wait for it.
func (a *Agent) stopSoftwareAgain(l *lim) {
	if time.Now().Before(l.stopAgain) {
		return
	}
	software, env, err := a.software(l.number, a.aliasOf(l.number))
	if err != nil {
		a.softwareStopped(l, err)
		return
	}
	software = append(software, a.gone(l, software)...)
	l.restop = true
	a.operate(l, func(ctx context.Context) func() {
		ctx, cancel := context.WithTimeout(ctx, restopLimit)
		defer cancel()
		a.newestData(&env)
		err := software.Stop(ctx, env)
		return func() {
			l.restop = false
			a.softwareStopped(l, err)
		}
	})
}

// forgive forgets a failure on the standby when the LIM is not wanted there any
// more. On the regular server it stays, and holds automatic fallback back.
func (a *Agent) forgive(l *lim) {
	if s := a.doc.Server(a.cfg.Server); s == nil || !s.Standby || time.Now().Before(l.retryAt) {
		return
	}
	l.failure = ""
	if l.state == failover.Failed {
		a.set(l, failover.Stopped, l.reason)
	}
}

func (a *Agent) stopped(l *lim, reason string, then func()) {
	a.set(l, failover.Stopped, reason)
	if !l.released.IsZero() {
		l.released = time.Now()
		a.publish(l.released) // before it is saved: the other side waits for it, and the clients
	}
	a.saveBeside()
	if then != nil {
		then()
	}
}

// fail notes that a LIM did not come up here, or stopped working.
func (a *Agent) fail(l *lim, err error) {
	if l.state == failover.Stopping || a.ctx.Err() != nil { // the start was called off
		a.stopped(l, l.reason, nil)
		return
	}
	retry := min(retryFirst<<min(l.failures, 8), retryLongest)
	l.failures++
	l.failure, l.retryAt = err.Error(), time.Now().Add(retry)
	a.set(l, failover.Failed, err.Error())
	a.saveBeside()
}

// software builds a LIM's services and their environment for this side.
func (a *Agent) software(number int, alias netip.Prefix) (services.Set, services.Env, error) {
	side := a.side()
	env := services.Env{LIM: number, Server: a.cfg.Server, Role: roleActive, Alias: alias.Addr(),
		Tell: func(text string) { a.post(func() { a.recordSoftware(number, text) }) }}
	if !alias.IsValid() {
		env.Alias = a.doc.Server(a.cfg.Server).Base.Addr()
	}
	entry := a.doc.LIM(number)
	if entry == nil {
		return nil, env, nil
	}
	env.Gateways, env.Media = entry.Gateways, entry.MediaServer
	set, err := a.deps.Software(entry, side)
	return set, env, err
}

// side is the side that this server is for the LIMs of its cluster.
func (a *Agent) side() clusterconf.Side {
	if s := a.doc.Server(a.cfg.Server); s != nil && s.Standby {
		return clusterconf.SideStandby
	}
	return clusterconf.SideRegular
}

// noteStart remembers on which data version a LIM is started: what is backed up here next
// follows that. A takeover does not wait for it.
func (a *Agent) noteStart(number int, d *failover.Data) {
	if d == nil || a.deps.Started == nil {
		return
	}
	a.wg.Go(func() {
		if err := a.deps.Started(number, d.Version); err != nil {
			a.log.Error("remembering on which data version a LIM was started", "lim", number, "version", d.Version, "err", err)
		}
	})
}

// aliasFreed has a LIM that waited for its alias started at once.
func (a *Agent) aliasFreed(lim int) {
	if l := a.lim(lim); !l.state.Active() {
		l.retryAt = time.Time{}
	}
}
