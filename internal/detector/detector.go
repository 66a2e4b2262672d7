// Package detector is the failure detector: it asks the kernels of other servers for signs
// of life, listens to the wire, is told what gossip hears, and judges who is silent. What
// signs prove is the work of package evidence; what follows from it is decided elsewhere.
//
// A [Detector] has a goroutine, [Detector.Run], and a lock of its own; all of its methods may be
// called from anywhere.
package detector

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"mxcluster/internal/arpbudget"
	"mxcluster/internal/detector/evidence"
	"mxcluster/internal/failover"
	"mxcluster/netops"
)

const (
	minAgentLimit = time.Second            // silence of gossip that makes an agent lost, at least
	askPeriod     = 20 * time.Millisecond  // gossip questions to a server in doubt
	gonePeriod    = 50 * time.Millisecond  // questions to a rival that is gone: the first answer ends a split brain
	callPeriod    = 300 * time.Millisecond // ARP questions to all such rivals: who booted knows no MAC address to answer an echo to
	pointPeriod   = 4 * time.Second        // the kernel goes by what it was told for 5
	aliasTurns    = 4                      // of so many echoes to a host in doubt one more goes to its alias
)

// Sighting is what is known of one server under supervision.
type Sighting struct {
	Gone       bool // no sign of life of any kind for the limit
	Doubtful   bool // but for answers by ARP, which its kernel may not have given
	AgentLost  bool // no gossip
	Heard      time.Time
	Gossiped   time.Time
	EverGossip bool
	Echoes     bool // its kernel is known to answer echoes
}

// Server is one to supervise: where its kernel may answer, and what was known of it before.
// The alias counts only with the server's own MAC, since it may be elsewhere; it carries a
// server over `create`, which moves its base.
type Server struct {
	Base, Alias netip.Addr
	Gossiped    time.Time // when gossip last heard it; zero: not since the agent started
	Rival       bool      // it may have an alias that this server may have, too
}

// host is a server under supervision.
type host struct {
	name      string
	witness   evidence.Witness // its own signs of life tell whether this server is cut off
	addrs     Server
	mac       net.HardwareAddr // where it was last; nil: not known
	claimed   []net.HardwareAddr
	pulse     evidence.Pulse
	agent     evidence.Watch // for agent-lost
	next      time.Time
	arped     time.Time // when it was last asked by ARP
	nextAsk   time.Time
	nextPoint time.Time
	turn      int // echoes sent
	sighting  Sighting
}

// Wire is what is asked of ARP and echoes on one interface (package netops).
type Wire interface {
	Subscribe(ctx context.Context) <-chan netops.Observation
	CatchUp() (lost uint64, err error)
	Ask(from, target netip.Addr, to net.HardwareAddr) error
	Echo(from, target netip.Addr, to net.HardwareAddr) error
	Echoes(ctx context.Context) <-chan netops.Echo
}

// Config is what a detector works with.
type Config struct {
	Self    netip.Addr // this server's base
	Wire    Wire
	Budget  *arpbudget.Budget                           // of what is sent over it
	Ask     func(server string)                         // asks a server's agent for a sign of life
	Point   func(addr netip.Addr, mac net.HardwareAddr) // has the kernel ask nobody for somebody who is gone
	Changed func()                                      // what is known has changed in kind; called by Run
}

// Detector listens to every sign of life of the other servers: gossip, and the answers of
// their kernels to echoes and ARP, which come however busy or stopped their agents are.
type Detector struct {
	Config
	kick chan struct{}
	seen lastSeen

	mu      sync.Mutex
	hosts   map[string]*host
	aliases map[int]*aliasWatch
	beside  witnesses
	claims  map[string][]net.HardwareAddr
	proxies proxies
	heard   time.Time // last frame of anybody
	first   time.Time // and the first since the link is up; zero: there was none
	lost    time.Time // when the link was seen down last
	used    BaseUse   // that was heard last
	called  time.Time // when a rival was, see call
	limit   time.Duration
	polled  time.Time // when it last looked
	steady  time.Time // since when it has looked without a gap of half the limit, as [evidence.Watch] counts
}

