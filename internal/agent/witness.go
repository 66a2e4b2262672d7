package agent

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/detector/evidence"
	"mxcluster/internal/failover"
	"mxcluster/netops"
)

const (
	mostFar        = 3                      // servers of other clusters that are witnesses
	mostNeighbours = 4                      // hosts of nobody's that are
	mostRefused    = 64                     // neighbours of which it is known that they do not answer
	calmWitness    = 5 * time.Second        // from one question to a witness to the next while the own cluster answers
	proofPeriod    = 200 * time.Millisecond // to one that is not proven yet
	proofTries     = 5                      // of those; then it is asked calmly
	neighbourTries = 3                      // questions without an answer after which a neighbour is replaced
	neighbourAgain = time.Minute            // after which one that did not answer may be tried anew
	echoTries      = 4                      // echoes without an answer while ARP is answered, by which it is known that there are none
	echoAgain      = 10 * time.Second       // after the last one, whether there are any again: a line that was bad loses that many
	leaders        = 3                      // witnesses that are asked often while nobody of the cluster answers
)

// What is asked within the silence limit of each of those, and in haste.
const (
	witnessInLimit = 4
	hasteInLimit   = 25
	doubtInLimit   = 5 // without any answer for so much of the limit, answers are missing
)

// witness is a host beside the own cluster whose answers tell whether this server is
// cut off.
type witness struct {
	name      string // of a server; "" of others
	addr      netip.Addr
	mac       net.HardwareAddr // nil: everybody is asked
	neighbour bool             // of nobody's: it was heard by chance
	known     evidence.Witness
	asked     time.Time
	missed    int  // questions since its last answer
	echoes    bool // its kernel answers echoes
	proven    bool // by an echo, once: it is asked by echo for good
	echoed    int  // of those that were sent since the last was answered
	echoAsked time.Time
}

// witnessPlan says who may be a witness.
type witnessPlan struct {
	subnet   netip.Prefix
	far      []clusterconf.Server
	gateways []netip.Addr
	taken    map[netip.Addr]bool // addresses that are no neighbours': servers' and aliases
	macs     map[string]bool     // likewise
}

// bench is who beside the own cluster can tell a server that it is not cut off.
type bench struct {
	plan    witnessPlan
	all     map[netip.Addr]*witness
	refused map[netip.Addr]time.Time // neighbours that did not answer, and when they were tried
	began   time.Time                // when there was something to find out
	well    bool                     // this server is not isolated: neighbours may be proven
}

// setWitnesses names the hosts beside the own cluster that are asked.
func (s *supervisor) setWitnesses(p witnessPlan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.bench.all
	s.bench.plan, s.bench.all = p, map[netip.Addr]*witness{}
	keep := func(addr netip.Addr, name string) {
		w := was[addr]
		if w == nil || w.neighbour || w.name != name {
			w = &witness{name: name, addr: addr}
		}
		s.bench.all[addr] = w
	}
	for _, x := range p.far {
		keep(x.Base.Addr(), x.Name)
	}
	for _, gw := range p.gateways {
		keep(gw, "")
	}
	for addr, w := range was {
		if w.neighbour && s.bench.all[addr] == nil && s.bench.plan.mayBe(addr, w.mac) {
			s.bench.all[addr] = w
		}
	}
	s.wake()
}

// setWell tells whether this server is well, so that who answers is who answers then.
func (s *supervisor) setWell(well bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bench.well = well
}

// mayBe reports whether an address with a MAC may be a neighbour's.
func (p *witnessPlan) mayBe(addr netip.Addr, mac net.HardwareAddr) bool {
	return p.subnet.Contains(addr) && !p.taken[addr] && !p.macs[mac.String()]
}

// heard takes in a frame: the answer of a witness, or a candidate's sign of life.
func (b *bench) heard(o netops.Observation, limit time.Duration) {
	w := b.all[o.SenderIP]
	switch {
	case w == nil:
		b.candidate(o)
	case o.Op != netops.Reply: // what it says unasked tells nothing of what this server sends
	case w.neighbour && b.stands(o):
		delete(b.all, w.addr) // it answers for others, or others for it
		b.refuse(w.addr, o.Time)
	case w.neighbour && !w.known.Proven() && !b.well: // who answers here alone may be on the wrong network
	default:
		w.known.Answered(o.Time, limit)
		w.mac, w.missed = o.SenderMAC, 0
		w.echoes = w.echoes && w.echoed < echoTries // a firewall may drop them by now
	}
}

// candidate has a neighbour asked that was heard, where there is room for one.
func (b *bench) candidate(o netops.Observation) {
	neighbours := 0
	for _, w := range b.all {
		if w.neighbour {
			neighbours++
		}
	}
	at, tried := b.refused[o.SenderIP]
	if !b.well || neighbours >= mostNeighbours || tried && o.Time.Sub(at) < neighbourAgain || !b.plan.mayBe(o.SenderIP, o.SenderMAC) || b.stands(o) {
		return
	}
	b.all[o.SenderIP] = &witness{addr: o.SenderIP, mac: o.SenderMAC, neighbour: true}
}

