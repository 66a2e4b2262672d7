package agent

import (
	"cmp"
	"net/netip"
	"slices"

	"mxcluster/clusterconf"
	"mxcluster/internal/detector"
	"mxcluster/internal/detector/evidence"
	"mxcluster/internal/failover"
)

// mostFar bounds the servers of other clusters that are used as witnesses.
const mostFar = 3

// witnessesBeside returns the witnesses outside of the own cluster, by document and kernel.
func (a *link) witnessesBeside(gateways []netip.Addr) detector.WitnessPlan {
	mine := append(a.mates(), a.cfg.Server)
	p := detector.WitnessPlan{Subnet: a.net.base.Masked(), Far: farWitnesses(a.doc, a.cfg.Server, mine, a.net.base.Masked()),
		Taken: map[netip.Addr]bool{}, MACs: map[string]bool{}}
	for _, gw := range gateways {
		if p.Subnet.Contains(gw) || a.net.base.Addr().Is6() && gw.Is6() && gw.IsLinkLocalUnicast() {
			p.Gateways = append(p.Gateways, gw)
			p.Taken[gw] = true
		}
	}
	for _, s := range a.doc.Servers {
		p.Taken[s.Base.Addr()], p.Taken[a.doc.Gossip(&s).Addr()] = true, true
	}
	for _, alias := range aliasesOf(a.doc) {
		p.Taken[alias.Addr()] = true
	}
	for _, mac := range a.macs.list() {
		p.MACs[mac] = true
	}
	for _, x := range a.peers.all {
		if x.Claim == nil {
			continue
		}
		for _, mac := range append(slices.Clone(x.Claim.MACs), x.Claim.MAC) {
			p.MACs[mac] = true
		}
	}
	return p
}

// farWitnesses returns servers of other clusters on a subnet: those that follow this server in the
// list, so that no server is polled by all.
func farWitnesses(d *clusterconf.Document, self string, mine []string, subnet netip.Prefix) map[netip.Addr]string {
	if len(mine) < 2 {
		return nil // nothing to take over
	}
	far := slices.DeleteFunc(slices.Clone(d.Servers), func(s clusterconf.Server) bool {
		return slices.Contains(mine, s.Name) || !subnet.Contains(s.Base.Addr())
	})
	next, _ := slices.BinarySearchFunc(far, self, func(s clusterconf.Server, name string) int { return cmp.Compare(s.Name, name) })
	turned := slices.Concat(far[next:], far[:next])
	out := map[netip.Addr]string{}
	for _, s := range turned[:min(len(turned), mostFar)] {
		out[s.Base.Addr()] = s.Name
	}
	return out
}

// gateways are the gateways of this server's routes, which may change at any time.
type gateways struct {
	all     []netip.Addr
	changed bool // the kernel reported a change of routes
	looking bool
}

// lookAtGateways lists the gateways of the kernel's routes, beside the main loop, as there may be
// many routes.
func (a *link) lookAtGateways() {
	a.judgeByGateways() // the known ones
	if a.gateways.looking {
		a.gateways.changed = true
		return
	}
	a.gateways.looking, a.gateways.changed = true, false
	n := a.net
	a.wg.Go(func() {
		all, err := a.deps.Kernel.Gateways(n.ifname)
		a.post(func() {
			a.gateways.looking = false
			if err != nil {
				a.log.Warn("looking for gateways", "interface", n.ifname, "err", err)
				return
			}
			if !slices.Equal(all, a.gateways.all) {
				a.gateways.all = all
				a.judgeByGateways()
			}
		})
	})
}

// judgeByGateways uses the known gateways as witnesses, and keeps them in the neighbour cache.
func (a *link) judgeByGateways() {
	var gw netip.Addr
	if len(a.gateways.all) > 0 {
		gw = a.gateways.all[0]
	}
	a.cacheFor(gw)
	a.tellOwners(a.gateways.all)
	a.net.detector.SetWitnesses(a.witnessesBeside(a.gateways.all))
}

// witnessed returns what the witnesses say about whether this server is isolated.
func (a *link) witnessed() evidence.Witnesses {
	var answer []string
	for _, name := range a.mates() {
		if p := a.peers.all[name]; p != nil && (p.Liveness == failover.Alive || p.Liveness == failover.AgentLost) {
			answer = append(answer, name)
		}
	}
	return a.net.detector.Witnesses(answer)
}