// BaseUse is a frame that claims this server's own base address.
type BaseUse struct {
	MAC string
	At  time.Time // zero: there was none
}

// New returns a detector that supervises nobody yet.
func New(c Config) *Detector {
	return &Detector{Config: c, kick: make(chan struct{}, 1), hosts: map[string]*host{}, aliases: map[int]*aliasWatch{}, claims: map[string][]net.HardwareAddr{}}
}

// Continue takes over when frames were heard by the detector before, on the same interface.
func (d *Detector) Continue(before *Detector) {
	heard, first := before.LastFrame(), before.FirstFrame()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.heard, d.first = heard, first
}

// Word is a sign of life of a server's agent.
type Word struct {
	From  string
	At    time.Time
	Sent  time.Time // by the sender's clock; zero: it did not say
	Stale bool      // what it claims now was not heard yet
}

// Heard takes in a sign of life of a server's agent; true when that says more than the last
// one did, or changes how the server is judged.
func (d *Detector) Heard(w Word) (news bool) {
	news = d.seen.hear(w)
	return d.gossipHeard(w.From, w.At) || news
}

// LastSeen returns what was heard last of a server's agent; false when nothing was.
func (d *Detector) LastSeen(server string) (Seen, bool) { return d.seen.of(server) }

// Forget drops what was heard of a server's agent.
func (d *Detector) Forget(server string) { d.seen.forget(server) }

// SetServers names the hosts to supervise; limit is the silence that makes one gone.
func (d *Detector) SetServers(addrs map[string]Server, limit time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.limit = limit
	if len(d.hosts) == 0 && len(addrs) > 0 {
		d.beside.began = time.Now()
	}
	for name := range d.hosts {
		if _, ok := addrs[name]; !ok {
			delete(d.hosts, name)
		}
	}
	for name, at := range addrs {
		h := d.hosts[name]
		if h == nil {
			h = &host{name: name}
			h.pulse.Talks = true
			h.sighting.EverGossip = !at.Gossiped.IsZero()
			h.pulse.Gossiped(at.Gossiped)
			h.agent.Heard(at.Gossiped)
			d.hosts[name] = h
			h.claims(d.claims[name])
		}
		h.addrs = at
		if limit < h.pulse.Limit() {
			h.next = time.Time{} // the next question would come too late for that
		}
		h.pulse.SetLimit(limit)
		h.agent.Limit = max(limit, minAgentLimit)
	}
	d.wake()
}

// SetMACs notes which MAC addresses a server says it has, the present one last.
func (d *Detector) SetMACs(server string, macs []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.proxies.Claim(server, macs)
	var parsed []net.HardwareAddr
	for _, text := range macs {
		if mac, err := net.ParseMAC(text); err == nil {
			parsed = append(parsed, mac)
		}
	}
	d.claims[server] = parsed
	if h := d.hosts[server]; h != nil {
		h.claims(parsed)
	}
}

// claims notes what a host says of itself. Where it answered last counts as long as it
// is one of these.
func (h *host) claims(macs []net.HardwareAddr) {
	h.claimed = macs
	if len(macs) > 0 && !h.has(h.mac) {
		h.mac = macs[len(macs)-1]
	}
}

// has reports whether a host says that a MAC address is its own.
func (h *host) has(mac net.HardwareAddr) bool {
	return slices.ContainsFunc(h.claimed, func(x net.HardwareAddr) bool { return bytes.Equal(x, mac) })
}

// WatchAlias starts to ask for a LIM's alias, or goes on.
func (d *Detector) WatchAlias(lim int, addr netip.Addr, limit time.Duration, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if a := d.aliases[lim]; a != nil && a.addr == addr {
		if limit < a.watch.Limit {
			a.next = time.Time{}
			d.wake()
		}
		a.watch.Limit = limit
		return
	}
	d.aliases[lim] = &aliasWatch{addr: addr, since: now, watch: evidence.Watch{Limit: limit}}
	d.wake()
}

