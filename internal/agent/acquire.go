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
// and that the term under which it is taken is saved. It runs beside the main loop.
func (a *Agent) acquire(ctx context.Context, net *network, l *lim, alias netip.Prefix, passive bool, before func(context.Context) error) error {
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
	if passive {
		return a.activate(ctx, l)
	}
	until, err := a.holdProven(net, l, alias)
	if err != nil {
		return err
	}
	if err := a.allowTaken(net, alias.Addr()); err != nil {
		return errors.Join(err, a.deps.Kernel.Drop(net.ifname, alias))
	}
	done := make(chan error, 1)
	a.post(func() {
		if ctx.Err() == nil {
			l.foreign = "" // nobody answered
			done <- a.taken(l, alias, until)
			return
		}
		done <- nil
		if err := a.deps.Kernel.Drop(net.ifname, alias); err != nil { // called off meanwhile
			a.log.Error("taking off the alias of a start that was called off", "lim", l.number, "alias", alias, "err", err)
		}
	})
	select {
	case err := <-done:
		return errors.Join(ctx.Err(), err)
	case <-a.ctx.Done():
		return a.ctx.Err()
	}
}

// taken holds an alias that an operation has taken. By then it may be none any more,
// since its LIM left the cluster: on its own server it is the base now, for good.
func (a *Agent) taken(l *lim, alias netip.Prefix, until time.Time) error {
	switch {
	case a.aliasOf(l.number) == alias:
		a.holdOn(l, alias, until)
		a.returnRoutes(l)
		return nil
	case a.doc.Server(a.cfg.Server).Base == alias:
		a.returnRoutes(l)
		return a.deps.Kernel.EnsureBase(a.net.ifname, alias)
	}
	return errors.Join(fmt.Errorf("%s is no alias of LIM %d any more", alias.Addr(), l.number), a.deps.Kernel.Drop(a.net.ifname, alias))
}

// notAcquired notes that the alias could not be had. An alias in use, or a link
// that is down, is no failure of the LIM on this server: the other side would
// not get it either, or this server is missing altogether. Software that is up
// from before, when this server lost the alias, is stopped.
func (a *Agent) notAcquired(l *lim, err error) {
	var inUse errInUse
	var down errDown
	if l.passive() {
		a.stayPassive(l, err)
		return
	}
	then := func() { a.fail(l, err) }
	a.dropAlias(l)
	l.inUse = ""
	switch {
	case l.state == failover.Stopping: // called off
		err, then = errors.New(l.reason), nil
	case errors.As(err, &inUse):
		owner, ours := a.ownerOf(inUse.mac)
		err, then = fmt.Errorf("the alias %s is in use by %s", inUse.alias.Addr(), owner), nil
		l.inUse, l.inUseByServer = err.Error(), ours
		l.failure, l.retryAt = err.Error(), time.Now().Add(retryAddress)
		if !ours {
			l.retryAt = time.Now().Add(foreignRetry)
			a.foreignHeard(l, inUse.mac)
		}
		a.log.Error("the alias cannot be had", "lim", l.number, "err", err)
	case errors.As(err, &down), errors.Is(err, errNoProof):
		then = nil
		l.failure, l.retryAt = err.Error(), time.Now().Add(retryAddress)
		a.log.Error("the alias cannot be had", "lim", l.number, "err", err)
	}
	a.giveUp(l, err, then)
}

// giveUp ends what may be up of a LIM here, and then does what follows.
func (a *Agent) giveUp(l *lim, err error, then func()) {
	if l.loaded || l.holds {
		a.stopLIM(l, false, err.Error(), then)
		return
	}
	a.stopped(l, err.Error(), then)
}

// ownerOf names the server with a MAC, or the MAC itself.
func (a *Agent) ownerOf(mac string) (owner string, server bool) {
	if server := a.serverAt(mac); server != "" {
		return fmt.Sprintf("%s (%s)", server, mac), true
	}
	return mac + ", which is no server of this system", false
}
