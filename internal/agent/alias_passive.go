package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// passiveSide is the reason for the block on the passive side of a preloaded cluster. This block
// lasts until the side becomes active.
const passiveSide = "this is the passive side of a preloaded cluster"

// blockPassive records that the alias is blocked as the passive side's.
func (a *alias) blockPassive() {
	a.blocked, a.clearing = passiveSide, func() {}
	if a.hold != nil {
		a.hold.passive.Store(true)
	}
}

// holdBlocked takes the alias invisibly: it is blocked before it is added. No probe is needed, as
// the active side has it.
func (a *alias) holdBlocked(ctx context.Context, net *network, alias netip.Prefix) error {
	if err := a.deps.Kernel.Block(net.ifname, alias.Addr()); err != nil {
		return err
	}
	until := time.Now().Add(a.cfg.Lease)
	if err := a.deps.Kernel.HoldBehind(net.ifname, alias, a.cfg.Lease); err != nil {
		return err
	}
	return a.onLoop(ctx, func() error {
		if a.aliasOf(a.lim) != alias { // the LIM has left its cluster meanwhile
			return errors.Join(a.taken(alias, until, false), a.deps.Kernel.Unblock(net.ifname, alias.Addr()))
		}
		a.blockPassive()
		a.holdOn(alias, until)
		a.taking = false
		return nil
	}, func() { _ = a.deps.Kernel.Drop(net.ifname, alias) })
}

// activate unblocks the passive side's alias and announces it, which is all that the failover of a
// preloaded cluster needs. Until something is heard on the link it stays blocked. It runs beside
// the main loop.
func (a *alias) activate(ctx context.Context, unheard bool) error {
	return a.onLoop(ctx, func() error {
		if !a.passive() {
			return errors.New("the alias was lost before it could be unblocked")
		}
		if a.keeper != nil && a.keeper.Left(a.lim, time.Now()) < a.cfg.Lease {
			return errNoProof // the alias may stay for its lease
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