// stands reports whether the sender of a frame has the MAC of another witness, or of a
// server: one that answers for several is a proxy.
func (b *bench) stands(o netops.Observation) bool {
	if b.plan.macs[o.SenderMAC.String()] {
		return true
	}
	for _, w := range b.all {
		if w.addr != o.SenderIP && slices.Equal(w.mac, o.SenderMAC) {
			return true
		}
	}
	return false
}

// refuse remembers a neighbour that is no witness.
func (b *bench) refuse(addr netip.Addr, at time.Time) {
	if b.refused == nil || len(b.refused) >= mostRefused {
		b.refused = map[netip.Addr]time.Time{}
	}
	b.refused[addr] = at
}

// pollWitnesses finds which witnesses to ask now; it returns when to come again.
// While the own cluster answers they are asked now and then, so that it is known who
// they are; without it, often enough to tell within half of the silence limit.
func (s *supervisor) pollWitnesses(ask *questions, now time.Time) (next time.Time) {
	next = now.Add(calmWitness)
	if len(s.hosts) == 0 {
		return next
	}
	mates := s.matesHeard()
	needed := now.Sub(mates) > s.limit/doubtInLimit
	lead := s.bench.lead()
	for i, w := range lead {
		period := calmWitness
		switch {
		case needed && i < leaders:
			period = s.urgency(now, later(mates, lead[0].known.Last()))
		case !w.known.Proven() && w.missed < proofTries:
			period = proofPeriod
		}
		if due := w.asked.Add(period); due.After(now) {
			next = earlier(next, due)
			continue
		}
		if w.neighbour && w.missed >= neighbourTries && (!needed || i > 0) {
			delete(s.bench.all, w.addr)
			s.bench.refuse(w.addr, now)
			continue
		}
		if !w.ask(ask, now, s.room(now, w.echoes)) {
			next = earlier(next, now.Add(arpRetry))
			continue
		}
		w.known.Asked()
		w.asked = now
		w.missed++
		next = earlier(next, now.Add(period))
	}
	return next
}

// ask has a witness asked by echo if it answers those, else by ARP if there is room for
// that; false when it is not asked.
func (w *witness) ask(q *questions, now time.Time, room func() bool) bool {
	echo := w.mac != nil && (w.proven || w.echoed < echoTries || now.Sub(w.echoAsked) >= echoAgain)
	if echo {
		w.echoed++
		w.echoAsked = now
		q.echo = append(q.echo, question{w.addr, w.mac})
	}
	arp := !w.echoes || w.missed%echoTries == echoTries-1
	if arp = arp && room(); arp {
		q.arp = append(q.arp, question{w.addr, w.mac})
	}
	return arp || echo && w.proven
}

// echoed takes in the answer of a kernel.
func (b *bench) echoed(e netops.Echo, limit time.Duration) {
	w := b.all[e.From]
	if w == nil || e.Time.Sub(e.Asked) > limit || w.neighbour && !w.known.Proven() && !b.well {
		return
	}
	w.known.Answered(e.Time, limit)
	w.echoes, w.proven, w.echoed, w.missed = true, true, 0, 0
}

// urgency is how often a witness is asked while none of the own cluster answers.
func (s *supervisor) urgency(now, heard time.Time) time.Duration {
	if silent := now.Sub(heard); silent > s.limit/doubtInLimit && silent < 2*s.limit {
		return s.limit / hasteInLimit
	}
	return s.limit / witnessInLimit
}

// lead lists the witnesses, the one that answered last first.
func (b *bench) lead() []*witness {
	var all []*witness
	for _, w := range b.all {
		all = append(all, w)
	}
	slices.SortFunc(all, func(x, y *witness) int {
		return cmp.Or(y.known.Last().Compare(x.known.Last()), x.addr.Compare(y.addr))
	})
	return all
}

// matesHeard is the last sign of life of any server of the own cluster.
func (s *supervisor) matesHeard() (last time.Time) {
	for _, h := range s.hosts {
		last = later(last, h.witness.Last())
	}
	return last
}

// testimony is what all witnesses say of whether this server is cut off, and since when
// any are asked.
func (s *supervisor) testimony(now time.Time) (t evidence.Testimony, began time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	several := len(s.hosts)
	hear := func(w *evidence.Witness) {
		t.Last = later(t.Last, w.Last())
		if now.Sub(w.Last()) <= s.limit/2 && (t.Since.IsZero() || w.Since().Before(t.Since)) {
			t.Since = w.Since()
		}
	}
	for _, h := range s.hosts {
		if h.witness.Proven() {
			hear(&h.witness)
		}
	}
	for _, w := range s.bench.all {
		if w.known.Proven() {
			several++
			hear(&w.known)
		}
	}
	if t.Last.IsZero() { // whoever is named could be heard
		several = len(s.hosts) + len(s.bench.plan.far) + len(s.bench.plan.gateways)
	}
	t.Several = len(s.hosts) > 0 && several > 1
	return t, s.bench.began
}

