package detector

import (
	"bytes"
	"net"
	"net/netip"
	"time"

	"mxcluster/internal/detector/evidence"
	"mxcluster/netops"
)

// enoughInstead is how many answers for the base, and none for the alias, tell that a
// server has given its alias up, while it is asked for both alike. Were it still to
// answer for both, then each answer would be as likely to be the one as the other,
// whatever the loss on the line: so many of one kind in a row come once in 10^9.
const enoughInstead = 30

// aliasARP is how many ARP questions for an alias go out within the limit where the
// holder's kernel answers echoes, or ARP is to be rare.
const aliasARP = 10

// aliasWatch asks who answers for a LIM's alias while its holder is in doubt: by echo
// of its last holder, and by ARP of everybody.
type aliasWatch struct {
	addr    netip.Addr
	watch   evidence.Watch
	since   time.Time
	mac     string // of the last answer; "": none yet
	next    time.Time
	polled  time.Time
	asked   time.Time        // by ARP
	echoMAC net.HardwareAddr // whose kernel has answered an echo for it; nil: none has
	cached  time.Time        // last ARP answer with that MAC address, which a cache may have given
	missed  int              // questions since the last answer
	instead int              // answers for its holder's base since then, in doubt
	quiet   bool
}

// heard takes in an answer by ARP.
func (a *aliasWatch) heard(o netops.Observation) {
	a.mac = o.SenderMAC.String()
	if bytes.Equal(a.echoMAC, o.SenderMAC) {
		a.cached = later(a.cached, o.Time)
		return
	}
	a.watch.Heard(o.Time)
	a.missed, a.instead = 0, 0
}

// echoed takes in the answer of a kernel.
func (a *aliasWatch) echoed(e netops.Echo) {
	if e.Time.Sub(e.Asked) > a.watch.Limit {
		return
	}
	a.watch.Heard(e.Time)
	a.echoMAC, a.mac = e.MAC, e.MAC.String()
	a.missed, a.instead = 0, 0
}

// silent reports whether nobody has the alias: nothing was heard for the limit, or
// its last holder's kernel answers for its base, and no longer for the alias. The
// latter says so at once when a lease has run out, for a blip would silence both.
func (a *aliasWatch) silent(now time.Time) bool {
	return a.watch.Silent(now) && now.Sub(a.cached) >= a.watch.Limit || a.givenUp()
}

// givenUp reports whether its last holder's kernel says that it has it no longer.
func (a *aliasWatch) givenUp() bool { return a.missed >= enoughInstead && a.instead >= enoughInstead }

// pollAlias has a LIM's alias asked for.
func (d *Detector) pollAlias(a *aliasWatch, ask *questions, now time.Time) {
	if now.Sub(a.polled) > a.watch.Limit/2 {
		a.missed, a.instead = 0, 0 // this process was away, and may have missed answers
	}
	h := d.holderOf(a)
	arp := !d.unbounded() || a.echoMAC != nil
	arp = !arp || now.Sub(a.asked) >= a.watch.Limit/aliasARP
	if arp = arp && d.room(now, a.echoMAC != nil)(); arp {
		a.asked = now
		ask.arp = append(ask.arp, question{target: a.addr})
	}
	if h != nil && h.mac != nil {
		ask.echo = append(ask.echo, question{a.addr, h.mac})
	}
	if a.watch.InDoubt() && h != nil && h.mac != nil {
		// What it has given up shows beside what it has.
		if a.echoMAC != nil {
			ask.echo = append(ask.echo, question{h.addrs.Base, h.mac})
		} else if arp && d.room(now, false)() {
			ask.arp = append(ask.arp, question{h.addrs.Base, h.mac})
		}
	}
	if arp || a.echoMAC != nil {
		a.watch.Polled(now)
		a.missed++
	} else {
		a.watch.Looked(now)
	}
	a.polled, a.next = now, now.Add(a.watch.Period(now))
}

// holderOf returns the host that had an alias last, as far as it is known.
func (d *Detector) holderOf(a *aliasWatch) *host {
	var other *host
	for _, h := range d.hosts {
		switch {
		case h.mac != nil && h.mac.String() == a.mac:
			return h
		case h.addrs.Alias == a.addr:
			other = h
		}
	}
	return other
}

// instead counts an answer by ARP for a server's base on behalf of the aliases that it
// held; the caller holds the lock.
func (d *Detector) instead(o netops.Observation) {
	for _, a := range d.aliases {
		if o.Op == netops.Reply && a.watch.InDoubt() && a.echoMAC == nil && a.mac == o.SenderMAC.String() {
			a.instead++
		}
	}
}

// insteadEcho does so with the answer to an echo.
func (d *Detector) insteadEcho(e netops.Echo) {
	for _, a := range d.aliases {
		if a.watch.InDoubt() && bytes.Equal(a.echoMAC, e.MAC) {
			a.instead++
		}
	}
}

// GaveUp reports whether a MAC address that may still be told for a LIM's alias is one
// whose own kernel says that it has it no longer.
func (d *Detector) GaveUp(lim int, mac net.HardwareAddr) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	a := d.aliases[lim]
	return a != nil && a.givenUp() && bytes.Equal(a.echoMAC, mac)
}
