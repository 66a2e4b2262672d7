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

// aliases is the set of aliases on this server, with what they share. It is owned by the main loop.
type aliases struct {
	*core
	link  *link
	peers *peers
	all   map[int]*alias // by LIM

	view func(now time.Time) failover.View
	term func(lim int) uint64 // term that a LIM has here
	// virtual tells where the virtual address of the management system is.
	virtual func() (netip.Addr, whereabouts)
	freed   func(lim int) // called when a foreign host no longer uses an alias that is wanted here

	held        heldSet // for the goroutine that listens to the wire
	denials     denials
	lastQueryID uint64 // ID of the last query to another server
}

// alias is the alias of one LIM on this server: whether it is present, whether it is visible on the
// network, and who else claims it.
type alias struct {
	*aliases
	lim  int
	addr netip.Prefix // valid while it is present, and until its removal is complete

	holds  bool // it is present, and its lease is renewed
	former bool // it is present as this server's former base, and not held yet
	absent bool // it was removed while the interface was down, and is added again when the interface works
	taking bool // an operation is about to add it

	hold          *holder
	endHold       context.CancelFunc // ends hold
	announced     time.Time
	announceError string         // error of the last announcement; "": none
	routes        []netops.Route // routes moved to the base address while the alias is absent or blocked

	blocked  string             // why it is blocked; "": it is not
	clearing context.CancelFunc // ends the wait for it to be unblocked
	look     chan struct{}      // makes that wait check the link now

	wireAt      time.Time // last time that it may have been answered for here; zero: not since the agent started
	onWireSince time.Time // since when it is on the wire here; zero: it is not
	contested   bool      // another server says that it holds the alias, too
	split       bool      // the alias is on the wire on both

	inUse   usage
	foreign foreign
	rival   rival
	defence defence

	strangerAsked time.Time // when it was last asked who else has it

	otherBlock blockProbe // the query whether the other side's block is effective
	reblocked  time.Time  // when the block here was renewed after the other side found it ineffective
}

// usage describes another host that has an alias which is wanted here.
type usage struct {
	text   string // "": there is none
	server bool   // it is a server of this system
}

// foreign is a host outside of the system that uses an alias.
type foreign struct {
	mac string    // "": none is known
	at  time.Time // last claim of the alias
}

// defence is the state of defending an alias against rival claims.
type defence struct {
	claimed  time.Time // last claim of a rival
	answered time.Time // last answer to one
	waits    bool      // an answer is due once the rival is silent
}

// of returns the alias of a LIM; it creates the record if needed.
func (a *aliases) of(lim int) *alias {
	x := a.all[lim]
	if x == nil {
		x = &alias{aliases: a, lim: lim}
		a.all[lim] = x
	}
	return x
}

// other returns the other server of the LIM, and whether this server is the one to yield if both
// hold the alias.
func (a *alias) other(now time.Time) (yields bool, server string) {
	return failover.Yields(a.view(now), a.lim)
}

// event records an event about the alias.
func (a *alias) event(is, text string) { a.journal.alias(a.lim, a.addr.Addr(), is, text) }

// passive reports whether the alias is present and blocked because the other side of a preloaded
// cluster is active.
func (a *alias) passive() bool { return a.holds && a.blocked == passiveSide }

// onWire reports whether this server may answer for the alias, now or at any moment. A temporary
// block counts as on the wire, as it may be lifted at any time.
func (a *alias) onWire() bool {
	return a.holds && a.blocked != passiveSide || a.absent || a.taking || a.former
}

// holdOn starts to renew and announce an alias that is present with a lease until `until`.
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
		kick: make(chan struct{}, 1), renewing: newSemaphore(), burst: u,
	}
	h := a.hold
	if a.keeper != nil {
		h.left = func(now time.Time) time.Duration { return a.keeper.Left(a.lim, now) }
	}
	h.muted.Store(a.blocked != "")
	h.passive.Store(a.blocked == passiveSide)
	if a.blocked != passiveSide { // claims of the active side are no conflict
		a.held.add(alias.Addr())
	}
	h.lost = func(expired bool) { a.post(func() { a.lostBy(h, expired) }) }
	h.told = func(at time.Time, err error) { a.post(func() { a.announcedBy(h, at, err) }) }
	a.wg.Go(func() { h.keep(ctx, until) })
	a.wg.Go(func() { h.announce(ctx) })
}

// announceAnew restarts the announcements of a held alias with a burst, within the ARP budget.
func (a *alias) announceAnew() { a.announceBurst(arpbudget.Anew) }

// announceTaken does so at once, for an alias that was not on the wire before.
func (a *alias) announceTaken() {
	a.announceBurst(arpbudget.Urgent)
	a.askUnresolved()
}

func (a *alias) announceBurst(u arpbudget.Urgency) {
	a.holdAs(a.addr, time.Now().Add(a.cfg.Lease/2), u)
	a.hold.kick <- struct{}{} // the lease may end before the first regular renewal
}

// announceAll restarts the announcements of all held aliases.
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
		a.announceError = err.Error()
		a.log.Error("announcing an alias", "lim", a.lim, "alias", h.alias, "err", err)
	default:
		a.announced, a.announceError = at, ""
	}
}

// lostBy handles an alias that vanished without an order: deleted by somebody within its lease it
// is added again; after its lease expired it is acquired anew.
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

// putBack adds a deleted alias again. The deletion may be the end of a lease from an earlier run,
// which kernels count in whole seconds, and another server may have taken over; so the alias stays
// blocked until nobody else answers for it.
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

// letGo stops the renewal; the address stays until its lease ends.
func (a *alias) letGo() {
	a.endHold()
	_ = a.hold.with(func() error { return nil }) // waits for a renewal in progress
	a.held.remove(a.addr.Addr())
	a.holds, a.hold, a.endHold = false, nil, nil
}

// drop removes the alias from this server, if present.
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
		return // still present, and blocked if it was
	}
	a.forgetBlock(a.addr)
}

// dropFormer removes an alias that is this server's former base, if its LIM is not to run here.
func (a *alias) dropFormer() {
	if !a.former {
		return
	}
	a.leaveRoutes()
	if err := a.deps.Kernel.Drop(a.net.ifname, a.addr); err != nil {
		a.log.Error("taking an alias off that was the base", "lim", a.lim, "alias", a.addr, "err", err)
		return // retried with the next decision
	}
	a.former = false
}

// leaveAbsent records that a held alias is gone and cannot be added now. It stays denied.
func (a *alias) leaveAbsent(alias netip.Prefix) {
	a.forgetBlock(alias)
	a.absent, a.addr = true, alias
}

// leaveRoutes moves routes with the alias as preferred source to the base address before the alias
// is removed or blocked: the kernel would delete them, and with them perhaps the administrator's
// connection. They are remembered.
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

// returnRoutes moves these routes back when the alias is active here again.
func (a *alias) returnRoutes() {
	if len(a.routes) == 0 {
		return
	}
	if _, err := a.deps.Kernel.MoveRoutes(a.net.base.Addr(), a.addr.Addr(), a.routes); err != nil {
		a.log.Error("carrying routes back to an alias", "lim", a.lim, "err", err)
	}
	a.routes = nil
}
