package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mxcluster/internal/failover"
	"mxcluster/internal/services"
)

// applyPreload keeps a LIM loaded here while the other side is active (spec ch. 4).
func (l *lim) applyPreload(d *failover.Decision) {
	switch {
	case l.op != nil || l.software.stopsAgain:
	case l.State == failover.Running:
		l.demote(d)
	case l.State.Active():
		l.applyStop(d)
	case l.State == failover.Preloaded && (l.alias.holds || l.alias.absent) && !l.newer() && !l.software.setAnew():
	default:
		l.load(d.Reason)
	}
}

// newer reports whether there is a newer data version than the loaded one.
func (l *lim) newer() bool {
	return l.data.newest[l.number].Replaces(l.software.version)
}

// demote makes the active side the passive one: the alias is blocked at once, so that the other
// side can become active, and the software is told its new role. If the alias cannot be blocked,
// the LIM is stopped as in other clusters.
func (l *lim) demote(d *failover.Decision) {
	if d.Release && l.Released.IsZero() {
		l.Released = time.Now()
		l.keep(d) // saved with the load
	}
	if l.alias.holds {
		if err := l.deps.Kernel.Block(l.net.ifname, l.alias.addr.Addr()); err != nil {
			l.log.Error("blocking an alias", "lim", l.number, "alias", l.alias.addr, "because", passiveSide, "err", err)
			l.stop(false, d.Reason, nil)
			return
		}
		if l.alias.blocked != "" {
			l.alias.endBlock()
		}
		l.aliases.held.remove(l.alias.addr.Addr())
		l.alias.blockPassive()
		l.alias.hold.muted.Store(true)
		l.alias.leaveRoutes()
		if err := l.alias.hold.with(func() error { return l.deps.Kernel.HoldBehind(l.net.ifname, l.alias.addr, l.cfg.Lease) }); err != nil {
			l.log.Error("putting a blocked alias behind the base address", "lim", l.number, "alias", l.alias.addr, "err", err)
		}
		l.alias.event("blocked", fmt.Sprintf("the alias %s was blocked: %s", l.alias.addr.Addr(), passiveSide))
	}
	l.load(d.Reason)
}

// load starts the software of the passive side, or makes running software read its data and role
// again, behind a blocked alias.
func (l *lim) load(reason string) {
	alias := l.aliasOf(l.number)
	l.set(failover.Loading, reason)
	l.software.endHealth()
	l.software.up = true
	software, env, err := l.software.build(alias)
	if err != nil {
		l.notLoaded(err)
		return
	}
	env.Role = rolePassive
	gone := l.software.gone(software)
	l.software.mayBeUp(software, gone)
	hold, net, saved := !l.alias.holds, l.net, l.kept.saveBegin()
	l.alias.taking = hold
	cleared := l.makeRoom()
	l.operate(func(ctx context.Context) func() {
		if err := saved(); err != nil {
			return func() { l.notLoaded(err) }
		}
		if hold {
			if err := l.alias.holdBlocked(ctx, net, alias); err != nil {
				return func() { l.notLoaded(err) }
			}
		}
		data := l.newestData(&env)
		l.post(func() { l.software.startsOn(data) })
		cleared(ctx)
		l.software.stopGone(ctx, gone, env)
		err := l.software.bringUp(ctx, software, env)
		if err == nil {
			err = l.software.calledOff(ctx, software, env)
		}
		return func() {
			if err != nil {
				l.software.didNotComeUp(err)
				l.notLoaded(err)
				return
			}
			l.isLoaded(software, env, data.Newest)
		}
	})
}

// isLoaded records that the passive side is ready, and starts its health checks.
func (l *lim) isLoaded(software services.Set, env services.Env, version *failover.Data) {
	l.Failure, l.RetryAt, l.software.role, l.software.version = "", time.Time{}, env.Role, version
	l.software.mayBeUp(software)
	l.software.change.hash = ""       // the document may have changed it meanwhile
	if l.State == failover.Stopping { // cancelled when it was up already
		l.stop(true, l.reason, nil)
		return
	}
	l.set(failover.Preloaded, l.reason)
	l.watchHealth(software, env)
}

// notLoaded records that the passive side did not come up. Its alias is removed.
func (l *lim) notLoaded(err error) {
	l.alias.drop()
	l.fail(err)
}

// stayPassive returns to the passive role when the alias could not be unblocked, or need not be any
// more.
func (l *lim) stayPassive(err error) {
	if l.State != failover.Stopping {
		var inUse errInUse
		if errors.As(err, &inUse) {
			owner, _ := l.aliases.ownerOf(inUse.mac)
			err = fmt.Errorf("the alias %s is in use by %s", inUse.alias.Addr(), owner)
		}
		l.Failure, l.RetryAt = err.Error(), time.Now().Add(retryAddress)
		l.log.Error("the alias cannot be unblocked", "lim", l.number, "err", err)
	}
	l.set(failover.Preloaded, err.Error())
	l.kept.saveBeside()
}
