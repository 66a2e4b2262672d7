package agent

import (
	"context"
	"fmt"
	"slices"
	"time"

	"mxcluster/internal/control"
	"mxcluster/internal/failover"
	"mxcluster/internal/manager"
)

// ending is what happens to the LIMs when the agent stops (design rule 9).
type ending int

const (
	leaveLIMs   ending = iota // they go on: an upgrade must not move calls
	releaseLIMs               // they are released, except those locked to this side
	releaseAll                // the system shuts down: all are released
)

// shutdown ends this agent: it settles each LIM, and then ends the main loop.
type shutdown struct {
	*core
	arbiterKeys *arbiterKeys
	gossip      *gossip
	kept        *keptState
	lims        *lims
	management  *management
	notifier    *notifier
	orders      *orders
	rehearsals  *rehearsals
	view        func(now time.Time) failover.View

	cancel context.CancelFunc // ends the main loop
}

// order ends the agent by order: LIMs go on for the stop lease, or are released.
func (a *shutdown) order(ctx context.Context, r control.StopRequest) (*control.StopResult, error) {
	return on(ctx, a.core, func() (*control.StopResult, error) {
		res := &control.StopResult{PID: a.cfg.PID, Lease: a.cfg.StopLease, LIMsLeftRunning: []int{}, Locked: []int{}}
		e := leaveLIMs
		if r.Release {
			e = releaseLIMs
		}
		for n, l := range a.lims.all {
			if l.State.Active() && a.stays(l, e) {
				res.LIMsLeftRunning = append(res.LIMsLeftRunning, n)
				if e == releaseLIMs {
					res.Locked = append(res.Locked, n)
				}
			}
		}
		slices.Sort(res.LIMsLeftRunning)
		slices.Sort(res.Locked)
		a.begin(e)
		return res, nil
	})
}

// signalled handles a signal to end. If the operating system is shutting down, the LIMs are
// released.
func (a *shutdown) signalled() {
	a.wg.Go(func() {
		e := leaveLIMs
		if a.deps.ShuttingDown(a.ctx) {
			e = releaseAll
		}
		a.post(func() { a.begin(e) })
	})
}

// stays reports whether a LIM goes on here without the agent. A locked LIM stays, since after a
// release it would be down until the agent is back.
func (a *shutdown) stays(l *lim, e ending) bool {
	switch e {
	case leaveLIMs:
		return true
	case releaseAll:
		return false
	}
	return failover.LockedHere(a.view(time.Now()), l.number)
}

// begin ends the agent after every operation has ended.
func (a *shutdown) begin(e ending) {
	if a.stopping {
		return
	}
	a.stopping = true
	a.notifier.put("STOPPING=1")
	a.journal.agent("stopping", stopWords(a.cfg.Server, e))
	for _, l := range a.lims.all {
		if !a.stays(l, e) {
			l.release()
		}
	}
	a.rehearsals.clear("the agent stops")
	a.orders.tendDrains(time.Now())
	a.management.stop()
	a.finishWhenIdle(e)
}

func stopWords(server string, e ending) string {
	text := fmt.Sprintf("the agent of %s stops", server)
	switch e {
	case releaseLIMs:
		return text + " and gives its LIMs up"
	case releaseAll:
		return text + " and gives its LIMs up: the system shuts down"
	}
	return text + "; its LIMs go on"
}

// release gives a LIM up so that another server takes it over.
func (l *lim) release() {
	switch {
	case l.op != nil && l.State == failover.Stopping:
		l.Released = time.Now()
	case l.op != nil && l.State != failover.Loading:
		l.Released = time.Now()
		l.set(failover.Stopping, "the agent stops")
		l.op()
	case l.State == failover.Loading, l.State == failover.Preloaded: // the other side is active
		l.applyStop(&failover.Decision{Reason: "the agent stops"})
	case l.State.Active() || l.alias.holds:
		l.Released = time.Now()
		l.stop(false, "was released: the agent stops", nil)
	}
}

// finishWhenIdle ends the main loop when no operation is in progress any more.
func (a *shutdown) finishWhenIdle(e ending) {
	if a.doc.Management != nil && !a.stays(a.lims.of(manager.Home), e) {
		a.management.giveUp() // it goes with LIM 1
	}
	busy := a.rehearsals.underWay() != 0 || len(a.orders.draining) > 0 || a.management.busy()
	for _, l := range a.lims.all {
		if l.op == nil && !a.stays(l, e) {
			l.release() // it was starting when it was cancelled
		}
		busy = busy || l.op != nil
	}
	if busy {
		context.AfterFunc(a.timer(20*time.Millisecond), func() { a.post(func() { a.finishWhenIdle(e) }) })
		return
	}
	if a.keeper != nil && !a.arbiterKeys.left {
		a.arbiterKeys.leave(func() { a.finishWhenIdle(e) })
		return
	}
	a.parked = e == leaveLIMs
	for _, l := range a.lims.all {
		if l.alias.holds {
			a.parked = true
			l.alias.endHold()
			if err := l.alias.hold.with(func() error { return l.alias.leaveHeld() }); err != nil {
				a.log.Error("leaving an alias with its stop lease", "lim", l.number, "alias", l.alias.addr, "err", err)
			}
		}
	}
	a.management.leave()
	a.kept.saveBeside()
	a.gossip.publish(time.Now())
	a.journal.end()
	a.cancel()
}
