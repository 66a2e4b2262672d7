package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mxcluster/internal/failover"
	"mxcluster/internal/services"
)

// What a LIM's software is told of its side.
const (
	roleActive  = "active"
	rolePassive = "passive"
)

// applyPreload keeps a LIM loaded here while the other side serves (spec ch. 4).
func (a *Agent) applyPreload(l *lim, d *failover.Decision) {
	switch {
	case l.op != nil || l.restop:
	case l.state == failover.Running:
		a.demote(l, d)
	case l.state.Active():
		a.applyStop(l, d)
	case l.state == failover.Preloaded && (l.alias.holds || l.alias.absent) && !a.newer(l) && !a.setAnew(l):
	default:
		a.load(l, d.Reason)
	}
}

// newer reports whether a later data version came than the one loaded.
func (a *Agent) newer(l *lim) bool {
	d := a.data[l.number]
	return d.Replaces(l.version)
}

// setAnew reports whether the document has other software for a LIM than what is loaded.
func (a *Agent) setAnew(l *lim) bool {
	if l.specs == nil || l.change.hash == a.hash {
		return false
	}
	software, _, err := a.software(l.number, a.aliasOf(l.number))
	return err == nil && a.outdated(l, software, time.Now())
}

// demote makes the active side the passive one: the alias is blocked at once, so
// that the other side can serve; the software goes on and learns its role. Where
// the alias cannot be blocked the LIM stops, as in other clusters.
func (a *Agent) demote(l *lim, d *failover.Decision) {
	if d.Release && l.released.IsZero() {
		l.released = time.Now()
		l.keep(d) // saved with the load
	}
	if l.alias.holds {
		if err := a.deps.Kernel.Block(a.net.ifname, l.alias.addr.Addr()); err != nil {
			a.log.Error("blocking an alias", "lim", l.number, "alias", l.alias.addr, "because", passiveSide, "err", err)
			a.stopLIM(l, false, d.Reason, nil)
			return
		}
		if l.alias.hidden != "" {
			l.alias.endHiding()
		}
		a.aliases.held.remove(l.alias.addr.Addr())
		l.alias.hidePassive()
		l.alias.hold.muted.Store(true)
		l.alias.leaveRoutes()
		if err := l.alias.hold.with(func() error { return a.deps.Kernel.HoldBehind(a.net.ifname, l.alias.addr, a.cfg.Lease) }); err != nil {
			a.log.Error("putting a blocked alias behind the base address", "lim", l.number, "alias", l.alias.addr, "err", err)
		}
		l.alias.event("blocked", fmt.Sprintf("the alias %s was blocked: %s", l.alias.addr.Addr(), passiveSide))
	}
	a.load(l, d.Reason)
}

// load brings the software of the passive side up, or has it read its data and
// its role again if it is up, behind a blocked alias.
func (a *Agent) load(l *lim, reason string) {
	alias := a.aliasOf(l.number)
	a.set(l, failover.Loading, reason)
	a.endHealth(l)
	l.loaded = true
	software, env, err := a.software(l.number, alias)
	if err != nil {
		a.notLoaded(l, err)
		return
	}
	env.Role = rolePassive
	gone := a.gone(l, software)
	l.mayBeUp(software, gone)
	hold, net, saved := !l.alias.holds, a.net, a.saveBegin()
	l.alias.taking = hold
	a.operate(l, func(ctx context.Context) func() {
		if err := saved(); err != nil {
			return func() { a.notLoaded(l, err) }
		}
		if hold {
			if err := l.alias.holdBlocked(ctx, net, alias); err != nil {
				return func() { a.notLoaded(l, err) }
			}
		}
		data := a.newestData(&env)
		a.post(func() { a.startsOn(l, data) })
		a.stopGone(ctx, gone, env)
		err := a.bringUp(ctx, software, env)
		if err == nil {
			err = a.calledOff(ctx, software, env)
		}
		return func() {
			if err != nil {
				a.didNotComeUp(l, err)
				a.notLoaded(l, err)
				return
			}
			a.isLoaded(l, software, env, data.Newest)
		}
	})
}

// bringUp starts software, or has it read its role and its data again where it
// runs already. What cannot do that is started anew: this side serves nobody.
func (a *Agent) bringUp(ctx context.Context, software services.Set, env services.Env) error {
	state, _, _ := software.Check(ctx, env)
	if state == services.Running && len(software) > 0 {
		err := software.Reload(ctx, env)
		if err == nil {
			return nil
		}
		a.log.Warn("the software does not reload; starting it anew", "lim", env.LIM, "err", err)
		if err := software.Stop(ctx, env); err != nil {
			a.log.Error("stopping the software", "lim", env.LIM, "err", err)
		}
	}
	return software.Start(ctx, env)
}

// startSoftware starts software that is to serve. What runs as the passive side is
// told that it serves now: calls come in already, so that what comes of an error
// shows in the health checks.
func (a *Agent) startSoftware(ctx context.Context, software services.Set, env services.Env, passive bool) error {
	if !passive {
		return software.Start(ctx, env)
	}
	if state, _, _ := software.Check(ctx, env); state != services.Running {
		return software.Start(ctx, env)
	}
	if err := software.Reload(ctx, env); err != nil {
		a.log.Error("the software does not take the active role", "lim", env.LIM, "err", err)
	}
	return nil
}

// isLoaded notes that the passive side is ready to serve, and watches it.
func (a *Agent) isLoaded(l *lim, software services.Set, env services.Env, version *failover.Data) {
	l.failure, l.retryAt, l.role, l.version = "", time.Time{}, env.Role, version
	l.mayBeUp(software)
	l.change.hash = ""                // the document may want another by now
	if l.state == failover.Stopping { // called off when it was up already
		a.stopLIM(l, true, l.reason, nil)
		return
	}
	a.set(l, failover.Preloaded, l.reason)
	a.watchHealth(l, software, env)
}

// notLoaded notes that the passive side did not come up. Its alias goes.
func (a *Agent) notLoaded(l *lim, err error) {
	l.alias.drop()
	a.fail(l, err)
}

// stayPassive goes back to being the passive side when the alias could not be
// unblocked, or need not be any more.
func (a *Agent) stayPassive(l *lim, err error) {
	if l.state != failover.Stopping {
		var inUse errInUse
		if errors.As(err, &inUse) {
			owner, _ := a.aliases.ownerOf(inUse.mac)
			err = fmt.Errorf("the alias %s is in use by %s", inUse.alias.Addr(), owner)
		}
		l.failure, l.retryAt = err.Error(), time.Now().Add(retryAddress)
		a.log.Error("the alias cannot be unblocked", "lim", l.number, "err", err)
	}
	a.set(l, failover.Preloaded, err.Error())
	a.saveBeside()
}
