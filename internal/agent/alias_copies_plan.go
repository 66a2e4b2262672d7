package agent

import (
	"net/netip"
	"time"

	"mxcluster/netops"
)

const (
	copyFirst    = time.Second     // from the second time on that a copy of an alias is added, its removal waits; doubled each time
	copyLongest  = time.Minute     // at the most
	copyForgot   = 5 * time.Minute // without one, after which the next is the first again
	copyMemory   = time.Minute     // how long one that is gone is told of, besides what is written down
	lookForFiles = 15 * time.Second
)

// place is where an alias is on this server: an interface and a prefix.
type place struct {
	ifname string
	prefix netip.Prefix
}

// aliasState is what this server knows of one alias, to judge where it is found.
type aliasState struct {
	alias     netip.Prefix
	ifname    string // of the base address: where the alias belongs
	ours      bool   // it is here by right: held, blocked or not, or the base until now
	active    bool   // it serves from here
	taking    bool   // it is being taken, put back or given up at this moment
	elsewhere string // server where its LIM is active; "": none is known
}

// fate is what becomes of an address of this server.
type fate int

const (
	belongs    fate = iota // it is no copy
	stays                  // it is denied, and left where it is
	isTakenOff             // it is denied, or a second copy, and goes
)

// loopback is where load balancers and some scripts give a server an address that only
// its own programs are to use: denied it harms nobody, and taken off it would be missed.
const loopback = "lo"

// judge decides what becomes of an alias found at a place. One that serves from here
// goes on; a copy of it goes. Where another server serves, whatever is here goes, but
// from loopback. Else it stays, and stays denied: it may be all that is left of the
// address.
func (s aliasState) judge(at place) fate {
	where := at == place{s.ifname, s.alias}
	switch {
	case where && (s.ours || s.taking):
		return belongs
	case s.active || s.elsewhere != "" && at.ifname != loopback:
		return isTakenOff
	}
	return stays
}

// judgeAll decides about all places of an alias; it returns those that go, or else
// those that stay though the alias does not belong there.
func (s aliasState) judgeAll(places []place) (fate, []place) {
	at := map[fate][]place{}
	for _, p := range places {
		f := s.judge(p)
		at[f] = append(at[f], p)
	}
	for _, f := range []fate{isTakenOff, stays} {
		if len(at[f]) > 0 {
			return f, at[f]
		}
	}
	return belongs, nil
}

// found are the places of an alias among all addresses of the server, with any prefix.
func found(all []netops.Address, alias netip.Addr) []place {
	var places []place
	for _, x := range all {
		if x.Prefix.Addr() == alias {
			places = append(places, place{x.Interface, x.Prefix})
		}
	}
	return places
}

// adder is whoever adds an alias to this server.
type adder struct {
	times  int       // in a row that a copy was taken off
	last   time.Time // when one was there last
	next   time.Time // when the next is taken off, not before
	places []place   // of the last copies
	active string    // where the LIM is active; "": unknown
	fate   fate
	there  bool // there are copies now

	asked bool      // its files are being looked for
	files time.Time // when that was done last
	by    string    // what brings it up, and what to do; "": nothing was found
}

// seen notes copies that are there now.
func (d *adder) seen(now time.Time, places []place, s aliasState, f fate) {
	if now.Sub(d.last) > copyForgot {
		d.times, d.next = 0, time.Time{}
	}
	d.last, d.places, d.active, d.fate = now, places, s.elsewhere, f
}

// takenOff notes that copies were, and has the next one wait the longer the more often
// somebody adds them.
func (d *adder) takenOff(now time.Time) {
	d.times++
	d.next = now.Add(min(copyFirst<<min(d.times-1, 10), copyLongest))
	if d.times == 1 {
		d.next = now
	}
}

// told reports whether it is still worth an alarm.
func (d *adder) told(now time.Time) bool {
	return d.by != "" || now.Sub(d.last) <= copyMemory
}