// UnwatchAlias stops asking for a LIM's alias.
func (d *Detector) UnwatchAlias(lim int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.aliases, lim)
}

// gossipHeard records a sign of life of a server's agent; true when that changes
// how the server is judged.
func (d *Detector) gossipHeard(server string, at time.Time) (news bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.hosts[server]
	if h == nil {
		return false
	}
	h.pulse.Gossiped(at)
	h.agent.Heard(at)
	h.witness.Answered(at, d.limit)
	if !h.sighting.EverGossip || h.sighting.AgentLost || h.sighting.Gone {
		// At once: one that is heard for the first time must not count as gone
		// until the next poll because it was silent before.
		h.sighting.EverGossip, h.sighting.AgentLost, h.sighting.Gone, h.sighting.Doubtful = true, false, false, false
		d.wake()
		return true
	}
	return false
}

// Sightings returns what is known of each host.
func (d *Detector) Sightings() map[string]Sighting {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make(map[string]Sighting, len(d.hosts))
	for name, h := range d.hosts {
		g := h.sighting
		g.Gossiped, g.Heard, g.Echoes = h.agent.LastHeard(), h.pulse.LastHeard(), h.pulse.Echoes()
		out[name] = g
	}
	return out
}

// Aliases returns what ARP said of the aliases that are asked for.
func (d *Detector) Aliases() map[int]failover.Wire {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make(map[int]failover.Wire, len(d.aliases))
	for lim, a := range d.aliases {
		out[lim] = failover.Wire{AskedSince: a.since, Answered: later(a.watch.LastHeard(), a.cached), MAC: a.mac, Silent: a.quiet, Alias: a.addr}
	}
	return out
}

// LastFrame returns when the last frame of anybody was received.
func (d *Detector) LastFrame() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.heard
}

// FirstFrame returns when the first frame of anybody was received since the link is up;
// zero: none was yet.
func (d *Detector) FirstFrame() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.first
}

// BaseUsed returns the last frame that claims this server's own base address. It may be
// of another card of this server.
func (d *Detector) BaseUsed() BaseUse {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.used
}

// LinkLost notes that the link is down: what was heard before says nothing of a switch
// port that opens when it is up again.
func (d *Detector) LinkLost(at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.first, d.lost = time.Time{}, at
}

// anybody notes a frame of anybody; the caller holds the lock.
func (d *Detector) anybody(at time.Time) {
	d.heard = later(d.heard, at)
	if d.first.IsZero() && at.After(d.lost) {
		d.first = at
	}
}

// Attentive returns since when this server has listened without a break: of what came
// in while its processors were busy with other things it may not know yet.
func (d *Detector) Attentive(now time.Time) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Sub(d.polled) > d.limit/2 {
		return now
	}
	return d.steady
}

// ServerAt names the server that answered for its base from a MAC, "" if none did.
func (d *Detector) ServerAt(mac string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, h := range d.hosts {
		if h.mac != nil && h.mac.String() == mac && d.proxies.Worth(mac, name, time.Now()) != evidence.WorthNothing {
			return name
		}
	}
	for _, w := range d.beside.all {
		if w.name != "" && w.mac != nil && w.mac.String() == mac {
			return w.name
		}
	}
	return ""
}

