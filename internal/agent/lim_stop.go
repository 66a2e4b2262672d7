package agent

import (
	"context"
	"time"

	"mxcluster/internal/failover"
)

// applyStop stops a LIM here, unless it is stopped.
func (l *lim) applyStop(d *failover.Decision) {
	if l.software.stopsAgain || l.State == failover.Stopping && l.op != nil {
		return
	}
	if l.alias.passive() {
		l.alias.drop() // while it is stopped the alias must not be visible
	}
	if l.op != nil { // a start; it ends and cleans up
		l.set(failover.Stopping, d.Reason)
		l.op()
		return
	}
	switch idle := !l.State.Active() && !l.alias.holds; {
	case idle && !l.software.up:
		l.alias.drop()
		l.clearFailure()
		return
	case idle && !l.software.stopAgain.IsZero():
		l.stopSoftwareAgain()
		return
	}
	l.stop(d.AliasOff, d.Reason, nil)
}

// stop stops a LIM: software and alias, the alias first if another server has it, too. then, if not
// nil, runs on the main loop at the end.
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

// stopSoftwareAgain retries it without a change of state: nothing waits for it.
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

// clearFailure forgets a failure on the standby when the LIM is not wanted there any more. On the
// regular server it stays, and delays automatic fallback.
func (l *lim) clearFailure() {
	if s := l.doc.Server(l.cfg.Server); s == nil || !s.Standby || time.Now().Before(l.RetryAt) {
		return
	}
	l.Failure = ""
	if l.State == failover.Failed {
		l.set(failover.Stopped, l.reason)
	}
}

func (l *lim) stopped(reason string, then func()) {
	l.set(failover.Stopped, reason)
	if !l.Released.IsZero() {
		l.Released = time.Now()
		l.gossip.publish(l.Released) // before it is saved: the other side and clients are waiting
	}
	l.kept.saveBeside()
	if then != nil {
		then()
	}
}

// fail records that a LIM did not come up here, or stopped working.
func (l *lim) fail(err error) {
	if l.State == failover.Stopping || l.ctx.Err() != nil { // the start was cancelled
		l.stopped(l.reason, nil)
		return
	}
	retry := min(retryFirst<<min(l.failures, 8), retryLongest)
	l.failures++
	l.Failure, l.RetryAt = err.Error(), time.Now().Add(retry)
	l.set(failover.Failed, err.Error())
	l.kept.saveBeside()
}
