package agent

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

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

// sighting is what the supervisor knows of one host.
type sighting struct {
	gone       bool // no sign of life of any kind for the limit
	doubtful   bool // but for answers by ARP, which its kernel may not have given
	agentLost  bool // no gossip
	heard      time.Time
	gossiped   time.Time
	everGossip bool
	echoes     bool // its kernel is known to answer echoes
}

// hostAddrs are the addresses at which a host's kernel may answer, and what was
// known of it before it was supervised. The alias counts only with the host's
// own MAC, since it may be elsewhere; it carries a server over `create`, which
// moves its base.
type hostAddrs struct {
	base, alias netip.Addr
	gossiped    time.Time // when gossip last heard it; zero: not since the agent started
	rival       bool      // it may have an alias that this server may have, too
}

// host is a server under supervision.
type host struct {
	name      string
	witness   evidence.Witness // its own signs of life tell whether this server is cut off
	addrs     hostAddrs
	mac       net.HardwareAddr // where it was last; nil: not known
	claimed   []net.HardwareAddr
	pulse     evidence.Pulse
	agent     evidence.Watch // for agent-lost
	next      time.Time
	arped     time.Time // when it was last asked by ARP
	nextAsk   time.Time
	nextPoint time.Time
	turn      int // echoes sent
	sighting  sighting
}

// supervisor listens to every sign of life of the other servers: gossip, and
// the answers of their kernels to echoes and ARP, which come however busy or stopped their
// agents are (design section 4). It calls changed, from its own goroutine,
// whenever what it knows changes in kind.
type supervisor struct {
	self    netip.Addr
	wire    Wire
	budget  *budget
	ask     func(server string)
	point   func(addr netip.Addr, mac net.HardwareAddr) // has the kernel ask nobody for somebody who is gone
	changed func()
	kick    chan struct{}

	mu      sync.Mutex
	hosts   map[string]*host
	aliases map[int]*aliasWatch
	bench   bench
	claims  map[string][]net.HardwareAddr
	stand   standIns
	heard   time.Time // last frame of anybody
	first   time.Time // and the first since the link is up; zero: there was none
	lost    time.Time // when the link was seen down last
	used    claim     // of this server's base, that was heard last
	called  time.Time // when a rival was, see call
	limit   time.Duration
	polled  time.Time // when it last looked
	steady  time.Time // since when it has looked without a gap of half the limit, as [evidence.Watch] counts
}

func newSupervisor(self netip.Addr, wire Wire, b *budget, ask func(string), point func(netip.Addr, net.HardwareAddr), changed func()) *supervisor {
	return &supervisor{self: self, wire: wire, budget: b, ask: ask, point: point, changed: changed, kick: make(chan struct{}, 1),
		hosts: map[string]*host{}, aliases: map[int]*aliasWatch{}, claims: map[string][]net.HardwareAddr{}}
}

// setHosts names the hosts to supervise; limit is the silence that makes one gone.
func (s *supervisor) setHosts(addrs map[string]hostAddrs, limit time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = limit
	if len(s.hosts) == 0 && len(addrs) > 0 {
		s.bench.began = time.Now()
	}
	for name := range s.hosts {
		if _, ok := addrs[name]; !ok {
			delete(s.hosts, name)
		}
	}
	for name, at := range addrs {
		h := s.hosts[name]
		if h == nil {
			h = &host{name: name}
			h.pulse.Talks = true
			h.sighting.everGossip = !at.gossiped.IsZero()
			h.pulse.Gossiped(at.gossiped)
			h.agent.Heard(at.gossiped)
			s.hosts[name] = h
			h.claims(s.claims[name])
		}
		h.addrs = at
		if limit < h.pulse.Limit() {
			h.next = time.Time{} // the next question would come too late for that
		}
		h.pulse.SetLimit(limit)
		h.agent.Limit = max(limit, minAgentLimit)
	}
	s.wake()
}

