package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"mxcluster/internal/arpbudget"
	"mxcluster/netops"
)

// Reasons for blocking an alias.
const (
	linkDown        = "the link is down"
	rivalHeard      = "the other side of the cluster has it, too"
	leftOver        = "it was found blocked at the start"
	permanent       = "it was found here without a lease, as no agent leaves it"
	setUp           = "its interface was set up a moment ago"
	deleted         = "it was deleted, and may be elsewhere by now"
	receivesNothing = "the link is up, and nothing at all comes in"
	nothingYet      = "nothing was heard yet since the link is up"
)

const (
	claimPeriod    = 5 * time.Millisecond   // claims of one server that follow more closely are dropped
	strangerPeriod = 50 * time.Millisecond  // the same for a station outside of the system
	maxStrangers   = 40                     // bound of claims per second from all of these together
	maxClaims      = 1000                   // bound of stations that are distinguished
	defendPeriod   = 100 * time.Millisecond // between answers to a rival's claims
	rivalQuiet     = 150 * time.Millisecond // after a rival's last claim, until its effect is overwritten
	foreignPeriod  = time.Second            // between checks whether a foreign host still has an alias that is held here
	foreignTries   = 3                      // unanswered checks after which it has not
	strangerAgain  = 10 * time.Second       // between questions whether a host that says nothing has an alias that is held here
	freePeriod     = 150 * time.Millisecond // between checks whether an alias that is wanted here is free
	foreignRetry   = 10 * time.Second       // until a start is retried in any case
)

// heldSet is the set of aliases held here, for the goroutine that listens to the wire.
type heldSet struct {
	mu      sync.Mutex
	since   map[netip.Addr]time.Time
	servers map[string][]string // MAC addresses that the other servers claim to have
}

// of returns since when an alias is held here.
func (h *heldSet) of(alias netip.Addr) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.since[alias]
}

// know records the MAC addresses that a server claims to have.
func (h *heldSet) know(server string, macs []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.servers == nil {
		h.servers = map[string][]string{}
	}
	h.servers[server] = macs
}

// knows reports whether a MAC address is one that a server claims.
func (h *heldSet) knows(mac string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, macs := range h.servers {
		if slices.Contains(macs, mac) {
			return true
		}
	}
	return false
}

func (h *heldSet) add(alias netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.since == nil {
		h.since = map[netip.Addr]time.Time{}
	}
	if _, ok := h.since[alias]; !ok {
		h.since[alias] = time.Now()
	}
}

func (h *heldSet) remove(alias netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.since, alias)
}

// claimed returns the held alias that a frame claims. A frame received before the alias was taken
// says nothing about now.
func (h *heldSet) claimed(o netops.Observation) (netip.Addr, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for alias, since := range h.since {
		if netops.Claims(o, alias) && o.Time.After(since) {
			return alias, true
		}
	}
	return netip.Addr{}, false
}

// arpClaim is a frame of another station that claims an alias held here.
type arpClaim struct {
	alias netip.Addr
	mac   string
	probe bool // an ARP probe
	at    time.Time
}

// listen posts the claims of other stations for held aliases to the main loop.
func (a *aliases) listen(ctx context.Context, wire Wire) {
	told := throttle{}
	for o := range wire.Subscribe(ctx) {
		alias, ok := a.held.claimed(o)
		if !ok {
			continue
		}
		c := arpClaim{alias, o.SenderMAC.String(), o.SenderIP != alias, o.Time}
		if told.admits(c, a.held.knows(c.mac)) {
			a.post(func() { a.claimed(c) })
		}
	}
}

// throttle bounds the claims that reach the main loop. Claims with a server's MAC address have a
// bound for each, so that they are not crowded out by others.
type throttle struct {
	last     map[arpClaim]time.Time // by claim, without its time
	began    time.Time              // start of the second in which strangers are counted
	stranger int
}

func (t *throttle) admits(c arpClaim, server bool) bool {
	at := c.at
	c.at = time.Time{}
	if at.Sub(t.began) >= time.Second {
		t.began, t.stranger = at, 0
	}
	switch {
	case t.last == nil || len(t.last) > maxClaims: // no network has that many stations: somebody invents them
		t.last = map[arpClaim]time.Time{}
	case server && at.Sub(t.last[c]) < claimPeriod, !server && at.Sub(t.last[c]) < strangerPeriod:
		return false
	}
	if !server {
		if t.stranger++; t.stranger > maxStrangers {
			return false
		}
	}
	t.last[c] = at
	return true
}

// claimed handles another station's claim to an alias held here.
func (a *aliases) claimed(c arpClaim) {
	a.nothingNew = true
	for _, x := range a.holding() {
		if x.addr.Addr() != c.alias {
			continue
		}
		yields, other := x.other(time.Now())
		switch owner := a.serverAt(c.mac); {
		case owner == a.cfg.Server: // another interface of this server in the same LAN, or a former MAC
		case c.probe && owner != other: // a probe before use, as it should be
		case owner == other && x.otherBlock.answered(time.Now()): // an answer to this server's check of its block; it is not a rival
			a.nothingNew = false
			x.defend()
		case x.tellsFor(c.mac): // a station that answers for others, or a MAC without a lease
		case owner == "" || owner != other:
			a.nothingNew = false
			x.foreignHeard(c.mac)
			x.defend()
		default:
			x.rivalClaims(c.mac, c.at, c.probe, yields)
		}
	}
}

