package agent

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"mxcluster/internal/arpbudget"
	"mxcluster/internal/failover"
	"mxcluster/netops"
)

// aliases are the aliases of the LIMs on this server, and what they have in common. They
// are of the main loop.
type aliases struct {
	*core
	link  *link
	peers *peers
	all   map[int]*alias // by LIM

	view  func(now time.Time) failover.View
	term  func(lim int) uint64 // that a LIM has here
	freed func(lim int)        // the alias of a LIM that is not here is used by no foreign host any more

	held    heldSet // for those who listen
	denials denials
	notes   uint64 // identity of the last question to another server
}

// alias is the alias of one LIM on this server: whether it is here, whether the network
// may see it, and who else says to have it.
type alias struct {
	*aliases
	lim  int
	addr netip.Prefix // while it is here, or was until a moment ago

	holds  bool // the kernel has it for us, and its lease is renewed
	former bool // it is here as what was this server's base, and not held yet
	absent bool // somebody took it off while the interface was down: it is put back once that works
	taking bool // an operation is about to take it

	hold      *holder
	endHold   context.CancelFunc // ends that
	announced time.Time
	notTold   string         // why the last announcement failed; "": it did not
	routes    []netops.Route // that were carried over to the base address when it left

	blocked  string             // why it is blocked; "": it is not
	clearing context.CancelFunc // ends the wait for it to be clear
	look     chan struct{}      // has that wait look at the link now

	wireAt      time.Time // when this server last may have answered for it; zero: not since the agent started
	onWireSince time.Time // since when it is on the wire here; zero: it is not
	contested   bool      // another server says that it has it, too
	split       bool      // and has it: both are on the wire

	inUse   usage
	foreign foreign
	rival   rival
	defence defence

	otherBlock blockProbe // whether the other side's is one
	reblocked  time.Time  // when the block here was made anew, which the other side found to be none
}

// usage is that another host has an alias that was wanted here.
type usage struct {
	text   string // "": none has
	server bool   // that is a server of this system
}

// foreign is a host that is no server and uses an alias.
type foreign struct {
	mac string    // "": none is known
	at  time.Time // when it claimed the alias last
}

// defence is how an alias is defended against a rival.
type defence struct {
	claimed  time.Time // last claim of a rival
	answered time.Time // last answer to one
	waits    bool      // for the rival's silence
}

// of returns the alias of a LIM, made anew if need be.
func (a *aliases) of(lim int) *alias {
	x := a.all[lim]
	if x == nil {
		x = &alias{aliases: a, lim: lim}
		a.all[lim] = x
	}
	return x
}

// other returns which side of its cluster gives way where two have the alias, whether
// that is this one, and the other server.
func (a *alias) other(now time.Time) (yields bool, server string) {
	return failover.Yields(a.view(now), a.lim)
}

// event notes what happened to the alias.
func (a *alias) event(is, text string) { a.journal.alias(a.lim, a.addr.Addr(), is, text) }

// passive reports whether the alias is up here and blocked because the other side of a
// preloaded cluster serves.
func (a *alias) passive() bool { return a.holds && a.blocked == passiveSide }

// onWire reports whether this server may answer for a LIM's alias, or is about to. One
// that is blocked for a moment counts, for it may be unblocked at any time.
func (a *alias) onWire() bool {
	return a.holds && a.blocked != passiveSide || a.absent || a.taking || a.former
}

// holdOn keeps an alias that the kernel has for us until `until`, and announces it.
func (a *alias) holdOn(alias netip.Prefix, until time.Time) {
	a.holdAs(alias, until, arpbudget.Urgent)
}

func (a *alias) holdAs(alias netip.Prefix, until time.Time, u arpbudget.Urgency) {
	if a.endHold != nil {
		a.endHold()
	}
	ctx, cancel := context.WithCancel(a.ctx)
	a.holds, a.former, a.addr, a.endHold = true, false, alias, cancel
	a.hold = &holder{
		kernel: a.deps.Kernel, wire: a.net.wire, budget: a.net.budget, ifname: a.net.ifname, alias: alias,
		lease: a.cfg.Lease, refresh: a.cfg.ARPRefresh, log: a.log, alive: a.alive,
		kick: make(chan struct{}, 1), renewing: newTurn(), burst: u,
	}
	h := a.hold
	if a.keeper != nil {
		h.left = func(now time.Time) time.Duration { return a.keeper.Left(a.lim, now) }
	}
	h.muted.Store(a.blocked != "")
	h.passive.Store(a.blocked == passiveSide)
	if a.blocked != passiveSide { // the active side's claims are no conflict
		a.held.add(alias.Addr())
	}
	h.lost = func(expired bool) { a.post(func() { a.lostBy(h, expired) }) }
	h.told = func(at time.Time, err error) { a.post(func() { a.announcedBy(h, at, err) }) }
	a.wg.Go(func() { h.keep(ctx, until) })
	a.wg.Go(func() { h.announce(ctx) })
}

// announceAnew starts the announcements of a held alias again with a burst, as far as
// there is room for it.
func (a *alias) announceAnew() { a.announceBurst(arpbudget.Anew) }

// announceTaken does so at once: the alias was not on the wire before.
func (a *alias) announceTaken() {
	a.announceBurst(arpbudget.Urgent)
	a.askUnresolved()
}

