package agent

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"mxcluster/internal/failover"
	"mxcluster/internal/services"
)

func (l *lim) applyRun(d *failover.Decision) (starts bool) {
	alias := l.aliasOf(l.number)
	l.alias.contest(d.Contested)
	switch {
	case l.op != nil:
	case l.State == failover.Running && (l.alias.holds || l.alias.absent || !alias.IsValid()):
		if l.Term != d.Term {
			l.raiseTerm(d.Term)
		}
		l.tendSoftware()
	default:
		l.keep(d) // saved with the start
		l.start(d.Term, alias, d.Reason)
		return true
	}
	return false
}

// raiseTerm gives a running LIM a higher term and announces its alias again, after another server
// had it, too.
func (l *lim) raiseTerm(term uint64) {
	l.Term, l.Known = term, l.Known.Later(failover.Place{Term: term, Server: l.cfg.Server})
	l.kept.saveBeside()
	l.journal.state(l.number, l.Term, l.State, l.State, "goes on under a later term")
	if l.alias.hold != nil {
		l.alias.announceAnew()
	}
}

// start starts a LIM here: it saves the term, probes, takes and announces the alias, and starts the
// software.
func (l *lim) start(term uint64, alias netip.Prefix, reason string) {
	goesOn := l.kept.durable(l, term)
	l.Term, l.Released, l.alias.absent = term, time.Time{}, false
	if !goesOn {
		l.serving = time.Time{}
	}
	l.Known = l.Known.Later(failover.Place{Term: term, Server: l.cfg.Server})
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
		software = software.Only(l.software.specs) // added services must not bring down running ones
	}
	l.software.mayBeUp(software, gone)
	net, saved := l.net, l.kept.saveBegin()
	if goesOn {
		saved = func() error { return nil }
	}
	given := acquire && l.alias.givenUp(term)
	before := l.alias.beforeTaking(net, alias, given, saved)
	cleared := l.makeRoom()
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
		cleared(ctx)
		l.software.stopGone(ctx, gone, env)
		began := time.Now()
		err := l.software.serve(ctx, software, env, changes)
		took := time.Since(began)
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
		return func() {
			if !changes && !goesOn {
				l.tookToStart = took
			}
			l.runs(software, env)
		}
	})
}

// makeRoom ends rehearsals of any LIM. Software is started after the returned function has
// returned.
func (l *lim) makeRoom() (cleared func(ctx context.Context)) {
	gone := l.endRehearsals(fmt.Sprintf("LIM %d starts", l.number))
	return func(ctx context.Context) {
		if gone == nil {
			return
		}
		select {
		case <-gone:
		case <-ctx.Done():
		}
	}
}

// runs records that a LIM's software runs, and starts its health checks.
func (l *lim) runs(software services.Set, env services.Env) {
	l.Failure, l.RetryAt, l.software.up, l.alias.inUse.text, l.software.role, l.software.version = "", time.Time{}, true, "", env.Role, nil
	l.software.mayBeUp(software)
	l.software.change.hash = ""       // the document may have changed it meanwhile
	if l.State == failover.Stopping { // cancelled when it was up already
		l.stop(false, l.reason, nil)
		return
	}
	l.set(failover.Running, l.reason)
	if l.serving.IsZero() {
		l.serving = time.Now()
	}
	if l.cause != nil && l.cause.At.IsZero() {
		cause := *l.cause // others may be reading the former one
		cause.At = l.serving.UTC()
		l.cause, l.kept.unsaved = &cause, true
	}
	l.watchHealth(software, env)
}
