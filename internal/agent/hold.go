package agent

import (
	"context"
	"fmt"
	"time"

	"mxcluster/internal/failover"
	"mxcluster/internal/services"
)

// healthyFor is how long software must run before its restarts are forgotten.
const healthyFor = 10 * time.Minute

// watchHealth asks a LIM's software how it is, from time to time, and restarts
// it in place a settable number of times (design section 5, rule 11).
func (a *Agent) watchHealth(l *lim, software services.Set, env services.Env) {
	a.endHealth(l)
	if len(software) == 0 {
		return
	}
	ctx, cancel := context.WithCancel(a.ctx)
	l.health = cancel
	a.wg.Go(func() { a.watch(ctx, l, software, env) })
}

func (a *Agent) endHealth(l *lim) {
	if l.health != nil {
		l.health()
		l.health, l.unseen = nil, ""
	}
}

// unhealthy restarts software that no longer runs, or gives it up here.
func (a *Agent) unhealthy(ctx context.Context, l *lim, service string, state services.State, err error) {
	if ctx.Err() != nil || l.state != failover.Running && l.state != failover.Preloaded || l.op != nil {
		return
	}
	if time.Since(l.since) > healthyFor {
		l.restarts, l.failures = 0, 0
	}
	why := fmt.Errorf("%s is %s", service, state)
	if err != nil {
		why = fmt.Errorf("%s: %w", service, err)
	}
	if l.restarts < a.cfg.Restarts {
		l.restarts++
		a.recordSoftware(l.number, fmt.Sprintf("restarting the software of LIM %d in place, for the %d. time of %d: %v", l.number, l.restarts, a.cfg.Restarts, why))
		if l.state == failover.Preloaded {
			a.load(l, why.Error())
			return
		}
		a.start(l, l.term, a.aliasOf(l.number), why.Error())
		return
	}
	l.restarts = 0
	a.stopLIM(l, l.alias.passive(), why.Error(), func() { a.fail(l, why) })
}
