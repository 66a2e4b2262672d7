package agent

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// tellOwners tells the detector which addresses are in use and by whom, from the document and the
// kernel's routes.
func (a *link) tellOwners(gateways []netip.Addr) {
	owners := map[netip.Addr]string{}
	for _, gw := range gateways {
		owners[gw] = "gateway " + gw.String() // not a server's name
	}
	var taken []netip.Addr
	for _, p := range aliasesOf(a.doc) {
		taken = append(taken, p.Addr())
	}
	for i := range a.doc.Servers {
		s := &a.doc.Servers[i]
		owners[s.Base.Addr()] = s.Name
		if s.Name == a.cfg.Server {
			taken = append(taken, a.net.base.Addr())
			continue
		}
		for _, at := range a.peers.addrsOf(s) {
			taken = append(taken, at.Addr())
		}
	}
	a.net.detector.SetOwners(a.net.base.Masked(), owners, taken)
}

// undetectedDeaths lists, on a standby, the servers whose death might go undetected: another host
// answers ARP for them, and they answer no echo, so that the answers cannot be told apart.
func (a *fitness) undetectedDeaths() []string {
	self, now := a.doc.Server(a.cfg.Server), time.Now()
	if self == nil || !self.Standby || a.net == nil {
		return nil
	}
	seen := a.net.detector.Sightings()
	var why []string
	for _, x := range a.net.detector.StandIns(func(string) bool { return true }, now) {
		for name, g := range seen {
			if g.EverGossip && !g.Echoes && !x.Proven && x.Server == name {
				why = append(why, fmt.Sprintf("%s answers ARP for %s, which answers no echo (ICMP): its death would not be seen; let echoes through to it", x.MAC, name))
			}
			if g.EverGossip && !g.Echoes && x.Server == "" {
				why = append(why, fmt.Sprintf("%s answers ARP for addresses of others, and %s answers no echo (ICMP): its death may be seen late; let echoes through to it", x.MAC, name))
			}
		}
	}
	slices.Sort(why)
	return why
}
