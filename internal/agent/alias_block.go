package agent

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"mxcluster/internal/arpbudget"
)

// Limits for finding out whether a blocked alias may be unblocked.
const (
	clearPeriod   = 20 * time.Millisecond // between probes, while somebody else has the alias
	quietLimit    = time.Minute           // a link that is up and silent for so long counts as working; spanning tree shuts a switch port for up to 50 s
	hearPeriod    = 5 * time.Millisecond  // between checks whether anything was received
	silenceProbes = 3                     // for a server that was cut off long enough to be taken over from
)

// block keeps a held alias off the wire until it is clear who may have it: while the link is down,
// so that it is blocked when the link is back, and when this server is to yield to the other side
// in a split brain. Software and lease go on.
func (a *alias) block(why string) {
	if a.blocked == receivesNothing && why == linkDown { // the same cause, which ends by something else
		a.clearing()
		a.keepBlocked(why)
	}
	if !a.holds || a.blocked != "" {
		return
	}
	if err := a.deps.Kernel.Block(a.net.ifname, a.addr.Addr()); err != nil {
		a.log.Error("blocking an alias", "lim", a.lim, "alias", a.addr, "because", why, "err", err)
		if why == rivalHeard {
			a.drop() // two servers must not answer for it
		}
		return
	}
	a.event("blocked", fmt.Sprintf("the alias %s was blocked: %s", a.addr.Addr(), why))
	a.keepBlocked(why)
}

// keepBlocked records that an alias is blocked, and starts waiting for it to be clear.
func (a *alias) keepBlocked(why string) {
	a.blocked = why
	a.hold.muted.Store(true)
	ctx, cancel := context.WithCancel(a.ctx)
	a.clearing, a.look = cancel, make(chan struct{}, 1)
	n, alias, look := a.net, a.addr.Addr(), a.look
	if a.heldThere() {
		a.awaitAnswer(ctx)
		return
	}
	up := a.link.enabled // what was received since then shows that the switch forwards
	if why != setUp {
		up = time.Time{}
	}
	traffic, probes, first := func() bool { return a.awaitTraffic(ctx, n, look, &up) }, 1, arpbudget.Anew
	switch why {
	case deleted:
		first = arpbudget.Urgent
		traffic = func() bool { return ctx.Err() == nil } // the link worked all the time
	case receivesNothing:
		before := a.link.silence
		traffic = func() bool { return a.link.awaitAnything(ctx, n, before) }
		probes = silenceProbes
	case nothingYet:
		probes = silenceProbes
	}
	a.wg.Go(func() {
		if a.awaitClear(ctx, n, alias, traffic, probes, first) {
			a.post(func() {
				switch {
				case ctx.Err() != nil:
				case a.heldThere():
					a.blockAgain(ctx)
				default:
					a.unblock()
				}
			})
		}
	})
}

// awaitClear waits until traffic reports that the link works, and a number of probes in a row finds
// nobody with the alias. u is the urgency of the probes up to the first answer: clients are
// waiting. It returns false when ctx ends first.
func (a *aliases) awaitClear(ctx context.Context, n *network, alias netip.Addr, traffic func() bool, probes int, u arpbudget.Urgency) bool {
	for free := 0; traffic(); {
		_, inUse, err := a.probeAlias(ctx, n, alias, u)
		if err == nil && !inUse {
			if free++; free == probes {
				return true
			}
			continue
		}
		free, u = 0, arpbudget.Plain
		select {
		case <-ctx.Done():
		case <-time.After(clearPeriod):
		}
	}
	return false
}

// awaitTraffic waits until the link is up and something was received over it: a switch forwards
// only some time after the link is up, and an unanswered probe proves nothing before. Known clients
// are asked, so that those with nothing to send are heard. It stores in up since when the link is
// up; zero: not known.
func (a *aliases) awaitTraffic(ctx context.Context, n *network, look <-chan struct{}, up *time.Time) bool {
	var asked time.Time
	for ctx.Err() == nil {
		wait := time.Second // or until the kernel reports a change
		if link, err := a.deps.Kernel.Link(n.ifname); err == nil && link.Up {
			now := time.Now()
			if up.IsZero() {
				*up = now
			}
			if n.detector.LastFrame().After(*up) || now.Sub(*up) >= quietLimit {
				return true
			}
			if now.Sub(asked) >= askClients {
				asked = now
				n.askClients(now)
			}
			wait = hearPeriod
		} else {
			*up = time.Time{}
		}
		select {
		case <-ctx.Done():
		case <-look:
		case <-time.After(wait):
		}
	}
	return false
}

