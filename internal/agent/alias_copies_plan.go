package agent

import (
	"net/netip"
	"time"

	"mxcluster/netops"
)

const (
	copyFirst    = time.Second     // delay of the second removal of a copy in a row; doubled each time
	copyLongest  = time.Minute     // upper bound of the delay
	copyForgot   = 5 * time.Minute // without a copy, until the delay starts from the beginning
	copyMemory   = time.Minute     // how long a removed copy is reported, unless a file adds it
	lookForFiles = 15 * time.Second
)

// place is where an alias is present: interface and prefix.
type place struct {
	ifname string
	prefix netip.Prefix
}

// aliasState is what this server knows of one alias, for judging its places.
type aliasState struct {
	alias     netip.Prefix
	ifname    string // of the base address: where the alias belongs
	ours      bool   // present by right: held, blocked or not, or the former base
	active    bool   // active here
	taking    bool   // being taken, put back or given up at this moment
	elsewhere string // server where the LIM is active; "": none is known
}

// fate is what happens to an address.
type fate int

const (
	belongs    fate = iota // it is where it should be
	stays                  // a copy that stays, denied
	isTakenOff             // a copy that is removed
)

// loopback is the interface where load balancers and scripts add an address for local use. While it
// is denied it does no harm there, and removing it would break its use.
const loopback = "lo"

// judge decides about an alias at a place. If it is active here, its copies are removed. If it is
// active on another server, all places are removed except on loopback. Otherwise it stays, denied:
// it may be the only copy left.
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

// judgeAll decides about all places of an alias. It returns those to remove; if there are none,
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

// found returns the places of an alias among addresses, with any prefix length.
func found(all []netops.Address, alias netip.Addr) []place {
	var places []place
	for _, x := range all {
		if x.Prefix.Addr() == alias {
			places = append(places, place{x.Interface, x.Prefix})
		}
	}
	return places
}

// adder is the record of an alias that something adds to this server.
type adder struct {
	times  int       // removals in a row
	last   time.Time // last time that a copy was present
	next   time.Time // earliest time of the next removal
	places []place   // of the last copies
	active string    // server where the LIM is active; "": unknown
	fate   fate
	there  bool // copies are present now

	asked bool      // a search for the file is running
	files time.Time // last search
	by    string    // the file that was found, and the remedy; "": none was found
}

// seen records copies that are present now.
func (d *adder) seen(now time.Time, places []place, s aliasState, f fate) {
	if now.Sub(d.last) > copyForgot {
		d.times, d.next = 0, time.Time{}
	}
	d.last, d.places, d.active, d.fate = now, places, s.elsewhere, f
}

// takenOff records a removal, and delays the next one by backoff.
func (d *adder) takenOff(now time.Time) {
	d.times++
	d.next = now.Add(min(copyFirst<<min(d.times-1, 10), copyLongest))
	if d.times == 1 {
		d.next = now
	}
}

// told reports whether the alarm is still due.
func (d *adder) told(now time.Time) bool {
	return d.by != "" || now.Sub(d.last) <= copyMemory
}
