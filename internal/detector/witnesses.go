package detector

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"time"

	"mxcluster/internal/arpbudget"
	"mxcluster/internal/detector/evidence"
	"mxcluster/netops"
)

const (
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

// WitnessPlan says who may be a witness.
type WitnessPlan struct {
	Subnet   netip.Prefix
	Far      map[netip.Addr]string // servers of other clusters
	Gateways []netip.Addr
	Taken    map[netip.Addr]bool // addresses that are no neighbours': servers' and aliases
	MACs     map[string]bool     // likewise
}

// witnesses are those who beside the own cluster can tell a server that it is not cut off.
type witnesses struct {
	plan    WitnessPlan
	all     map[netip.Addr]*witness
	refused map[netip.Addr]time.Time // neighbours that did not answer, and when they were tried
	began   time.Time                // when there was something to find out
	well    bool                     // this server is not isolated: neighbours may be proven
}

// SetWitnesses names the hosts beside the own cluster that are asked.
func (d *Detector) SetWitnesses(p WitnessPlan) {
	d.mu.Lock()
	defer d.mu.Unlock()
	was := d.beside.all
	d.beside.plan, d.beside.all = p, map[netip.Addr]*witness{}
	keep := func(addr netip.Addr, name string) {
		w := was[addr]
		if w == nil || w.neighbour || w.name != name {
			w = &witness{name: name, addr: addr}
		}
		d.beside.all[addr] = w
	}
	for addr, name := range p.Far {
		keep(addr, name)
	}
	for _, gw := range p.Gateways {
		keep(gw, "")
	}
	for addr, w := range was {
		if w.neighbour && d.beside.all[addr] == nil && d.beside.plan.mayBe(addr, w.mac) {
			d.beside.all[addr] = w
		}
	}
	d.wake()
}

// SetWell tells whether this server is well, so that who answers is who answers then.
func (d *Detector) SetWell(well bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.beside.well = well
}

// mayBe reports whether an address with a MAC may be a neighbour's.
func (p *WitnessPlan) mayBe(addr netip.Addr, mac net.HardwareAddr) bool {
	return p.Subnet.Contains(addr) && !p.Taken[addr] && !p.MACs[mac.String()]
}

// heard takes in a frame: the answer of a witness, or a candidate's sign of life.
func (b *witnesses) heard(o netops.Observation, limit time.Duration) {
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
func (b *witnesses) candidate(o netops.Observation) {
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
func (b *witnesses) stands(o netops.Observation) bool {
	if b.plan.MACs[o.SenderMAC.String()] {
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
func (b *witnesses) refuse(addr netip.Addr, at time.Time) {
	if b.refused == nil || len(b.refused) >= mostRefused {
		b.refused = map[netip.Addr]time.Time{}
	}
	b.refused[addr] = at
}

// pollWitnesses finds which witnesses to ask now; it returns when to come again.
// While the own cluster answers they are asked now and then, so that it is known who
// they are; without it, often enough to tell within half of the silence limit.
func (d *Detector) pollWitnesses(ask *questions, now time.Time) (next time.Time) {
	next = now.Add(calmWitness)
	if len(d.hosts) == 0 {
		return next
	}
	mates := d.matesHeard()
	needed := now.Sub(mates) > d.limit/doubtInLimit
	lead := d.beside.lead()
	for i, w := range lead {
		period := calmWitness
		switch {
		case needed && i < leaders:
			period = d.urgency(now, later(mates, lead[0].known.Last()))
		case !w.known.Proven() && w.missed < proofTries:
			period = proofPeriod
		}
		if due := w.asked.Add(period); due.After(now) {
			next = earlier(next, due)
			continue
		}
		if w.neighbour && w.missed >= neighbourTries && (!needed || i > 0) {
			delete(d.beside.all, w.addr)
			d.beside.refuse(w.addr, now)
			continue
		}
		if !w.ask(ask, now, d.room(now, w.echoes)) {
			next = earlier(next, now.Add(arpbudget.Retry))
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
func (b *witnesses) echoed(e netops.Echo, limit time.Duration) {
	w := b.all[e.From]
	if w == nil || e.Time.Sub(e.Asked) > limit || w.neighbour && !w.known.Proven() && !b.well {
		return
	}
	w.known.Answered(e.Time, limit)
	w.echoes, w.proven, w.echoed, w.missed = true, true, 0, 0
}

// urgency is how often a witness is asked while none of the own cluster answers.
func (d *Detector) urgency(now, heard time.Time) time.Duration {
	if silent := now.Sub(heard); silent > d.limit/doubtInLimit && silent < 2*d.limit {
		return d.limit / hasteInLimit
	}
	return d.limit / witnessInLimit
}

// lead lists the witnesses, the one that answered last first.
func (b *witnesses) lead() []*witness {
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
func (d *Detector) matesHeard() (last time.Time) {
	for _, h := range d.hosts {
		last = later(last, h.witness.Last())
	}
	return last
}

// Testimony is what all witnesses say of whether this server is cut off, and since when
// any are asked.
func (d *Detector) Testimony(now time.Time) (t evidence.Testimony, began time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	several := len(d.hosts)
	hear := func(w *evidence.Witness) {
		t.Last = later(t.Last, w.Last())
		if now.Sub(w.Last()) <= d.limit/2 && (t.Since.IsZero() || w.Since().Before(t.Since)) {
			t.Since = w.Since()
		}
	}
	for _, h := range d.hosts {
		if h.witness.Proven() {
			hear(&h.witness)
		}
	}
	for _, w := range d.beside.all {
		if w.known.Proven() {
			several++
			hear(&w.known)
		}
	}
	if t.Last.IsZero() { // whoever is named could be heard
		several = len(d.hosts) + len(d.beside.plan.Far) + len(d.beside.plan.Gateways)
	}
	t.Several = len(d.hosts) > 0 && several > 1
	return t, d.beside.began
}

// Witnesses says who tells this server now that it is not cut off; the servers of its own
// cluster that answer are given.
func (d *Detector) Witnesses(mates []string) evidence.Witnesses {
	d.mu.Lock()
	defer d.mu.Unlock()
	w := evidence.Witnesses{Mates: mates}
	several := len(d.hosts)
	for _, x := range d.beside.all {
		if !x.known.Proven() {
			w.Supposing = w.Supposing || x.missed < proofTries
			continue
		}
		several++
		if x.missed < neighbourTries {
			w.Others++
		}
	}
	w.Several = len(d.hosts) > 0 && several > 1
	return w
}
