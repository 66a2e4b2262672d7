package agent

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"mxcluster/internal/failover"
	"mxcluster/internal/services"
)

// healthyFor is how long software must run before its restarts are forgotten.
const healthyFor = 10 * time.Minute

// holdOn keeps an alias that the kernel has for us until `until`, and announces it.
func (a *Agent) holdOn(l *lim, alias netip.Prefix, until time.Time) {
	a.holdAs(l, alias, until, urgent)
}

func (a *Agent) holdAs(l *lim, alias netip.Prefix, until time.Time, u urgency) {
	if l.letGo != nil {
		l.letGo()
	}
	ctx, cancel := context.WithCancel(a.ctx)
	l.holds, l.former, l.alias, l.letGo = true, false, alias, cancel
	l.hold = &holder{
		kernel: a.deps.Kernel, wire: a.net.wire, budget: a.net.budget, ifname: a.net.ifname, alias: alias,
		lease: a.cfg.Lease, refresh: a.cfg.ARPRefresh, log: a.log, alive: a.alive,
		kick: make(chan struct{}, 1), renewing: newTurn(), burst: u,
	}
	h := l.hold
	if a.keeper != nil {
		h.left = func(now time.Time) time.Duration { return a.keeper.left(l.number, now) }
	}
	h.muted.Store(l.hidden != "")
	h.passive.Store(l.hidden == passiveSide)
	if l.hidden != passiveSide { // the active side's claims are no conflict
		a.held.add(alias.Addr())
	}
	h.lost = func(expired bool) { a.post(func() { a.aliasLost(l, h, expired) }) }
	h.told = func(at time.Time, err error) { a.post(func() { a.announcedAlias(l, h, at, err) }) }
	a.wg.Go(func() { h.keep(ctx, until) })
	a.wg.Go(func() { h.announce(ctx) })
}

// announceAnew starts the announcements of a held alias again with a burst, as far as
// there is room for it.
func (a *Agent) announceAnew(l *lim) { a.announceBurst(l, anew) }

// announceTaken does so at once: the alias was not on the wire before.
func (a *Agent) announceTaken(l *lim) { a.announceBurst(l, urgent) }

func (a *Agent) announceBurst(l *lim, u urgency) {
	a.holdAs(l, l.alias, time.Now().Add(a.cfg.Lease/2), u)
	l.hold.kick <- struct{}{} // there may be less time left than until the first renewal
}

// announceAll does so for all aliases held here.
func (a *Agent) announceAll() {
	for _, l := range a.lims {
		if l.holds && l.hidden == "" {
			a.announceAnew(l)
		}
	}
}

func (a *Agent) announcedAlias(l *lim, h *holder, at time.Time, err error) {
	switch {
	case l.hold != h:
	case err != nil:
		l.notTold = err.Error()
		a.log.Error("announcing an alias", "lim", l.number, "alias", h.alias, "err", err)
	default:
		l.announced, l.notTold = at, ""
	}
}

// aliasLost handles an alias that left this server without us: deleted by
// somebody within its lease it is put back; expired it must be won anew.
func (a *Agent) aliasLost(l *lim, h *holder, expired bool) {
	if l.hold != h {
		return
	}
	a.letGo(l)
	if expired {
		a.recordAlias(l, "expired", fmt.Sprintf("the lease of the alias %s ran out: this agent was stopped or starved", h.alias.Addr()))
		a.forgetHidden(l, h.alias)
		return
	}
	if !a.mayAdd() {
		a.leaveAbsent(l, h.alias)
		return
	}
	a.recordAlias(l, "deleted", fmt.Sprintf("the alias %s was deleted by somebody else; it is put back", h.alias.Addr()))
	a.putBack(l, h.alias, deleted)
}

// putBack takes an alias again that was deleted. What looks like that may be a
// lease that an earlier run left and that ended sooner than the kernel, which
// counts in seconds, had told: so it is blocked until nobody else has it.
func (a *Agent) putBack(l *lim, alias netip.Prefix, why string) {
	hidden := l.hidden != ""
	if err := a.deps.Kernel.Block(a.net.ifname, alias.Addr()); err != nil {
		a.log.Error("blocking an alias that is put back", "lim", l.number, "alias", alias, "err", err)
	} else if !hidden {
		l.hidden, l.clearing = why, func() {}
	}
	until, err := a.holdProven(a.net, l, alias)
	if err != nil {
		a.log.Error("putting an alias back", "lim", l.number, "alias", alias, "err", err)
		a.forgetHidden(l, alias)
		return
	}
	a.holdOn(l, alias, until)
	if l.hidden == why && !hidden {
		a.keepHidden(l, why)
	}
}

// letGo ends the renewal of a LIM's alias; the address stays until its lease ends.
func (a *Agent) letGo(l *lim) {
	l.letGo()
	_ = l.hold.with(func() error { return nil }) // a renewal on its way ends first
	a.held.remove(l.alias.Addr())
	l.holds, l.hold, l.letGo = false, nil, nil
}

// dropAlias takes a LIM's alias off this server, if it is here.
func (a *Agent) dropAlias(l *lim) {
	l.absent = false
	if !l.holds {
		a.dropFormer(l)
		return
	}
	l.letGo()
	a.leaveRoutes(l)
	err := l.hold.with(func() error { return a.deps.Kernel.Drop(a.net.ifname, l.alias) })
	a.held.remove(l.alias.Addr())
	l.holds, l.hold, l.letGo = false, nil, nil
	if err != nil {
		a.log.Error("taking an alias off", "lim", l.number, "alias", l.alias, "err", err)
		return // while it is here it stays blocked if it was
	}
	a.forgetHidden(l, l.alias)
}

// dropFormer takes an alias off that was this server's base until a moment ago: its LIM
// ran here, and is not to go on.
func (a *Agent) dropFormer(l *lim) {
	if !l.former {
		return
	}
	a.leaveRoutes(l)
	if err := a.deps.Kernel.Drop(a.net.ifname, l.alias); err != nil {
		a.log.Error("taking an alias off that was the base", "lim", l.number, "alias", l.alias, "err", err)
		return // it is tried again with the next decision
	}
	l.former = false
}

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
	a.stopLIM(l, l.passive(), why.Error(), func() { a.fail(l, why) })
}
