package agent

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"mxcluster/internal/failover"
	"mxcluster/netops"
)

const (
	minAgentLimit = time.Second           // silence of gossip that makes an agent lost, at least
	askPeriod     = 20 * time.Millisecond // gossip questions to a server in doubt
	gonePeriod    = 50 * time.Millisecond // questions to a rival that is gone: the first answer ends a split brain
)

// sighting is what the supervisor knows of one host.
type sighting struct {
	gone       bool // neither ARP nor gossip for the limit
	agentLost  bool // no gossip
	heard      time.Time
	gossiped   time.Time
	everGossip bool
}

// hostAddrs are the addresses at which a host's kernel may answer, and what was
// known of it before it was supervised. The alias counts only with the host's
// own MAC, since it may be elsewhere; it carries a server over `create`, which
// moves its base.
type hostAddrs struct {
	base, alias netip.Addr
	mac         string    // as the host claims it; "": not known
	gossiped    time.Time // when gossip last heard it; zero: not since the agent started
	rival       bool      // it may have an alias that this server may have, too
}

// host is a server under supervision.
type host struct {
	name     string
	witness  failover.Witness // its own signs of life tell whether this server is cut off
	addrs    hostAddrs
	mac      net.HardwareAddr // of its last answer; nil: none yet
	arp      failover.Watch
	gossip   failover.Watch // for gone, with the cluster's limit
	agent    failover.Watch // for agent-lost
	next     time.Time
	nextAsk  time.Time
	nextAll  time.Time // when everybody is asked for one that is gone
	sighting sighting
}

// supervisor listens to every sign of life of the other servers: gossip, and
// the ARP answers of their kernels, which come however busy or stopped their
// agents are (design section 4). It calls changed, from its own goroutine,
// whenever what it knows changes in kind.
type supervisor struct {
	self    netip.Addr
	wire    Wire
	ask     func(server string)
	changed func()
	kick    chan struct{}

	mu      sync.Mutex
	hosts   map[string]*host
	aliases map[int]*aliasWatch
	bench   bench
	heard   time.Time // last frame of anybody
	limit   time.Duration
	polled  time.Time // when it last looked
	steady  time.Time // since when it has looked without a gap of half the limit, as [failover.Watch] counts
}

func newSupervisor(self netip.Addr, wire Wire, ask func(string), changed func()) *supervisor {
	return &supervisor{self: self, wire: wire, ask: ask, changed: changed, kick: make(chan struct{}, 1),
		hosts: map[string]*host{}, aliases: map[int]*aliasWatch{}}
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
			h.sighting.everGossip = !at.gossiped.IsZero()
			h.gossip.Heard(at.gossiped)
			h.agent.Heard(at.gossiped)
			s.hosts[name] = h
		}
		if mac, err := net.ParseMAC(at.mac); err == nil && h.mac == nil {
			h.mac = mac
		}
		h.addrs = at
		if limit < h.arp.Limit {
			h.next = time.Time{} // the next question would come too late for that
		}
		h.arp.Limit, h.gossip.Limit, h.agent.Limit = limit, limit, max(limit, minAgentLimit)
	}
	s.wake()
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
	s.aliases[lim] = &aliasWatch{addr: addr, since: now, watch: failover.Watch{Limit: limit}}
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
	h.gossip.Heard(at)
	h.agent.Heard(at)
	h.witness.Answered(at, s.limit)
	if !h.sighting.everGossip || h.sighting.agentLost || h.sighting.gone {
		// At once: one that is heard for the first time must not count as gone
		// until the next poll because it was silent before.
		h.sighting.everGossip, h.sighting.agentLost, h.sighting.gone = true, false, false
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
		g.gossiped = h.gossip.LastHeard()
		g.heard = g.gossiped
		if a := h.arp.LastHeard(); a.After(g.heard) {
			g.heard = a
		}
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
		out[lim] = failover.Wire{AskedSince: a.since, Answered: a.watch.LastHeard(), MAC: a.mac, Silent: a.quiet, Alias: a.addr}
	}
	return out
}

