package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// passiveSide is why the alias of the passive side of a preloaded cluster is
// blocked. Unlike for the other reasons it stays so until this side is to serve.
const passiveSide = "this is the passive side of a preloaded cluster"

// blockPassive notes that the alias is blocked for good.
func (a *alias) blockPassive() {
	a.blocked, a.clearing = passiveSide, func() {}
	if a.hold != nil {
		a.hold.passive.Store(true)
	}
}

// holdBlocked takes the alias without anybody noticing: the block is in place
// before the address is. Nobody is asked whether it is free, for it is not.
func (a *alias) holdBlocked(ctx context.Context, net *network, alias netip.Prefix) error {
	if err := a.deps.Kernel.Block(net.ifname, alias.Addr()); err != nil {
		return err
	}
	until := time.Now().Add(a.cfg.Lease)
	if err := a.deps.Kernel.HoldBehind(net.ifname, alias, a.cfg.Lease); err != nil {
		return err
	}
	return a.onLoop(ctx, func() error {
		if a.aliasOf(a.lim) != alias { // it left its cluster meanwhile
			return errors.Join(a.taken(alias, until, false), a.deps.Kernel.Unblock(net.ifname, alias.Addr()))
		}
		a.blockPassive()
		a.holdOn(alias, until)
		a.taking = false
		return nil
	}, func() { _ = a.deps.Kernel.Drop(net.ifname, alias) })
}

// activate lets the alias of the passive side onto the wire and announces it:
// that is all that a failover of a preloaded cluster takes. As long as nothing at all is
// heard it stays blocked. It runs beside the main loop.
func (a *alias) activate(ctx context.Context, unheard bool) error {
	return a.onLoop(ctx, func() error {
		if !a.passive() {
			return errors.New("the alias was lost before it could be unblocked")
		}
		if a.keeper != nil && a.keeper.Left(a.lim, time.Now()) < a.cfg.Lease {
			return errNoProof // the alias may stay as long as its lease
		}
		if unheard {
			a.event("blocked", fmt.Sprintf("this side serves now, and the alias %s stays blocked until something is heard: %s", a.addr.Addr(), nothingYet))
			a.keepBlocked(nothingYet)
			a.announceTaken()
			a.returnRoutes()
			return nil
		}
		if err := a.deps.Kernel.Unblock(a.net.ifname, a.addr.Addr()); err != nil {
			return err
		}
		a.event("unblocked", fmt.Sprintf("the alias %s was unblocked: this side serves now", a.addr.Addr()))
		a.endBlock()
		a.announceTaken()
		a.returnRoutes()
		return nil
	}, func() {})
}
