package agent

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/arpbudget"
	"mxcluster/internal/detector"
	"mxcluster/internal/member"
	"mxcluster/netops"
)

// network is how this server is reached at one base address: gossip, failure detector and ARP. It
// is replaced as a whole when the document changes the base, as `create` does. Its fields do not
// change.
type network struct {
	base     netip.Prefix // the server's base, or its former one while the others use that
	ifname   string       // the kernel's name of the interface
	named    string       // the document's name of it
	wire     Wire
	budget   *arpbudget.Budget // for ARP on the interface
	pool     Pool
	detector *detector.Detector
	cache    neighbourCache
	cancel   context.CancelFunc
	once     sync.Once     // guards closing
	closed   chan struct{} // closed when closing is complete
}

// networks opens the network at this server's base address, and sets there which servers exist.
type networks struct {
	*core
	aliases *aliases
	gossip  *gossip
	keys    *gossipKeys
	link    *link
	peers   *peers
	heard   func(n *network, ev member.Event) // handles an event from another server

	closing *network // the last one that was closed; nil: none was
}

// open starts gossip and supervision at a base address, and closes the former network.
func (a *networks) open(self *clusterconf.Server, base netip.Prefix) error {
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
		<-a.closing.closed // the former address is back before that was complete
	}
	pool, err := a.deps.OpenPool(netip.AddrPortFrom(base.Addr(), a.cfg.GossipPort), a.keys.ring.Keys().Secrets())
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
	a.net, a.link.mac, a.link.index = n, link.MAC.String(), link.Index
	a.gossip.anew()
	if old != nil {
		a.wg.Go(func() { old.close(a.log) }) // leaving the pool takes a while
		a.closing = old
	}
	for _, x := range a.aliases.all {
		if x.holds {
			x.announceTaken() // over the new interface
		}
	}
	a.wg.Go(func() { n.detector.Run(ctx) })
	a.wg.Go(func() { a.aliases.listen(ctx, wire) })
	a.wg.Go(func() { a.fillCache(ctx, n) })
	a.wg.Go(func() {
		for ev := range pool.Events() {
			if n.listen(ev) {
				a.post(func() { a.heard(n, ev) })
			}
		}
	})
	return nil
}

// close leaves the pool and ends supervision. It may be called again. If the next network cannot be
// opened, this one stays in place until one can.
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

// pointer returns a function that sets a permanent neighbour entry, so that the kernel does not ask
// for a dead server each time something is sent to it.
func (a *networks) pointer(ifname string) func(netip.Addr, net.HardwareAddr) {
	return func(addr netip.Addr, mac net.HardwareAddr) {
		if err := a.deps.Kernel.Point(ifname, addr, mac); err != nil {
			a.log.Debug("telling the kernel where a server was", "server", addr, "err", err)
		}
	}
}

// tellClaims tells a detector which MAC addresses the servers claim.
func (a *networks) tellClaims(to *detector.Detector) {
	to.SetMACs(a.cfg.Server, a.link.macs.list())
	for name, p := range a.peers.all {
		if p.Claim != nil {
			to.SetMACs(name, append(slices.Clone(p.Claim.MACs), p.Claim.MAC))
		}
	}
}

// supervise tells gossip and the detector which servers exist.
func (a *networks) supervise() {
	a.peers.refresh()
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

// kernelChanged handles an event of the kernel: addresses, routes or links changed.
func (a *Agent) kernelChanged(e netops.Event) {
	a.link.gateways.changed = a.link.gateways.changed || e.Routes || e.Links || e.Addresses // checked once a second
	if e == (netops.Event{Routes: true}) {
		a.nothingNew = true
		return
	}
	a.link.check()
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
	a.link.tendAddresses(time.Now())
	a.lims.lookAtLeaving()
}

// listen passes a sign of life to the detector. It returns true for events that the main loop must
// handle.
func (n *network) listen(ev member.Event) bool {
	news := ev.Kind != member.BeatHeard
	if ev.At.IsZero() || ev.Kind == member.Refused { // not a sign of life
		return news
	}
	return n.detector.Heard(detector.Word{From: ev.From, At: ev.At, Sent: ev.Sent, Stale: ev.Stale}) || news
}

// heard handles an event from another server.
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
		a.refusals.notBelieved(ev)
	case member.NoteHeard:
		var n aliasQuery
		if err := json.Unmarshal(ev.Payload, &n); err != nil {
			a.refusals.unread(ev.From, "a note", err)
			return
		}
		a.aliases.queryHeard(ev.From, n)
	case member.LaterHeard:
		a.refusals.unknown(ev.From, "kind", ev.Form)
	}
}