// serverAt returns the server of the system with a MAC; "": none.
func (a *aliases) serverAt(mac string) string {
	if a.link.macs.has(mac) {
		return a.cfg.Server
	}
	for name, p := range a.peers.all {
		if p.Claim != nil && (p.Claim.MAC == mac || slices.Contains(p.Claim.MACs, mac)) {
			return name
		}
	}
	return a.net.detector.ServerAt(mac)
}

// defend announces an alias that somebody else claims: at once, and again once the rival is silent,
// so that clients heard this server last.
func (a *alias) defend() {
	now := time.Now()
	a.defence.claimed = now
	if a.blocked == "" && now.Sub(a.defence.answered) >= defendPeriod && a.net.budget.Take(now, arpbudget.Packets(a.addr.Addr()), arpbudget.Plain) {
		a.defence.answered = now
		h := a.hold
		a.wg.Go(func() {
			if err := h.announceOnce(); !errors.Is(err, errMuted) {
				h.told(time.Now(), err)
			}
		})
	}
	a.awaitQuiet(rivalQuiet)
}

// awaitQuiet announces an alias again once its rival has been silent.
func (a *alias) awaitQuiet(wait time.Duration) {
	if a.defence.waits {
		return
	}
	a.defence.waits = true
	time.AfterFunc(wait, func() {
		a.post(func() {
			a.defence.waits = false
			switch left := rivalQuiet - time.Since(a.defence.claimed); {
			case !a.holds || a.blocked != "":
			case left > 0:
				a.awaitQuiet(left)
			default:
				a.announceAnew()
			}
		})
	})
}

// returned handles a server that is back after it was gone: it may hold an alias that is held here.
// This server asks who has the alias; if it is not the one to yield, it announces the alias as
// well.
func (a *aliases) returned(name string) {
	for _, x := range a.holding() {
		yields, other := x.other(time.Now())
		switch {
		case other != name || x.blocked != "":
		case yields:
			x.defence.claimed = time.Now()
			x.awaitQuiet(rivalQuiet)
		default:
			x.announceAnew()
		}
		if other == name && a.net.budget.Take(time.Now(), 1, arpbudget.Urgent) {
			// Who answers is heard like any other claim; a failed send is a link that is down.
			_ = a.net.wire.Ask(netops.Unspecified(x.addr.Addr()), x.addr.Addr(), nil)
		}
	}
}

// tendStrangers asks who else has the alias that was not asked for longest: a host that has it and
// says nothing answers clients all the same. Answers are heard like any other claim.
func (a *aliases) tendStrangers(now time.Time) {
	var next *alias
	for _, x := range a.holding() {
		if x.blocked == "" && x.foreign.mac == "" && now.Sub(x.strangerAsked) >= strangerAgain && (next == nil || x.strangerAsked.Before(next.strangerAsked)) {
			next = x
		}
	}
	if next != nil && a.net.budget.Take(now, 1, arpbudget.Poll) {
		next.strangerAsked = now
		// A failed send is a link that is down: nobody is reached, so nobody is in the way.
		_ = a.net.wire.Ask(netops.Unspecified(next.addr.Addr()), next.addr.Addr(), nil)
	}
}

// foreignHeard records that a host outside of the system uses an alias, and starts checking whether
// it still does.
func (a *alias) foreignHeard(mac string) {
	a.foreign.at = time.Now()
	if a.foreign.mac != "" { // the first one is reported until it is gone, however many there are
		return
	}
	a.foreign.mac = mac
	a.journal.conflict(a.lim, fmt.Sprintf("the alias %s is used by %s, which is no server of this system", a.aliasOf(a.lim).Addr(), mac))
	a.askForeign(0)
}

// askForeign probes for an alias, beside the main loop, until no foreign host answers. free is the
// number of unanswered probes in a row.
func (a *alias) askForeign(free int) {
	period, tries := freePeriod, 1
	if a.holds {
		period, tries = foreignPeriod, foreignTries
	}
	n, alias := a.net, a.aliasOf(a.lim).Addr()
	if free >= tries || !alias.IsValid() {
		a.foreignGone()
		return
	}
	a.wg.Go(func() {
		select {
		case <-a.ctx.Done():
			return
		case <-time.After(period):
		}
		mac, inUse, err := a.probeAlias(a.ctx, n, alias, arpbudget.Poll)
		a.post(func() {
			if a.foreign.mac == "" {
				return // settled by another event
			}
			free++
			switch others := inUse && a.serverAt(mac.String()) == "" && (!a.holds || !a.tellsFor(mac.String())); {
			case others:
				a.foreign.mac, free = mac.String(), 0
			case err != nil, a.holds && time.Since(a.foreign.at) < foreignPeriod: // an error says nothing
				free = 0
			}
			a.askForeign(free)
		})
	})
}

// foreignGone records that a foreign host is gone. A LIM that waits for its alias is started.
func (a *alias) foreignGone() {
	a.journal.conflict(a.lim, fmt.Sprintf("%s does not use the alias of LIM %d any more", a.foreign.mac, a.lim))
	a.foreign.mac = ""
	if a.holds {
		a.announceAnew()
	} else {
		a.freed(a.lim)
	}
}