// IsServer reports whether a MAC is that of a server of the system.
func (d *Detector) IsServer(mac net.HardwareAddr) bool {
	if d.ServerAt(mac.String()) != "" {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.beside.plan.MACs[mac.String()]
}

// AnswersForOthers reports whether a MAC address is proven to answer for others.
func (d *Detector) AnswersForOthers(mac string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.proxies.Proven(mac, time.Now())
}

// wake makes the loop look again; the caller may hold the lock.
func (d *Detector) wake() {
	select {
	case d.kick <- struct{}{}:
	default:
	}
}

// Run polls and listens until ctx ends.
func (d *Detector) Run(ctx context.Context) {
	heard, echoed := d.Wire.Subscribe(ctx), d.Wire.Echoes(ctx)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case o, ok := <-heard:
			if !ok {
				return
			}
			d.observe(o)
		case e, ok := <-echoed:
			if !ok {
				return
			}
			d.echo(e)
		case <-timer.C:
			// What was received counts before anybody is called silent; an error is
			// a link that is down.
			_, _ = d.Wire.CatchUp()
		case <-d.kick:
		}
		// Answers that wait to be read count before anybody is called silent.
		d.drain(heard, echoed)
		now := time.Now()
		next, ask, news := d.poll(now)
		d.send(ask)
		if news {
			d.Changed()
		}
		timer.Reset(max(next.Sub(now), 0))
	}
}

// drain takes what waits to be read.
func (d *Detector) drain(heard <-chan netops.Observation, echoed <-chan netops.Echo) {
	for {
		select {
		case o, ok := <-heard:
			if !ok {
				return
			}
			d.observe(o)
		case e, ok := <-echoed:
			if !ok {
				return
			}
			d.echo(e)
		default:
			return
		}
	}
}

// observe takes one ARP frame as a sign of life, for what it is worth.
func (d *Detector) observe(o netops.Observation) {
	d.mu.Lock()
	defer d.mu.Unlock()
	// What speaks the other family may be the switch port itself.
	if o.SenderIP.Is4() == d.Self.Is4() && (d.Self.Is4() || !o.SenderIP.IsUnspecified()) {
		d.anybody(o.Time)
	}
	if o.SenderIP == d.Self {
		d.used = BaseUse{MAC: o.SenderMAC.String(), At: o.Time}
	}
	d.proxies.answered(o.SenderMAC.String(), o.SenderIP, o.Time)
	if slices.Contains(d.beside.plan.Gateways, o.SenderIP) || !d.proxies.Proven(o.SenderMAC.String(), o.Time) {
		d.beside.heard(o, d.limit)
	}
	for _, h := range d.hosts {
		switch o.SenderIP {
		case h.addrs.Base:
			d.answered(h, o)
		case h.addrs.Alias:
			if bytes.Equal(h.mac, o.SenderMAC) || h.has(o.SenderMAC) {
				h.pulse.Answered(o.Time)
			}
		}
	}
	for _, a := range d.aliases {
		if a.addr == o.SenderIP && !d.proxies.Proven(o.SenderMAC.String(), o.Time) {
			a.heard(o)
		}
	}
}

// answered takes a frame from a host's base address.
func (d *Detector) answered(h *host, o netops.Observation) {
	switch worth := d.proxies.Worth(o.SenderMAC.String(), h.name, o.Time); {
	case worth == evidence.WorthNothing:
		return
	case worth == evidence.WorthUnknown && len(h.claimed) > 0:
		d.proxies.suspect(o.Time)
		if at := d.proxies.Again(o.SenderMAC.String(), h.name); !at.IsZero() {
			h.pulse.AskAll(at)
		}
		if h.pulse.InDoubt() {
			h.mac = o.SenderMAC // it may have another one now: it is asked there, too
		}
	default:
		h.mac = o.SenderMAC
	}
	h.pulse.Answered(o.Time)
	h.witness.Answered(o.Time, d.limit)
	d.instead(o)
}

// echo takes the answer of a kernel.
func (d *Detector) echo(e netops.Echo) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.anybody(e.Time)
	d.beside.echoed(e, d.limit)
	for _, h := range d.hosts {
		switch e.From {
		case h.addrs.Base:
			h.pulse.Echoed(e.Asked, e.Time)
			h.witness.Answered(e.Time, d.limit)
			h.mac = e.MAC
			d.insteadEcho(e)
		case h.addrs.Alias:
			if bytes.Equal(h.mac, e.MAC) || h.has(e.MAC) {
				h.pulse.Echoed(e.Asked, e.Time)
			}
		}
	}
	for _, a := range d.aliases {
		if a.addr == e.From {
			a.echoed(e)
		}
	}
}