// witnesses says who tells this server now that it is not cut off; the servers of its own
// cluster that answer are given.
func (s *supervisor) witnesses(mates []string) evidence.Witnesses {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := evidence.Witnesses{Mates: mates}
	several := len(s.hosts)
	for _, x := range s.bench.all {
		if !x.known.Proven() {
			w.Supposing = w.Supposing || x.missed < proofTries
			continue
		}
		several++
		if x.missed < neighbourTries {
			w.Others++
		}
	}
	w.Several = len(s.hosts) > 0 && several > 1
	return w
}

// witnessesBeside are those beside the own cluster by the document and the kernel.
func (a *Agent) witnessesBeside(gateways []netip.Addr) witnessPlan {
	mine := append(a.mates(), a.cfg.Server)
	p := witnessPlan{subnet: a.net.base.Masked(), far: farWitnesses(a.doc, a.cfg.Server, mine, a.net.base.Masked()),
		taken: map[netip.Addr]bool{}, macs: map[string]bool{}}
	for _, gw := range gateways {
		if p.subnet.Contains(gw) || a.net.base.Addr().Is6() && gw.Is6() && gw.IsLinkLocalUnicast() {
			p.gateways = append(p.gateways, gw)
			p.taken[gw] = true
		}
	}
	for _, s := range a.doc.Servers {
		p.taken[s.Base.Addr()], p.taken[a.doc.Gossip(&s).Addr()] = true, true
	}
	for _, alias := range aliasesOf(a.doc) {
		p.taken[alias.Addr()] = true
	}
	for _, mac := range a.link.macs.list() {
		p.macs[mac] = true
	}
	for _, x := range a.peers {
		if x.claim == nil {
			continue
		}
		for _, mac := range append(slices.Clone(x.claim.MACs), x.claim.MAC) {
			p.macs[mac] = true
		}
	}
	return p
}

// farWitnesses are servers of other clusters on a subnet: those that follow a server in
// the list, so that no server is asked by all.
func farWitnesses(d *clusterconf.Document, self string, mine []string, subnet netip.Prefix) []clusterconf.Server {
	if len(mine) < 2 {
		return nil // nothing to take over
	}
	far := slices.DeleteFunc(slices.Clone(d.Servers), func(s clusterconf.Server) bool {
		return slices.Contains(mine, s.Name) || !subnet.Contains(s.Base.Addr())
	})
	next, _ := slices.BinarySearchFunc(far, self, func(s clusterconf.Server, name string) int { return cmp.Compare(s.Name, name) })
	turned := slices.Concat(far[next:], far[:next])
	return turned[:min(len(turned), mostFar)]
}

// gateways are those of this server's routes, which change while it runs.
type gateways struct {
	all     []netip.Addr
	changed bool // the kernel said so
	looking bool
}

// lookAtGateways asks the kernel for the gateways of its routes, beside the main loop:
// there may be many routes.
func (a *Agent) lookAtGateways() {
	a.judgeByGateways() // that are known
	if a.link.gateways.looking {
		a.link.gateways.changed = true
		return
	}
	a.link.gateways.looking, a.link.gateways.changed = true, false
	n := a.net
	a.wg.Go(func() {
		all, err := a.deps.Kernel.Gateways(n.ifname)
		a.post(func() {
			a.link.gateways.looking = false
			if err != nil {
				a.log.Warn("looking for gateways", "interface", n.ifname, "err", err)
				return
			}
			if !slices.Equal(all, a.link.gateways.all) {
				a.link.gateways.all = all
				a.judgeByGateways()
			}
		})
	})
}

// judgeByGateways has the gateways that are known asked, and kept warm.
func (a *Agent) judgeByGateways() {
	var gw netip.Addr
	if len(a.link.gateways.all) > 0 {
		gw = a.link.gateways.all[0]
	}
	a.warmFor(gw)
	a.knowOwners(a.link.gateways.all)
	a.net.sup.setWitnesses(a.witnessesBeside(a.link.gateways.all))
}

// witnessed is who tells this server now that it is not cut off.
func (a *Agent) witnessed() evidence.Witnesses {
	var answer []string
	for _, name := range a.mates() {
		if p := a.peers[name]; p != nil && (p.liveness == failover.Alive || p.liveness == failover.AgentLost) {
			answer = append(answer, name)
		}
	}
	return a.net.sup.witnesses(answer)
}