// claim notes which MAC addresses a server says it has, the present one last.
func (s *supervisor) claim(server string, macs []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stand.Claim(server, macs)
	var parsed []net.HardwareAddr
	for _, text := range macs {
		if mac, err := net.ParseMAC(text); err == nil {
			parsed = append(parsed, mac)
		}
	}
	s.claims[server] = parsed
	if h := s.hosts[server]; h != nil {
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

// watchAlias starts to ask for a LIM's alias, or goes on.
func (s *supervisor) watchAlias(lim int, addr netip.Addr, limit time.Duration, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.aliases[lim]; a != nil && a.addr == addr {
		if limit < a.watch.Limit {
			a.next = time.Time{}
			s.wake()
		}
		a.watch.Limit = limit
		return
	}
	s.aliases[lim] = &aliasWatch{addr: addr, since: now, watch: evidence.Watch{Limit: limit}}
	s.wake()
}

// unwatchAlias stops asking for a LIM's alias.
func (s *supervisor) unwatchAlias(lim int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.aliases, lim)
}

// gossipHeard records a sign of life of a server's agent; true when that changes
// how the server is judged.
func (s *supervisor) gossipHeard(server string, at time.Time) (news bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.hosts[server]
	if h == nil {
		return false
	}
	h.pulse.Gossiped(at)
	h.agent.Heard(at)
	h.witness.Answered(at, s.limit)
	if !h.sighting.everGossip || h.sighting.agentLost || h.sighting.gone {
		// At once: one that is heard for the first time must not count as gone
		// until the next poll because it was silent before.
		h.sighting.everGossip, h.sighting.agentLost, h.sighting.gone, h.sighting.doubtful = true, false, false, false
		s.wake()
		return true
	}
	return false
}

// sightings returns what is known of each host.
func (s *supervisor) sightings() map[string]sighting {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]sighting, len(s.hosts))
	for name, h := range s.hosts {
		g := h.sighting
		g.gossiped, g.heard, g.echoes = h.agent.LastHeard(), h.pulse.LastHeard(), h.pulse.Echoes()
		out[name] = g
	}
	return out
}

// wires returns what ARP said of the aliases that are asked for.
func (s *supervisor) wires() map[int]failover.Wire {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[int]failover.Wire, len(s.aliases))
	for lim, a := range s.aliases {
		out[lim] = failover.Wire{AskedSince: a.since, Answered: later(a.watch.LastHeard(), a.cached), MAC: a.mac, Silent: a.quiet, Alias: a.addr}
	}
	return out
}

// lastHeard returns when the last frame of anybody was received.
func (s *supervisor) lastHeard() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heard
}

// firstHeard returns when the first frame of anybody was received since the link is up;
// zero: none was yet.
func (s *supervisor) firstHeard() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first
}

// baseUsed returns the last frame that claims this server's own base address. It may be
// of another card of this server.
func (s *supervisor) baseUsed() claim {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// linkLost notes that the link is down: what was heard before says nothing of a switch
// port that opens when it is up again.
func (s *supervisor) linkLost(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.first, s.lost = time.Time{}, at
}

// anybody notes a frame of anybody; the caller holds the lock.
func (s *supervisor) anybody(at time.Time) {
	s.heard = later(s.heard, at)
	if s.first.IsZero() && at.After(s.lost) {
		s.first = at
	}
}

// attentive returns since when this server has listened without a break: of what came
// in while its processors were busy with other things it may not know yet.
func (s *supervisor) attentive(now time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.polled) > s.limit/2 {
		return now
	}
	return s.steady
}

// serverAt names the server that answered for its base from a MAC, "" if none did.
func (s *supervisor) serverAt(mac string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, h := range s.hosts {
		if h.mac != nil && h.mac.String() == mac && s.stand.Worth(mac, name, time.Now()) != evidence.WorthNothing {
			return name
		}
	}
	for _, w := range s.bench.all {
		if w.name != "" && w.mac != nil && w.mac.String() == mac {
			return w.name
		}
	}
	return ""
}

// ours reports whether a MAC is that of a server of the system.
func (s *supervisor) ours(mac net.HardwareAddr) bool {
	if s.serverAt(mac.String()) != "" {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bench.plan.macs[mac.String()]
}

// standsIn reports whether a MAC address is proven to answer for others.
func (s *supervisor) standsIn(mac string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stand.Proven(mac, time.Now())
}

// wake makes the loop look again; the caller may hold the lock.
func (s *supervisor) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// run polls and listens until ctx ends.
func (s *supervisor) run(ctx context.Context) {
	heard, echoed := s.wire.Subscribe(ctx), s.wire.Echoes(ctx)
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
			s.observe(o)
		case e, ok := <-echoed:
			if !ok {
				return
			}
			s.echo(e)
		case <-timer.C:
			// What was received counts before anybody is called silent; an error is
			// a link that is down.
			_, _ = s.wire.CatchUp()
		case <-s.kick:
		}
		// Answers that wait to be read count before anybody is called silent.
		s.drain(heard, echoed)
		now := time.Now()
		next, ask, news := s.poll(now)
		s.send(ask)
		if news {
			s.changed()
		}
		timer.Reset(max(next.Sub(now), 0))
	}
}