// lastHeard returns when the last ARP frame of anybody was received.
func (s *supervisor) lastHeard() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heard
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
		if h.mac != nil && h.mac.String() == mac {
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

// wake makes the loop look again; the caller may hold the lock.
func (s *supervisor) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// run polls and listens until ctx ends.
func (s *supervisor) run(ctx context.Context) {
	heard := s.wire.Subscribe(ctx)
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
		case <-timer.C:
			// What was received counts before anybody is called silent; an error is
			// a link that is down.
			_, _ = s.wire.CatchUp()
		case <-s.kick:
		}
		// Answers that wait to be read count before anybody is called silent.
		for more := true; more; {
			select {
			case o, ok := <-heard:
				if more = ok; ok {
					s.observe(o)
				}
			default:
				more = false
			}
		}
		now := time.Now()
		next, ask, news := s.poll(now)
		s.send(ask)
		if news {
			s.changed()
		}
		timer.Reset(max(next.Sub(now), 0))
	}
}

// observe takes one ARP frame as a sign of life.
func (s *supervisor) observe(o netops.Observation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = later(s.heard, o.Time)
	s.bench.heard(o, s.limit)
	for _, h := range s.hosts {
		switch o.SenderIP {
		case h.addrs.base:
			h.arp.Heard(o.Time)
			h.witness.Answered(o.Time, s.limit)
			h.mac = o.SenderMAC
			s.instead(o)
		case h.addrs.alias:
			if bytes.Equal(h.mac, o.SenderMAC) {
				h.arp.Heard(o.Time)
			}
		}
	}
	for _, a := range s.aliases {
		if a.addr == o.SenderIP {
			a.heard(o)
		}
	}
}

// questions are what is due to be asked. They are asked when the supervisor is
// not locked: a send may take a while, and the main loop must not wait for it.
type questions struct {
	arp    []arpQuestion
	gossip []string // servers
}

// arpQuestion asks for an address, of one MAC or, nil, of everybody.
type arpQuestion struct {
	target netip.Addr
	to     net.HardwareAddr
}

func (s *supervisor) send(q questions) {
	for _, ask := range q.arp {
		if !ask.target.IsValid() {
			continue
		}
		// A failed send is a question without an answer: the link is down.
		_ = s.wire.Ask(s.self, ask.target, ask.to)
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
	for _, h := range s.hosts {
		if !h.next.After(now) {
			h.poll(&ask, now)
			if h.arp.InDoubt() && !h.nextAsk.After(now) {
				h.nextAsk = now.Add(askPeriod)
				ask.gossip = append(ask.gossip, h.name)
			}
		}
		news = h.judge(now) || news
		next = earlier(next, h.next)
	}
	for _, a := range s.aliases {
		if !a.next.After(now) {
			ask.arp = append(ask.arp, a.poll(now), s.baseOf(a))
		}
		if quiet := a.silent(now); quiet != a.quiet {
			a.quiet, news = quiet, true
		}
		next = earlier(next, a.next)
	}
	return earlier(next, s.pollWitnesses(&ask, now)), ask, news
}

// poll has a host's kernel asked for its base address.
func (h *host) poll(ask *questions, now time.Time) {
	h.arp.Polled(now)
	h.gossip.Polled(now)
	h.agent.Polled(now)
	h.witness.Asked()
	h.next = now.Add(h.arp.Period(now))
	to := h.mac
	if h.arp.InDoubt() && (h.mac == nil || !now.Before(h.nextAll)) {
		to = nil // it may have come back with another MAC
		h.nextAll = h.next
		if h.addrs.alias.IsValid() && h.mac != nil {
			ask.arp = append(ask.arp, arpQuestion{h.addrs.alias, h.mac})
		}
	}
	if h.sighting.gone && h.addrs.rival {
		h.next = earlier(h.next, now.Add(gonePeriod))
	}
	ask.arp = append(ask.arp, arpQuestion{h.addrs.base, to})
}

// judge updates the host's sighting; true when it changed in kind.
func (h *host) judge(now time.Time) bool {
	before := h.sighting
	h.sighting.gone = h.arp.Silent(now) && h.gossip.Silent(now)
	h.sighting.agentLost = h.agent.Silent(now)
	return before.gone != h.sighting.gone || before.agentLost != h.sighting.agentLost || before.everGossip != h.sighting.everGossip
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
