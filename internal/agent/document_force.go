package agent

import (
	"fmt"
	"net/netip"
	"slices"

	"mxcluster/clusterconf"
	"mxcluster/internal/detector"
)

// setDocument makes the stored document the one that this agent works by.
func (a *Agent) setDocument(stored *clusterconf.Encoded) error {
	d, self := a.docs.withSelf(stored.Document)
	if self == nil {
		return fmt.Errorf("server %s is not in the cluster document", a.cfg.Server)
	}
	former := a.net
	if err := a.leaveAliases(d, self.Base); err != nil {
		return fmt.Errorf("taking off an alias that is none any more: %w", err)
	}
	if err := a.ensureBases(self, bases(d, self)); err != nil {
		return fmt.Errorf("making sure of base address %s: %w", self.Base, err)
	}
	delete(a.prepared, self.Base)
	if at := d.Gossip(self); a.net == nil || a.net.base != at || a.net.named != self.Interface {
		if err := a.openNetwork(self, at); err != nil {
			return err
		}
	}
	if a.doc == nil || a.doc.Revision != d.Revision {
		a.journal.document(d)
	}
	a.noteMoves(a.doc, d)
	a.removeOutdated(a.doc, d)
	a.lookAtLeaving()
	a.doc, a.docs.stored, a.hash = d, stored, stored.Hash()
	a.docs.remember(stored)
	a.docs.noteRemoved(stored.Document, self)
	a.superviseOthers()
	a.noteFormer(former)
	if err := a.leaveBase(d, self, former); err != nil {
		return fmt.Errorf("taking off the former base: %w", err)
	}
	if a.keeper != nil && former != nil && former != a.net {
		a.keeper.Reconnect() // the former base is an alias, or gone
	}
	a.orders.orderEarly()
	return nil
}

// noteFormer marks the alias that was this server's base as being here.
func (a *Agent) noteFormer(old *network) {
	if old == nil || old.base == a.net.base {
		return
	}
	for _, c := range a.doc.Clusters {
		for _, m := range c.LIMs {
			if m.Alias != old.base {
				continue
			}
			if l := a.lims.of(m.LIM); !l.alias.holds {
				l.alias.former, l.alias.addr = true, m.Alias
			}
		}
	}
}

// removeOutdated removes the data versions that a new document makes
// incompatible (spec ch. 9), beside the main loop.
func (a *Agent) removeOutdated(old, d *clusterconf.Document) {
	if old == nil {
		return
	}
	for _, lim := range clusterconf.Outdated(old, d) {
		a.wg.Go(func() {
			switch removed, err := a.deps.Prune(a.ctx, lim); {
			case err != nil:
				a.log.Error("removing data versions that no longer fit", "lim", lim, "err", err)
			case removed > 0:
				a.log.Info("removed data versions that no longer fit", "lim", lim, "versions", removed)
			}
		})
	}
}

// superviseOthers tells gossip and the detector which servers there are.
func (a *Agent) superviseOthers() {
	a.peers.hearsay()
	peers := map[string][]netip.AddrPort{}
	for _, s := range a.doc.Servers {
		if s.Name == a.cfg.Server {
			continue
		}
		peers[s.Name] = a.peers.addrsOf(&s)
	}
	a.net.pool.SetPeers(peers)
	hosts := map[string]detector.Server{}
	for _, name := range a.mates() {
		s := a.doc.Server(name)
		p := a.peers.of(name)
		hosts[name] = detector.Server{Base: s.Base.Addr(), Alias: a.aliasOf(s.LIM).Addr(), Gossiped: p.at, Rival: a.sharesAliasWith(name)}
	}
	a.net.detector.SetServers(hosts, a.silenceLimit())
	a.link.lookAtGateways()
}

// mostFormers bounds the former addresses that are kept of a server.
const mostFormers = 8

// noteMoves remembers where every server that the new document moves was heard until
// then, until that server is heard to work by it. One that misses several documents is
// where the first of them found it.
func (a *Agent) noteMoves(old, d *clusterconf.Document) {
	if old == nil {
		return
	}
	for _, s := range d.Servers {
		was := old.Server(s.Name)
		if was == nil || s.Name == a.cfg.Server {
			continue
		}
		p, at := a.peers.of(s.Name), old.Gossip(was)
		if at != d.Gossip(&s) && len(p.formers) < mostFormers && !slices.Contains(p.formers, at.Addr()) {
			p.formers, a.kept.unsaved = append(p.formers, at.Addr()), true
		}
	}
}