// drain takes what waits to be read.
func (s *supervisor) drain(heard <-chan netops.Observation, echoed <-chan netops.Echo) {
	for {
		select {
		case o, ok := <-heard:
			if !ok {
				return
			}
			s.observe(o)
		case e, ok := <-echoed:
			if !ok {
				return
			}
			s.echo(e)
		default:
			return
		}
	}
}

// observe takes one ARP frame as a sign of life, for what it is worth.
func (s *supervisor) observe(o netops.Observation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// What speaks the other family may be the switch port itself.
	if o.SenderIP.Is4() == s.self.Is4() && (s.self.Is4() || !o.SenderIP.IsUnspecified()) {
		s.anybody(o.Time)
	}
	if o.SenderIP == s.self {
		s.used = claim{alias: s.self, mac: o.SenderMAC.String(), at: o.Time}
	}
	s.stand.answered(o.SenderMAC.String(), o.SenderIP, o.Time)
	if slices.Contains(s.bench.plan.gateways, o.SenderIP) || !s.stand.Proven(o.SenderMAC.String(), o.Time) {
		s.bench.heard(o, s.limit)
	}
	for _, h := range s.hosts {
		switch o.SenderIP {
		case h.addrs.base:
			s.answered(h, o)
		case h.addrs.alias:
			if bytes.Equal(h.mac, o.SenderMAC) || h.has(o.SenderMAC) {
				h.pulse.Answered(o.Time)
			}
		}
	}
	for _, a := range s.aliases {
		if a.addr == o.SenderIP && !s.stand.Proven(o.SenderMAC.String(), o.Time) {
			a.heard(o)
		}
	}
}

// answered takes a frame from a host's base address.
func (s *supervisor) answered(h *host, o netops.Observation) {
	switch worth := s.stand.Worth(o.SenderMAC.String(), h.name, o.Time); {
	case worth == evidence.WorthNothing:
		return
	case worth == evidence.WorthUnknown && len(h.claimed) > 0:
		s.stand.suspect(o.Time)
		if h.pulse.InDoubt() {
			h.mac = o.SenderMAC // it may have another one now: it is asked there, too
		}
	default:
		h.mac = o.SenderMAC
	}
	h.pulse.Answered(o.Time)
	h.witness.Answered(o.Time, s.limit)
	s.instead(o)
}

// echo takes the answer of a kernel.
func (s *supervisor) echo(e netops.Echo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.anybody(e.Time)
	s.bench.echoed(e, s.limit)
	for _, h := range s.hosts {
		switch e.From {
		case h.addrs.base:
			h.pulse.Echoed(e.Asked, e.Time)
			h.witness.Answered(e.Time, s.limit)
			h.mac = e.MAC
			s.insteadEcho(e)
		case h.addrs.alias:
			if bytes.Equal(h.mac, e.MAC) || h.has(e.MAC) {
				h.pulse.Echoed(e.Asked, e.Time)
			}
		}
	}
	for _, a := range s.aliases {
		if a.addr == e.From {
			a.echoed(e)
		}
	}
}

// questions are what is due to be asked. They are asked when the supervisor is
// not locked: a send may take a while, and the main loop must not wait for it.
type questions struct {
	arp    []question
	echo   []question
	point  []question // of whom the kernel is told where they are
	gossip []string   // servers
}

// question asks for an address, of one MAC or, by ARP and nil, of everybody.
type question struct {
	target netip.Addr
	to     net.HardwareAddr
}

func (s *supervisor) send(q questions) {
	// A failed send is a question without an answer: the link is down.
	for _, ask := range q.arp {
		_ = s.wire.Ask(s.self, ask.target, ask.to)
	}
	for _, ask := range q.echo {
		_ = s.wire.Echo(s.self, ask.target, ask.to)
	}
	for _, p := range q.point {
		s.point(p.target, p.to)
	}
	for _, server := range q.gossip {
		s.ask(server)
	}
}