// unblock puts a blocked alias on the wire again and announces it.
func (a *alias) unblock() {
	if err := a.deps.Kernel.Unblock(a.net.ifname, a.addr.Addr()); err != nil {
		a.log.Error("unblocking an alias", "lim", a.lim, "alias", a.addr, "err", err)
		a.clearing()
		a.keepBlocked(a.blocked)
		return
	}
	a.event("unblocked", fmt.Sprintf("the alias %s was unblocked: nobody else has it", a.addr.Addr()))
	a.endBlock()
	a.announceTaken()
}

// forgetBlock removes the block of an alias that is no longer present; it stays denied.
func (a *alias) forgetBlock(alias netip.Prefix) {
	if a.blocked == "" {
		return
	}
	a.endBlock()
	if err := a.deps.Kernel.Uncover(a.net.ifname, alias.Addr()); err != nil {
		a.log.Error("taking the block off an alias that is gone", "lim", a.lim, "alias", alias, "err", err)
	}
}

func (a *alias) endBlock() {
	a.clearing()
	a.blocked, a.clearing, a.look = "", nil, nil
	if a.hold != nil {
		a.hold.muted.Store(false)
	}
}

// blockAll blocks every held alias. It reports whether any was not blocked before.
func (a *aliases) blockAll(why string) (some bool) {
	for _, x := range a.all {
		shown := x.blocked == ""
		x.block(why)
		some = some || shown && x.blocked != ""
	}
	return some
}

// lookAtLink makes all who wait for the link check it now.
func (a *aliases) lookAtLink() {
	for _, x := range a.all {
		if x.look != nil {
			select {
			case x.look <- struct{}{}:
			default:
			}
		}
	}
}

// mendBlocks restores blocks that another tool has removed.
func (a *aliases) mendBlocks() {
	if len(a.holding()) == 0 {
		return
	}
	blocked, err := a.deps.Kernel.Blocked(a.net.ifname)
	if err != nil {
		a.log.Error("looking at what is blocked", "interface", a.net.ifname, "err", err)
		return
	}
	for _, x := range a.holding() {
		switch is := slices.Contains(blocked, x.addr.Addr()); {
		case is == (x.blocked != ""):
		case is:
			x.event("blocked", fmt.Sprintf("the alias %s was blocked by somebody else; it is unblocked", x.addr.Addr()))
			x.keepBlocked("somebody else blocked it")
			x.unblock()
		default:
			x.event("unblocked", fmt.Sprintf("the block of the alias %s was taken off by somebody else; it is put back", x.addr.Addr()))
			if err := a.deps.Kernel.Block(a.net.ifname, x.addr.Addr()); err != nil {
				a.log.Error("blocking an alias", "lim", x.lim, "alias", x.addr, "err", err)
			}
		}
	}
}

// holding returns the aliases that are held here, by LIM number.
func (a *aliases) holding() []*alias {
	var held []*alias
	for _, x := range a.all {
		if x.holds {
			held = append(held, x)
		}
	}
	slices.SortFunc(held, func(x, y *alias) int { return x.lim - y.lim })
	return held
}

// adoptBlock handles an adopted alias that is blocked. The reason is unknown after a restart, so
// the alias stays blocked until it is clear.
func (a *alias) adoptBlock() {
	blocked, err := a.deps.Kernel.Blocked(a.net.ifname)
	if err == nil && slices.Contains(blocked, a.addr.Addr()) {
		a.keepBlocked(leftOver)
	}
}

// forgetBlocks removes, at the start, blocks of addresses that are no aliases any more, because a
// cluster was deleted while no agent ran: this server must be able to reach their new owner.
// Denials are brought up to date elsewhere.
func (a *aliases) forgetBlocks() {
	blocked, err := a.deps.Kernel.Blocked(a.net.ifname)
	if err != nil {
		a.log.Error("looking at what is blocked", "interface", a.net.ifname, "err", err)
		return
	}
	aliases := aliasesOf(a.doc)
	for _, addr := range blocked {
		if slices.ContainsFunc(aliases, func(p netip.Prefix) bool { return p.Addr() == addr }) {
			continue
		}
		if err := a.deps.Kernel.Unblock(a.net.ifname, addr); err != nil {
			a.log.Error("unblocking what is no alias any more", "address", addr, "err", err)
		}
	}
}
