package detector

import (
	"cmp"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"mxcluster/internal/arpbudget"
	"mxcluster/internal/detector/evidence"
)

// questions are what is due to be asked. They are asked when the detector is
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

func (d *Detector) send(q questions) {
	// A failed send is a question without an answer: the link is down.
	for _, ask := range q.arp {
		_ = d.Wire.Ask(d.Self, ask.target, ask.to)
	}
	for _, ask := range q.echo {
		_ = d.Wire.Echo(d.Self, ask.target, ask.to)
	}
	for _, p := range q.point {
		d.Point(p.target, p.to)
	}
	for _, server := range q.gossip {
		d.Ask(server)
	}
}

// poll finds whom to ask now, and judges everybody. It returns when to come
// again, and whether a judgement changed.
func (d *Detector) poll(now time.Time) (next time.Time, ask questions, news bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Sub(d.polled) > d.limit/2 {
		d.steady = now
	}
	d.polled = now
	next = now.Add(time.Second)
	for _, h := range d.turns() {
		if !h.next.After(now) {
			d.pollHost(h, &ask, now)
			if h.pulse.InDoubt() && !h.nextAsk.After(now) {
				h.nextAsk = now.Add(askPeriod)
				ask.gossip = append(ask.gossip, h.name)
			}
		}
		news = h.judge(now) || news
		next = earlier(next, h.next)
	}
	for _, a := range d.aliases {
		if !a.next.After(now) {
			d.pollAlias(a, &ask, now)
		}
		if quiet := a.silent(now); quiet != a.quiet {
			a.quiet, news = quiet, true
		}
		next = earlier(next, a.next)
	}
	next = earlier(next, d.pollWitnesses(&ask, now))
	return earlier(next, d.proxies.ask(&ask, now, d.room(now, true))), ask, news
}

// turns are the hosts in the order in which they are asked: who was asked by ARP longest ago
// comes first, so that nobody takes all of the budget.
func (d *Detector) turns() []*host {
	return slices.SortedFunc(maps.Values(d.hosts), func(a, b *host) int {
		return cmp.Or(a.arped.Compare(b.arped), strings.Compare(a.name, b.name))
	})
}

// room returns how it is found out whether there is room for an ARP question.
func (d *Detector) room(now time.Time, bound bool) func() bool {
	return func() bool { return d.Budget.Take(now, 1, arpbudget.Poll) || !bound && d.unbounded() }
}

// unbounded reports whether the silence limit is so short that the budget does not bound
// what those are asked that answer no echoes.
func (d *Detector) unbounded() bool {
	well, _ := evidence.ARPRates(d.limit)
	return well > 0
}

// pollHost has a host's kernel asked for its base address.
func (d *Detector) pollHost(h *host, ask *questions, now time.Time) {
	h.agent.Polled(now)
	placed, room := h.mac != nil, d.room(now, h.pulse.Echoes())
	q := h.pulse.Wants(now, placed)
	d.call(h, &q, now)
	q.One, q.All = q.One && room(), q.All && room()
	if q.One || q.All {
		h.arped = now
	}
	h.pulse.Asked(now, q, placed)
	h.witness.Asked()
	h.next = now.Add(h.pulse.Period(now))
	if h.sighting.Gone && h.addrs.Rival {
		h.next = earlier(h.next, now.Add(gonePeriod))
	}
	if q.One {
		ask.arp = append(ask.arp, question{h.addrs.Base, h.mac})
	}
	if q.All {
		ask.arp = append(ask.arp, question{target: h.addrs.Base})
	}
	if q.Echo {
		ask.echo = append(ask.echo, question{h.addrs.Base, h.place()})
		if h.pulse.InDoubt() && h.addrs.Alias.IsValid() && h.turn%aliasTurns == 0 {
			ask.echo = append(ask.echo, question{h.addrs.Alias, h.mac})
		}
		h.turn++
	}
	if h.sighting.Gone && placed && !h.nextPoint.After(now) {
		h.nextPoint = now.Add(pointPeriod)
		ask.point = append(ask.point, question{h.addrs.Base, h.mac})
	}
}

// call has a rival that is gone asked by ARP now and then, too. An echo does not do: the
// kernel of one that was cut off since it booted answers it once it knows where to, and
// asks for that once a second.
func (d *Detector) call(h *host, q *evidence.Questions, now time.Time) {
	if !h.sighting.Gone || !h.addrs.Rival {
		return
	}
	if !q.One && !q.All {
		if now.Sub(d.called) < callPeriod {
			return
		}
		q.One, q.All = h.mac != nil, h.mac == nil
	}
	d.called = now
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
	h.sighting.Gone, h.sighting.Doubtful = v.Gone, v.Doubtful
	h.sighting.AgentLost = h.agent.Silent(now)
	return before != h.sighting
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
