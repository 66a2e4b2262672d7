package clusterconf

import (
	"net/netip"
	"slices"
)

// Direction says which way a server's addresses are exchanged.
type Direction string

// The two directions of an exchange.
const (
	// DirectionEnter: the LIM enters a cluster. The old base stays on the
	// interface as the alias, the new base is added.
	DirectionEnter Direction = "enter"
	// DirectionLeave: the LIM leaves its cluster. The alias stays on the
	// interface as the base, the old base is removed last.
	DirectionLeave Direction = "leave"
	// DirectionMove: the base is replaced by another address, and that is all.
	DirectionMove Direction = "move"
	// DirectionRename: the base stays, on an interface of another name.
	DirectionRename Direction = "rename"
)

// Elsewhere reports whether the interface may be another one than before.
func (d Direction) Elsewhere() bool { return d == DirectionMove || d == DirectionRename }

// Exchange is what one server must do to its addresses because its LIM enters
// or leaves a cluster (spec ch. 9). Clients keep the address they know: it is
// the alias in the cluster and the base outside.
type Exchange struct {
	Server    string       `json:"server"`
	LIM       int          `json:"lim"`
	Interface string       `json:"interface"`
	OldBase   netip.Prefix `json:"oldBase"`
	NewBase   netip.Prefix `json:"newBase"`
	Alias     netip.Prefix `json:"alias"` // the old base on entering, the new base on leaving
	Direction Direction    `json:"direction"`
}

// Reversed returns the exchange that undoes e.
func (e Exchange) Reversed() Exchange {
	e.OldBase, e.NewBase = e.NewBase, e.OldBase
	switch e.Direction {
	case DirectionEnter:
		e.Direction = DirectionLeave
	case DirectionLeave:
		e.Direction = DirectionEnter
	}
	return e
}

// Exchanges lists the exchanges that lead from one document to another, in the
// order of the servers in after. A server whose LIM stays in a cluster and gets
// another base, as a rollback can have it, leaves and enters again.
//
// A server whose LIM does not keep the address that clients know was given new
// addresses by hand; that is no exchange, and it is not listed.
func Exchanges(before, after *Document) []Exchange {
	var all []Exchange
	was, is := placesIn(before), placesIn(after)
	for _, s := range after.Servers {
		from, to := was[s.Name], is[s.Name]
		if from == to || from.lim != to.lim || from.home() != to.home() {
			continue
		}
		e := Exchange{Server: s.Name, LIM: s.LIM, Interface: s.Interface, Alias: to.home()}
		if from.alias.IsValid() {
			e.OldBase, e.NewBase, e.Direction = from.base, e.Alias, DirectionLeave
			all = append(all, e)
		}
		if to.alias.IsValid() {
			e.OldBase, e.NewBase, e.Direction = e.Alias, to.base, DirectionEnter
			all = append(all, e)
		}
	}
	return all
}

// Moves lists the servers whose base, or its interface, is another one after an edit,
// without an exchange of addresses.
func Moves(before, after *Document) []Exchange {
	var all []Exchange
	exchanges := Exchanges(before, after)
	for _, s := range after.Servers {
		was := before.Server(s.Name)
		if was == nil || was.Base == s.Base && was.Interface == s.Interface || slices.ContainsFunc(exchanges, func(e Exchange) bool { return e.Server == s.Name }) {
			continue
		}
		e := Exchange{Server: s.Name, LIM: s.LIM, Interface: s.Interface, OldBase: was.Base, NewBase: s.Base, Direction: DirectionMove}
		if was.Base == s.Base {
			e.Direction = DirectionRename
		}
		all = append(all, e)
	}
	return all
}

// place is where a regular server stands.
type place struct {
	lim         int
	base, alias netip.Prefix // no alias: in no cluster
}

// home is the address that clients know.
func (p place) home() netip.Prefix {
	if p.alias.IsValid() {
		return p.alias
	}
	return p.base
}

// placesIn returns the places of the regular servers of a document by name.
func placesIn(d *Document) map[string]place {
	aliases := map[int]netip.Prefix{}
	for _, c := range d.Clusters {
		for _, m := range c.LIMs {
			aliases[m.LIM] = m.Alias
		}
	}
	all := map[string]place{}
	for _, s := range d.Servers {
		if s.LIM != 0 {
			all[s.Name] = place{s.LIM, s.Base, aliases[s.LIM]}
		}
	}
	return all
}