func (a *alias) announceBurst(u arpbudget.Urgency) {
	a.holdAs(a.addr, time.Now().Add(a.cfg.Lease/2), u)
	a.hold.kick <- struct{}{} // there may be less time left than until the first renewal
}

// announceAll does so for all aliases held here.
func (a *aliases) announceAll() {
	for _, x := range a.all {
		if x.holds && x.blocked == "" {
			x.announceAnew()
		}
	}
}

func (a *alias) announcedBy(h *holder, at time.Time, err error) {
	switch {
	case a.hold != h:
	case err != nil:
		a.notTold = err.Error()
		a.log.Error("announcing an alias", "lim", a.lim, "alias", h.alias, "err", err)
	default:
		a.announced, a.notTold = at, ""
	}
}

// lostBy handles an alias that left this server without us: deleted by
// somebody within its lease it is put back; expired it must be won anew.
func (a *alias) lostBy(h *holder, expired bool) {
	if a.hold != h {
		return
	}
	a.letGo()
	if expired {
		a.event("expired", fmt.Sprintf("the lease of the alias %s ran out: this agent was stopped or starved", h.alias.Addr()))
		a.forgetBlock(h.alias)
		return
	}
	if !a.link.mayAdd() {
		a.leaveAbsent(h.alias)
		return
	}
	a.event("deleted", fmt.Sprintf("the alias %s was deleted by somebody else; it is put back", h.alias.Addr()))
	a.putBack(h.alias, deleted)
}

// putBack takes an alias again that was deleted. What looks like that may be a
// lease that an earlier run left and that ended sooner than the kernel, which
// counts in seconds, had told: so it is blocked until nobody else has it.
func (a *alias) putBack(alias netip.Prefix, why string) {
	blocked := a.blocked != ""
	if err := a.deps.Kernel.Block(a.net.ifname, alias.Addr()); err != nil {
		a.log.Error("blocking an alias that is put back", "lim", a.lim, "alias", alias, "err", err)
	} else if !blocked {
		a.blocked, a.clearing = why, func() {}
	}
	until, err := a.holdProven(a.net, alias)
	if err != nil {
		a.log.Error("putting an alias back", "lim", a.lim, "alias", alias, "err", err)
		a.forgetBlock(alias)
		return
	}
	a.holdOn(alias, until)
	if a.blocked == why && !blocked {
		a.keepBlocked(why)
	}
}

// letGo ends the renewal of a LIM's alias; the address stays until its lease ends.
func (a *alias) letGo() {
	a.endHold()
	_ = a.hold.with(func() error { return nil }) // a renewal on its way ends first
	a.held.remove(a.addr.Addr())
	a.holds, a.hold, a.endHold = false, nil, nil
}

// drop takes a LIM's alias off this server, if it is here.
func (a *alias) drop() {
	a.absent = false
	if !a.holds {
		a.dropFormer()
		return
	}
	a.endHold()
	a.leaveRoutes()
	err := a.hold.with(func() error { return a.deps.Kernel.Drop(a.net.ifname, a.addr) })
	a.held.remove(a.addr.Addr())
	a.holds, a.hold, a.endHold = false, nil, nil
	if err != nil {
		a.log.Error("taking an alias off", "lim", a.lim, "alias", a.addr, "err", err)
		return // while it is here it stays blocked if it was
	}
	a.forgetBlock(a.addr)
}

// dropFormer takes an alias off that was this server's base until a moment ago: its LIM
// ran here, and is not to go on.
func (a *alias) dropFormer() {
	if !a.former {
		return
	}
	a.leaveRoutes()
	if err := a.deps.Kernel.Drop(a.net.ifname, a.addr); err != nil {
		a.log.Error("taking an alias off that was the base", "lim", a.lim, "alias", a.addr, "err", err)
		return // it is tried again with the next decision
	}
	a.former = false
}

// leaveAbsent notes that a held alias is gone, and that it is not the time to put it
// back. It stays denied until then.
func (a *alias) leaveAbsent(alias netip.Prefix) {
	a.forgetBlock(alias)
	a.absent, a.addr = true, alias
}

// leaveRoutes carries the routes whose preferred source is a LIM's alias over to the
// base address, before the alias goes or is blocked: the kernel would delete them, and
// with them perhaps the way to the administrator. They are remembered.
func (a *alias) leaveRoutes() {
	moved, err := a.deps.Kernel.MoveRoutes(a.addr.Addr(), a.net.base.Addr(), nil)
	if err != nil {
		a.log.Error("carrying routes over from an alias to the base address", "lim", a.lim, "err", err)
	}
	for _, r := range moved {
		if !slices.Contains(a.routes, r) {
			a.routes = append(a.routes, r)
		}
	}
}

// returnRoutes gives the routes that were carried over their source back, now that the
// alias serves here again.
func (a *alias) returnRoutes() {
	if len(a.routes) == 0 {
		return
	}
	if _, err := a.deps.Kernel.MoveRoutes(a.net.base.Addr(), a.addr.Addr(), a.routes); err != nil {
		a.log.Error("carrying routes back to an alias", "lim", a.lim, "err", err)
	}
	a.routes = nil
}