// poll finds whom to ask now, and judges everybody. It returns when to come
// again, and whether a judgement changed.
func (s *supervisor) poll(now time.Time) (next time.Time, ask questions, news bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.polled) > s.limit/2 {
		s.steady = now
	}
	s.polled = now
	next = now.Add(time.Second)
	for _, h := range s.turns() {
		if !h.next.After(now) {
			s.pollHost(h, &ask, now)
			if h.pulse.InDoubt() && !h.nextAsk.After(now) {
				h.nextAsk = now.Add(askPeriod)
				ask.gossip = append(ask.gossip, h.name)
			}
		}
		news = h.judge(now) || news
		next = earlier(next, h.next)
	}
	for _, a := range s.aliases {
		if !a.next.After(now) {
			s.pollAlias(a, &ask, now)
		}
		if quiet := a.silent(now); quiet != a.quiet {
			a.quiet, news = quiet, true
		}
		next = earlier(next, a.next)
	}
	next = earlier(next, s.pollWitnesses(&ask, now))
	return earlier(next, s.stand.ask(&ask, now, s.room(now, true))), ask, news
}

// turns are the hosts in the order in which they are asked: who was asked by ARP longest ago
// comes first, so that nobody takes all of the budget.
func (s *supervisor) turns() []*host {
	return slices.SortedFunc(maps.Values(s.hosts), func(a, b *host) int {
		return cmp.Or(a.arped.Compare(b.arped), strings.Compare(a.name, b.name))
	})
}

// room returns how it is found out whether there is room for an ARP question.
func (s *supervisor) room(now time.Time, bound bool) func() bool {
	return func() bool { return s.budget.take(now, 1, poll) || !bound && s.unbounded() }
}

// unbounded reports whether the silence limit is so short that the budget does not bound
// what those are asked that answer no echoes.
func (s *supervisor) unbounded() bool {
	well, _ := evidence.ARPRates(s.limit)
	return well > 0
}

// pollHost has a host's kernel asked for its base address.
func (s *supervisor) pollHost(h *host, ask *questions, now time.Time) {
	h.agent.Polled(now)
	placed, room := h.mac != nil, s.room(now, h.pulse.Echoes())
	q := h.pulse.Wants(now, placed)
	s.call(h, &q, now)
	q.One, q.All = q.One && room(), q.All && room()
	if q.One || q.All {
		h.arped = now
	}
	h.pulse.Asked(now, q, placed)
	h.witness.Asked()
	h.next = now.Add(h.pulse.Period(now))
	if h.sighting.gone && h.addrs.rival {
		h.next = earlier(h.next, now.Add(gonePeriod))
	}
	if q.One {
		ask.arp = append(ask.arp, question{h.addrs.base, h.mac})
	}
	if q.All {
		ask.arp = append(ask.arp, question{target: h.addrs.base})
	}
	if q.Echo {
		ask.echo = append(ask.echo, question{h.addrs.base, h.place()})
		if h.pulse.InDoubt() && h.addrs.alias.IsValid() && h.turn%aliasTurns == 0 {
			ask.echo = append(ask.echo, question{h.addrs.alias, h.mac})
		}
		h.turn++
	}
	if h.sighting.gone && placed && !h.nextPoint.After(now) {
		h.nextPoint = now.Add(pointPeriod)
		ask.point = append(ask.point, question{h.addrs.base, h.mac})
	}
}

// call has a rival that is gone asked by ARP now and then, too. An echo does not do: the
// kernel of one that was cut off since it booted answers it once it knows where to, and
// asks for that once a second.
func (s *supervisor) call(h *host, q *evidence.Questions, now time.Time) {
	if !h.sighting.gone || !h.addrs.rival {
		return
	}
	if !q.One && !q.All {
		if now.Sub(s.called) < callPeriod {
			return
		}
		q.One, q.All = h.mac != nil, h.mac == nil
	}
	s.called = now
}

// place is where to ask a host by echo: where it was last, and in doubt at each MAC
// address that it says it has, in turn.
func (h *host) place() net.HardwareAddr {
	if i := h.turn / 2 % max(len(h.claimed), 1); h.pulse.InDoubt() && h.turn%2 == 1 && i < len(h.claimed) {
		return h.claimed[i]
	}
	return h.mac
}

// judge updates the host's sighting; true when it changed in kind.
func (h *host) judge(now time.Time) bool {
	before, v := h.sighting, h.pulse.Judge(now)
	h.sighting.gone, h.sighting.doubtful = v.Gone, v.Doubtful
	h.sighting.agentLost = h.agent.Silent(now)
	return before != h.sighting
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
