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

// Why an alias is blocked.
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
	claimPeriod    = 5 * time.Millisecond   // claims of one server that follow closer are not told
	strangerPeriod = 50 * time.Millisecond  // of one station that is no server
	maxStrangers   = 40                     // claims in a second that are told of all of those together
	maxClaims      = 1000                   // stations that are told apart
	defendPeriod   = 100 * time.Millisecond // from one answer to a rival's claim to the next
	rivalQuiet     = 150 * time.Millisecond // after a rival's last claim: what it said is out by then
	foreignPeriod  = time.Second            // looks at whether a foreign host still has an alias held here
	foreignTries   = 3                      // looks without an answer after which it has not
	freePeriod     = 150 * time.Millisecond // looks at whether an alias wanted here is free by now
	foreignRetry   = 10 * time.Second       // a start is tried again then, whatever those say
)

// heldSet are the aliases held here, and since when, for those who listen.
type heldSet struct {
	mu      sync.Mutex
	since   map[netip.Addr]time.Time
	servers map[string][]string // MAC addresses that the other servers say they have
}

// of is since when an alias is held here.
func (h *heldSet) of(alias netip.Addr) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.since[alias]
}

// know notes which MAC addresses a server says it has.
func (h *heldSet) know(server string, macs []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.servers == nil {
		h.servers = map[string][]string{}
	}
	h.servers[server] = macs
}

// knows reports whether a MAC address is that of another server, by its own word.
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

// claimed returns the alias held here that a frame claims. A frame that was
// received before it was taken tells of the holder before.
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
	probe bool // it asks whether somebody has it
	at    time.Time
}

// listen tells the main loop of other stations that claim an alias held here.
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

// throttle bounds how many claims the main loop is told of. Those with the MAC address of
// a server of the system have a bound of their own for each, so that no number of
// strangers keeps them out.
type throttle struct {
	last     map[arpClaim]time.Time // by claims without their time
	began    time.Time              // of the second in which strangers are counted
	stranger int
}

func (t *throttle) admits(c arpClaim, server bool) bool {
	at := c.at
	c.at = time.Time{}
	if at.Sub(t.began) >= time.Second {
		t.began, t.stranger = at, 0
	}
	switch {
	case t.last == nil || len(t.last) > maxClaims: // stations are not so many: somebody makes them up
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

// claimed answers another station's claim to an alias held here.
func (a *aliases) claimed(c arpClaim) {
	a.nothingNew = true
	for _, x := range a.holding() {
		if x.addr.Addr() != c.alias {
			continue
		}
		yields, other := x.other(time.Now())
		switch owner := a.serverAt(c.mac); {
		case owner == a.cfg.Server: // another card of this server in the same LAN, or what it was before
		case c.probe && owner != other: // it asks before it does anything, as it should
		case owner == other && x.otherBlock.answered(time.Now()): // to what this side asked: it knows itself passive
			a.nothingNew = false
			x.defend()
		case x.tellsFor(c.mac): // another one's answer, or one of the past
		case owner == "" || owner != other:
			a.nothingNew = false
			x.foreignHeard(c.mac)
			x.defend()
		default:
			x.rivalClaims(c.mac, c.at, c.probe, yields)
		}
	}
}

// serverAt names the server of the system that has a MAC, "" if none has.
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

// defend announces an alias that somebody else claims, at once, and again when
// the rival has been quiet for a while: else its claim would be the last thing
// that the clients heard.
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

// awaitQuiet announces an alias anew once its rival has been quiet.
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

// returned meets a server that was gone and answers again: it may have an alias
// that is held here. The side that yields asks first; the other one announces.
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

// foreignHeard notes that a station of no server uses an alias, and finds out
// when it does not any more.
func (a *alias) foreignHeard(mac string) {
	a.foreign.at = time.Now()
	if a.foreign.mac != "" { // that one is named until it is gone, however many there are
		return
	}
	a.foreign.mac = mac
	a.journal.conflict(a.lim, fmt.Sprintf("the alias %s is used by %s, which is no server of this system", a.aliasOf(a.lim).Addr(), mac))
	a.askForeign(0)
}

// askForeign asks for an alias, beside the main loop, until no foreign host
// answers; free is how often none did.
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
				return // found out by somebody else
			}
			free++
			switch others := inUse && a.serverAt(mac.String()) == ""; {
			case others:
				a.foreign.mac, free = mac.String(), 0
			case err != nil, a.holds && time.Since(a.foreign.at) < foreignPeriod: // with an error it is not known
				free = 0
			}
			a.askForeign(free)
		})
	})
}

// foreignGone forgets a foreign host; a LIM that waited for its alias is started then.
func (a *alias) foreignGone() {
	a.journal.conflict(a.lim, fmt.Sprintf("%s does not use the alias of LIM %d any more", a.foreign.mac, a.lim))
	a.foreign.mac = ""
	if a.holds {
		a.announceAnew()
	} else {
		a.freed(a.lim)
	}
}
