package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"mxcluster/internal/failover"
)

// errDown is the error for an interface that is down.
type errDown struct{ ifname string }

func (e errDown) Error() string { return fmt.Sprintf("interface %s is down", e.ifname) }

// errInUse is the error for an alias that another host answers for.
type errInUse struct {
	alias netip.Prefix
	mac   string
}

func (e errInUse) Error() string {
	return fmt.Sprintf("the alias %s is in use by %s", e.alias.Addr(), e.mac)
}

// acquire takes the alias after before has succeeded: it checks that nobody has the alias, and
// saves the term. Until something is heard on the link it is unknown who has the alias, so it stays
// blocked; not so for a former base, which clients use here already. It runs beside the main loop.
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
		if err := a.notTaken(net, alias, blocked); err != nil { // cancelled meanwhile
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

// notTaken undoes the taking of an alias and its block; the alias stays denied.
func (a *aliases) notTaken(n *network, alias netip.Prefix, blocked bool) error {
	err := a.deps.Kernel.Drop(n.ifname, alias)
	if err == nil && blocked {
		err = a.deps.Kernel.Uncover(n.ifname, alias.Addr())
	}
	return err
}

// taken starts to hold an alias that an operation has added. If the LIM has left its cluster
// meanwhile, the address is a permanent base on its regular server, and removed on others.
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

// notAcquired handles a failed acquire. An alias in use, or a link that is down, does not count as
// a failure of the LIM here: the other side would not get the alias either, or takes over anyway.
// Software that was up from before is stopped.
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
	case l.State == failover.Stopping: // cancelled
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

// giveUp stops what may be up of a LIM here, and calls then at the end.
func (l *lim) giveUp(err error, then func()) {
	if l.software.up || l.alias.holds {
		l.stop(false, err.Error(), then)
		return
	}
	l.stopped(err.Error(), then)
}

// ownerOf names the server with a MAC, or returns the MAC.
func (a *aliases) ownerOf(mac string) (owner string, server bool) {
	if server := a.serverAt(mac); server != "" {
		return fmt.Sprintf("%s (%s)", server, mac), true
	}
	return mac + ", which is no server of this system", false
}
