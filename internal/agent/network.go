package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/arpbudget"
	"mxcluster/internal/detector"
	"mxcluster/internal/failover"
	"mxcluster/internal/member"
	"mxcluster/netops"
)

// network is how this server is reached under one base address: gossip,
// supervision and ARP. It is replaced as a whole when the document moves the
// base, as `create` does. Its fields do not change.
type network struct {
	base     netip.Prefix // the server's, or its former one as long as that is where others hear it
	ifname   string       // the kernel's own name
	named    string       // as the document has it
	wire     Wire
	budget   *arpbudget.Budget // of what is sent over it
	pool     Pool
	detector *detector.Detector
	warm     warmth
	cancel   context.CancelFunc
	once     sync.Once     // it is closed
	closed   chan struct{} // closed when it is
}

// setDocument makes the stored document the one that this agent works by.
func (a *Agent) setDocument(stored *clusterconf.Encoded) error {
	d, self := a.withSelf(stored.Document)
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
	delete(a.readied, self.Base)
	if at := d.Gossip(self); a.net == nil || a.net.base != at || a.net.named != self.Interface {
		if err := a.openNetwork(self, at); err != nil {
			return err
		}
	}
	if a.doc == nil || a.doc.Revision != d.Revision {
		a.recordDocument(d)
	}
	a.noteMoves(a.doc, d)
	a.removeOutdated(a.doc, d)
	a.lookAtLeaving()
	a.doc, a.stored, a.hash = d, stored, stored.Hash()
	a.remember(stored)
	a.noteRemoved(stored.Document, self)
	a.superviseOthers()
	a.noteFormer(former)
	if err := a.leaveBase(d, self, former); err != nil {
		return fmt.Errorf("taking off the former base: %w", err)
	}
	if a.keeper != nil && former != nil && former != a.net {
		a.keeper.Reconnect() // the former base is an alias, or gone
	}
	a.orderEarly()
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

// openNetwork starts gossip and supervision on a base address, in place of the
// former one.
func (a *Agent) openNetwork(self *clusterconf.Server, base netip.Prefix) error {
	old := a.net
	link, err := a.deps.Kernel.Link(self.Interface)
	if err != nil {
		return err
	}
	wire, err := a.deps.OpenWire(link.Name)
	if err != nil {
		return err
	}
	if old != nil && old.base.Addr() == base.Addr() {
		old.close(a.log) // two cannot listen on one address
		old = nil
	}
	if a.closing != nil && a.closing.base.Addr() == base.Addr() {
		<-a.closing.closed // back again before that was done
	}
	pool, err := a.deps.OpenPool(netip.AddrPortFrom(base.Addr(), a.cfg.GossipPort), a.keyring.Keys().Secrets())
	if err != nil {
		return errors.Join(err, wire.Close())
	}
	ctx, cancel := context.WithCancel(a.ctx)
	n := &network{base: base, ifname: link.Name, named: self.Interface, wire: wire, budget: arpbudget.New(a.cfg.ARPBudget, wire.Sent), pool: pool, cancel: cancel, closed: make(chan struct{})}
	n.detector = detector.New(detector.Config{Self: base.Addr(), Wire: wire, Budget: n.budget, Ask: pool.Ask, Point: a.pointer(link.Name), Changed: func() { a.post(func() {}) }})
	a.tellClaims(n.detector)
	if a.net != nil && a.net.ifname == n.ifname {
		n.detector.Continue(a.net.detector)
	}
	if a.net == nil && link.Enabled {
		a.link.enabled = a.started.Add(-baseGrace)
	}
	a.net, a.link.mac, a.link.index, a.published = n, link.MAC.String(), link.Index, ""
	if old != nil {
		a.wg.Go(func() { old.close(a.log) }) // saying goodbye takes a while
		a.closing = old
	}
	for _, l := range a.lims.all {
		if l.alias.holds {
			l.alias.announceTaken() // over the new wire
		}
	}
	a.wg.Go(func() { n.detector.Run(ctx) })
	a.wg.Go(func() { a.aliases.listen(ctx, wire) })
	a.wg.Go(func() { a.keepWarm(ctx, n) })
	a.wg.Go(func() {
		for ev := range pool.Events() {
			if n.listen(ev) {
				a.post(func() { a.heard(n, ev) })
			}
		}
	})
	return nil
}

// close leaves the pool and ends supervision. It may be called again: where the next
// network cannot be opened, this one stays in its place until one can.
func (n *network) close(log *slog.Logger) {
	n.once.Do(func() { n.end(log) })
}

func (n *network) end(log *slog.Logger) {
	defer close(n.closed)
	if err := n.pool.Leave(500 * time.Millisecond); err != nil {
		log.Debug("leaving the pool", "err", err)
	}
	n.cancel()
	if err := errors.Join(n.pool.Close(), n.wire.Close()); err != nil {
		log.Warn("closing the network", "base", n.base, "err", err)
	}
}

// pointer returns what keeps the kernel from asking for servers that are gone, each
// time that something is sent to them.
func (a *Agent) pointer(ifname string) func(netip.Addr, net.HardwareAddr) {
	return func(addr netip.Addr, mac net.HardwareAddr) {
		if err := a.deps.Kernel.Point(ifname, addr, mac); err != nil {
			a.log.Debug("telling the kernel where a server was", "server", addr, "err", err)
		}
	}
}

// tellClaims tells a detector which MAC addresses the servers say they have.
func (a *Agent) tellClaims(to *detector.Detector) {
	to.SetMACs(a.cfg.Server, a.link.macs.list())
	for name, p := range a.peers.all {
		if p.claim != nil {
			to.SetMACs(name, append(slices.Clone(p.claim.MACs), p.claim.MAC))
		}
	}
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
	a.lookAtGateways()
}

// adopt takes hold of the LIMs that ran here before this agent started: an
// alias whose lease has not run out is renewed at once, so that nobody notices;
// an alias that is here without right is taken off.
// With the state lost, an alias with a lease is what tells that its LIM ran here,
// and any LIM's software may be up.
func (a *Agent) adopt(lost bool) error {
	for n, p := range a.kept.state.LIMs {
		l := a.lims.of(n)
		l.term, l.known, l.flaps, l.suspended, l.software.up = p.Term, p.Known, p.Flaps, p.Suspended, p.Loaded
		l.software.specs, l.alias.routes = p.Up, p.Routes
		if p.Active {
			l.state, l.since, l.software.up = failover.Starting, p.Since, true
		} else if p.Loaded {
			l.software.role = rolePassive // as far as it runs, it is not told to serve
		}
	}
	for _, entry := range a.doc.LIMs {
		if lost && a.concerns(entry.Number) {
			a.lims.of(entry.Number).software.up = true
		}
	}
	addrs, err := a.deps.Kernel.Addresses(a.net.ifname)
	if err != nil {
		return fmt.Errorf("looking for aliases of an earlier run: %w", err)
	}
	a.aliases.forgetBlocks()
	for _, c := range a.doc.Clusters {
		for _, m := range c.LIMs {
			if i := slices.IndexFunc(addrs, func(x netops.Address) bool { return x.Prefix == m.Alias }); i >= 0 {
				if lost && !addrs[i].Permanent {
					a.lims.of(m.LIM).state = failover.Starting
				}
				if err := a.adoptAlias(m, addrs[i]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// adoptAlias judges one alias that was found on this server at the start.
func (a *Agent) adoptAlias(m clusterconf.Member, here netops.Address) error {
	l := a.lims.of(m.LIM)
	regular := a.doc.RegularOf(m.LIM)
	switch {
	case l.state.Active():
		until := time.Now().Add(a.cfg.Lease)
		if !here.Permanent {
			until = time.Now().Add(here.Remaining)
		}
		a.recordAdopted(l)
		if a.keeper != nil {
			a.keeper.Adopt(l.number, until)
		}
		l.alias.holdOn(m.Alias, until)
		l.alias.adoptBlock()
		if here.Permanent && l.alias.hidden == "" {
			l.alias.hide(permanent)
		}
		l.alias.hold.kick <- struct{}{} // there may be little time left
		return nil
	case l.known.Term == 0 && regular != nil && regular.Name == a.cfg.Server:
		l.alias.former, l.alias.addr = true, m.Alias
		return nil // its base address until `create`: clients use it this moment
	}
	if here.Permanent {
		return nil // the system brought it up: it is denied, and goes when its LIM is heard elsewhere
	}
	a.recordAlias(m.LIM, m.Alias.Addr(), "left", fmt.Sprintf("the alias %s was left here by an earlier run; it is taken off", m.Alias.Addr()))
	if err := a.deps.Kernel.Drop(a.net.ifname, m.Alias); err != nil {
		return fmt.Errorf("taking off an alias that an earlier run left here: %w", err)
	}
	return nil
}

// kernelChanged looks after the addresses when the kernel says that they, or
// the link, changed.
func (a *Agent) kernelChanged(e netops.Event) {
	a.link.gateways.changed = a.link.gateways.changed || e.Routes || e.Links || e.Addresses // looked at once a second
	if e == (netops.Event{Routes: true}) {
		a.nothingNew = true
		return
	}
	a.checkLink()
	a.aliases.lookAtLink()
	if e.Blocks {
		a.aliases.mendBlocks()
		a.aliases.denials.look = true
	}
	a.copies.look()
	for _, l := range a.lims.all {
		if l.alias.hold != nil {
			select {
			case l.alias.hold.kick <- struct{}{}:
			default:
			}
		}
	}
	a.tendAddresses(time.Now())
	a.lookAtLeaving()
}

// readDocument takes the document from disk if it changed there. One that cannot
// be used leaves the former one in force.
func (a *Agent) readDocument() {
	was := a.notInForce
	if err := a.reload(); err != nil && (was == nil || was.Error() != err.Error()) {
		a.log.Error("the cluster document on disk is not in force", "revision", a.doc.Revision, "err", err)
	}
}

// reload puts the document on disk into force. One that is valid and cannot be, since a
// kernel or a port is not as it must be, is tried again every second.
func (a *Agent) reload() error {
	a.notInForce = nil
	found := a.deps.Documents.Look()
	d := found.Document
	switch {
	case found.Problem != nil:
		a.differs(found, found.Problem.Error())
		return found.Problem
	case d.Revision == a.doc.Revision && d.Hash() == a.hash:
		a.paper = paper{busy: a.paper.busy}
		return nil
	case a.storing: // it is looked at when that is done
		return nil
	case d.System != a.doc.System:
		err := fmt.Errorf("it is of system %s, this server belongs to %s", d.System, a.doc.System)
		a.differs(found, err.Error())
		return err
	case a.byHand(d):
		a.differs(found, "")
		return nil
	}
	if err := a.setDocument(d); err != nil {
		a.notInForce = fmt.Errorf("putting revision %d of the cluster document into force: %w", d.Revision, err)
		return a.notInForce
	}
	a.paper = paper{busy: a.paper.busy}
	return nil
}

// listen takes a sign of life; true when there is more to it than that, for the
// main loop to see.
func (n *network) listen(ev member.Event) bool {
	news := ev.Kind != member.BeatHeard
	if ev.At.IsZero() || ev.Kind == member.Refused { // no sign of life
		return news
	}
	return n.detector.Heard(detector.Word{From: ev.From, At: ev.At, Sent: ev.Sent, Stale: ev.Stale}) || news
}

// heard takes in what came from another server.
func (a *Agent) heard(n *network, ev member.Event) {
	if n != a.net {
		return
	}
	switch ev.Kind {
	case member.StateHeard:
		a.claimHeard(ev)
	case member.MessageHeard:
		a.messageHeard(ev)
	case member.Refused:
		a.notBelieved(ev)
	case member.NoteHeard:
		a.aliases.noteHeard(ev)
	}
}
