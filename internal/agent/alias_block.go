package agent

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"mxcluster/internal/arpbudget"
)

// How it is found out whether an alias that was blocked is this server's alone.
const (
	clearPeriod   = 20 * time.Millisecond // from one try to the next, while somebody else has it
	quietLimit    = time.Minute           // a link that is up and brings nothing for so long counts as working; a switch port with spanning tree is shut for up to 50 s
	hearPeriod    = 5 * time.Millisecond  // looks at whether the link brings anything
	silenceProbes = 3                     // of a server that was cut off for long enough to be taken over from
)

// block keeps a held alias off the wire until it is clear whose it is: when the
// link is down, before it carries traffic again, and at once when the other
// side of a split brain is heard and this one is to yield (design rule 6). The
// software here goes on, and so does the lease.
func (a *alias) block(why string) {
	if a.blocked == receivesNothing && why == linkDown { // the same, and something else to wait for
		a.clearing()
		a.keepBlocked(why)
	}
	if !a.holds || a.blocked != "" {
		return
	}
	if err := a.deps.Kernel.Block(a.net.ifname, a.addr.Addr()); err != nil {
		a.log.Error("blocking an alias", "lim", a.lim, "alias", a.addr, "because", why, "err", err)
		if why == rivalHeard {
			a.drop() // two must not answer for it
		}
		return
	}
	a.event("blocked", fmt.Sprintf("the alias %s was blocked: %s", a.addr.Addr(), why))
	a.keepBlocked(why)
}

// keepBlocked notes that an alias is blocked, and finds out when it need not be.
func (a *alias) keepBlocked(why string) {
	a.blocked = why
	a.hold.muted.Store(true)
	ctx, cancel := context.WithCancel(a.ctx)
	a.clearing, a.look = cancel, make(chan struct{}, 1)
	n, alias, look := a.net, a.addr.Addr(), a.look
	if a.heldThere() {
		a.awaitWord(ctx)
		return
	}
	up := a.link.enabled // what was heard since then says that the switch forwards
	if why != setUp {
		up = time.Time{}
	}
	traffic, probes, first := func() bool { return a.awaitTraffic(ctx, n, look, &up) }, 1, arpbudget.Anew
	switch why {
	case deleted:
		first = arpbudget.Urgent
		traffic = func() bool { return ctx.Err() == nil } // the link was in use all the time
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

// awaitClear waits until the link carries traffic, as traffic tells, and nobody
// answers for the alias to so many probes in a row, of this urgency until somebody else has
// it: clients wait for the first answer. It returns false when ctx ends first.
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

// awaitTraffic waits until the link is up and something was heard over it: a
// switch forwards some time after the link is there, and until then a question
// that nobody answers means nothing. Clients that were heard before are asked, so that
// those that have nothing to say are heard. It notes since when the link is up; zero: not known.
func (a *aliases) awaitTraffic(ctx context.Context, n *network, look <-chan struct{}, up *time.Time) bool {
	var asked time.Time
	for ctx.Err() == nil {
		wait := time.Second // or until the kernel tells of a change
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

// unblock lets a blocked alias onto the wire again and announces it.
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

// forgetBlock takes the block off an alias that is not on this server any more; it
// stays denied.
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

// blockAll blocks every alias held here; it reports whether one was not blocked before.
func (a *aliases) blockAll(why string) (some bool) {
	for _, x := range a.all {
		shown := x.blocked == ""
		x.block(why)
		some = some || shown && x.blocked != ""
	}
	return some
}

// lookAtLink has all who wait for the link look at it now.
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

// mendBlocks puts right what another tool did to the blocks of held aliases.
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

// holding returns the aliases that are held here, by the numbers of their LIMs.
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

// adoptBlock finds a held alias of an earlier run blocked: why is not known any
// more, so that it is found out whether it still has to be.
func (a *alias) adoptBlock() {
	blocked, err := a.deps.Kernel.Blocked(a.net.ifname)
	if err == nil && slices.Contains(blocked, a.addr.Addr()) {
		a.keepBlocked(leftOver)
	}
}

// forgetBlocks lifts, at the start, the blocks of what is no alias any more: the
// cluster was deleted while no agent ran here, and this server must reach whoever
// has the address now. What is only denied follows with the other denials.
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
