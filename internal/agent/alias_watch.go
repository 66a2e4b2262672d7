package agent

import (
	"net/netip"
	"time"

	"mxcluster/internal/failover"
	"mxcluster/netops"
)

// enoughInstead is how many answers for the base, and none for the alias, tell that a
// server has given its alias up, while it is asked for both alike. Were it still to
// answer for both, then each answer would be as likely to be the one as the other,
// whatever the loss on the line: so many of one kind in a row come once in 10^9.
const enoughInstead = 30

// aliasWatch asks who answers for a LIM's alias while its holder is in doubt.
type aliasWatch struct {
	addr    netip.Addr
	watch   failover.Watch
	since   time.Time
	mac     string // of the last answer; "": none yet
	next    time.Time
	polled  time.Time
	missed  int // questions since the last answer
	instead int // answers for its holder's base since then, in doubt
	quiet   bool
}

// heard takes in an answer for the alias.
func (a *aliasWatch) heard(o netops.Observation) {
	a.watch.Heard(o.Time)
	a.mac, a.missed, a.instead = o.SenderMAC.String(), 0, 0
}

// poll has everybody asked for the alias.
func (a *aliasWatch) poll(now time.Time) arpQuestion {
	a.watch.Polled(now)
	if now.Sub(a.polled) > a.watch.Limit/2 {
		a.missed, a.instead = 0, 0 // this process was away, and may have missed answers
	}
	a.missed++
	a.polled, a.next = now, now.Add(a.watch.Period(now))
	return arpQuestion{target: a.addr}
}

// silent reports whether nobody has the alias: nothing was heard for the limit, or
// its last holder's kernel answers for its base, and no longer for the alias. The
// latter says so at once when a lease has run out, for a blip would silence both.
func (a *aliasWatch) silent(now time.Time) bool {
	return a.watch.Silent(now) || a.missed >= enoughInstead && a.instead >= enoughInstead
}

// instead counts an answer for a server's base on behalf of the aliases that it held;
// the caller holds the lock.
func (s *supervisor) instead(o netops.Observation) {
	for _, a := range s.aliases {
		if o.Op == netops.Reply && a.watch.InDoubt() && a.mac == o.SenderMAC.String() {
			a.instead++
		}
	}
}

// baseOf is the question for the base of an alias' last holder, beside that for an
// alias in doubt; none otherwise.
func (s *supervisor) baseOf(a *aliasWatch) arpQuestion {
	if !a.watch.InDoubt() {
		return arpQuestion{}
	}
	for _, h := range s.hosts {
		if h.mac != nil && h.mac.String() == a.mac {
			return arpQuestion{h.addrs.base, h.mac}
		}
	}
	return arpQuestion{}
}
