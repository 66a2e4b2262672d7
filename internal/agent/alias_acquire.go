package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"mxcluster/internal/failover"
)

// errDown says that the interface carries no traffic.
type errDown struct{ ifname string }

func (e errDown) Error() string { return fmt.Sprintf("interface %s is down", e.ifname) }

// errInUse says that another host answers for an alias.
type errInUse struct {
	alias netip.Prefix
	mac   string
}

func (e errInUse) Error() string {
	return fmt.Sprintf("the alias %s is in use by %s", e.alias.Addr(), e.mac)
}

// acquire takes the alias once what has to be before is done: that nobody has it,
// and that the term under which it is taken is saved. As long as nothing at all is heard
// the alias stays blocked, for then it is not known who has it, unless clients use it
// here this moment, as what was the base. It runs beside the main loop.
func (a *alias) acquire(ctx context.Context, net *network, alias netip.Prefix, passive, former bool, before func(context.Context) error) error {
	link, err := a.deps.Kernel.Link(net.ifname)
	if err != nil {
		return err
	}
	if !link.Up {
		return errDown{net.ifname}
	}
	if err := before(ctx); err != nil {
		return err
	}
	unheard := net.detector.FirstFrame().IsZero()
	if passive {
		return a.activate(ctx, unheard)
	}
	blocked := unheard && !former
	if blocked {
		if err := a.deps.Kernel.Block(net.ifname, alias.Addr()); err != nil {
			return err
		}
	}
	until, err := a.holdProven(net, alias)
	if err == nil && !blocked {
		err = a.allowTaken(net, alias.Addr())
	}
	if err != nil {
		return errors.Join(err, a.notTaken(net, alias, blocked))
	}
	done := make(chan error, 1)
	a.post(func() {
		if ctx.Err() == nil {
			a.foreign.mac = "" // nobody answered
			done <- a.taken(alias, until, blocked)
			return
		}
		done <- nil
		if err := a.notTaken(net, alias, blocked); err != nil { // called off meanwhile
			a.log.Error("taking off the alias of a start that was called off", "lim", a.lim, "alias", alias, "err", err)
		}
	})
	select {
	case err := <-done:
		return errors.Join(ctx.Err(), err)
	case <-a.ctx.Done():
		return a.ctx.Err()
	}
}

// notTaken takes an alias off again that an operation did not get for good, and the
// block with it; it is denied as before.
func (a *aliases) notTaken(n *network, alias netip.Prefix, blocked bool) error {
	err := a.deps.Kernel.Drop(n.ifname, alias)
	if err == nil && blocked {
		err = a.deps.Kernel.Uncover(n.ifname, alias.Addr())
	}
	return err
}

// taken holds an alias that an operation has taken. By then it may be none any more,
// since its LIM left the cluster: on its own server it is the base now, for good.
func (a *alias) taken(alias netip.Prefix, until time.Time, blocked bool) error {
	switch {
	case a.aliasOf(a.lim) == alias && blocked:
		a.blocked, a.clearing = nothingYet, func() {}
		a.holdOn(alias, until)
		a.event("blocked", fmt.Sprintf("the alias %s was taken, and is blocked until something is heard: %s", alias.Addr(), nothingYet))
		a.keepBlocked(nothingYet)
		a.returnRoutes()
		return nil
	case a.aliasOf(a.lim) == alias:
		a.holdOn(alias, until)
		a.returnRoutes()
		return nil
	case a.doc.Server(a.cfg.Server).Base == alias:
		a.returnRoutes()
		return errors.Join(a.deps.Kernel.EnsureBase(a.net.ifname, alias), a.allowTaken(a.net, alias.Addr()))
	}
	return errors.Join(fmt.Errorf("%s is no alias of LIM %d any more", alias.Addr(), a.lim), a.notTaken(a.net, alias, blocked))
}

// notAcquired notes that the alias could not be had. An alias in use, or a link
// that is down, is no failure of the LIM on this server: the other side would
// not get it either, or this server is missing altogether. Software that is up
// from before, when this server lost the alias, is stopped.
func (l *lim) notAcquired(err error) {
	var inUse errInUse
	var down errDown
	if l.alias.passive() {
		l.stayPassive(err)
		return
	}
	then := func() { l.fail(err) }
	l.alias.drop()
	l.alias.inUse.text = ""
	switch {
	case l.State == failover.Stopping: // called off
		err, then = errors.New(l.reason), nil
	case errors.As(err, &inUse):
		owner, ours := l.aliases.ownerOf(inUse.mac)
		err, then = fmt.Errorf("the alias %s is in use by %s", inUse.alias.Addr(), owner), nil
		l.alias.inUse = usage{text: err.Error(), server: ours}
		l.Failure, l.RetryAt = err.Error(), time.Now().Add(retryAddress)
		if !ours {
			l.RetryAt = time.Now().Add(foreignRetry)
			l.alias.foreignHeard(inUse.mac)
		}
		l.log.Error("the alias cannot be had", "lim", l.number, "err", err)
	case errors.As(err, &down), errors.Is(err, errNoProof):
		then = nil
		l.Failure, l.RetryAt = err.Error(), time.Now().Add(retryAddress)
		l.log.Error("the alias cannot be had", "lim", l.number, "err", err)
	}
	l.giveUp(err, then)
}

// giveUp ends what may be up of a LIM here, and then does what follows.
func (l *lim) giveUp(err error, then func()) {
	if l.software.up || l.alias.holds {
		l.stop(false, err.Error(), then)
		return
	}
	l.stopped(err.Error(), then)
}

// ownerOf names the server with a MAC, or the MAC itself.
func (a *aliases) ownerOf(mac string) (owner string, server bool) {
	if server := a.serverAt(mac); server != "" {
		return fmt.Sprintf("%s (%s)", server, mac), true
	}
	return mac + ", which is no server of this system", false
}
