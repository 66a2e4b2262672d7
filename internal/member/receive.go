package member

import (
	"encoding/json"
	"maps"
	"net/netip"
	"time"
)

// askAgain is how long a missing state is left to arrive before it is asked for
// once more.
const askAgain = 50 * time.Millisecond

// dispatch turns what came in into events, and answers questions.
func (p *Pool) dispatch() {
	defer close(p.events)
	for {
		in, ok := p.queue.take()
		if !ok {
			return
		}
		for _, ev := range p.receive(in) {
			select {
			case p.events <- ev:
			case <-p.done:
				return
			}
		}
	}
}

// receive takes in one datagram, message or remote state.
func (p *Pool) receive(in incoming) []Event {
	if in.refusal != nil {
		return []Event{{Kind: Refused, At: in.at, Refusal: in.refusal}}
	}
	if in.states {
		return p.receiveStates(in)
	}
	var e envelope
	if err := json.Unmarshal(in.body, &e); err != nil || !in.fits(&e) || e.Origin == p.cfg.Name {
		p.cfg.Log.Debug("ignoring a gossip message", "err", err, "origin", e.Origin, "from", in.from)
		return nil
	}
	if in.from != "" {
		e.Addr = in.source
	}
	p.hear(e.Origin, e.Addr)
	switch e.Kind {
	case kindMessage:
		return []Event{{Kind: MessageHeard, From: e.Origin, At: in.at, Sent: e.sentAt(), Payload: e.Payload}}
	case kindState:
		if p.merge(record{Origin: e.Origin, Seq: e.Seq, Payload: e.Payload}) {
			return []Event{{Kind: StateHeard, From: e.Origin, At: in.at, Sent: e.sentAt(), Payload: e.Payload}}
		}
	case kindAsk:
		p.outlive(e.Known)
		p.answer(e.Origin, e.Known)
	}
	if p.disagrees(e.Origin, e.Seq, in.at) {
		p.Ask(e.Origin)
	}
	ev := Event{Kind: BeatHeard, From: e.Origin, At: in.at, Sent: e.sentAt(), Stale: p.outdated(e.Origin, e.Seq)}
	switch e.Kind {
	case kindBeat, kindState, kindAsk:
	case kindNote:
		ev.Kind, ev.Payload = NoteHeard, e.Payload
	default:
		ev.Kind, ev.Form = LaterHeard, e.Kind[:min(len(e.Kind), maxForm)]
	}
	if e.Seq > highest(p.cfg.Now()) { // it lives, whatever it says
		return []Event{ev, {Kind: Refused, From: e.Origin, At: in.at, Refusal: &Refusal{Kind: "state-number", Count: 1, From: in.source.Addr(),
			Reason: "numbered beyond reason", Remedy: "see to its clock, then restart its agent"}}}
	}
	return []Event{ev}
}

// maxForm bounds how much of an unknown kind is passed on.
const maxForm = 32

// fits reports whether an envelope may come the way it came: messages over
// connections, all else in datagrams, under the name that sealed them.
func (in *incoming) fits(e *envelope) bool {
	if in.from == "" {
		return e.Origin != "" && e.Kind == kindMessage
	}
	return e.Origin == in.from && e.Kind != kindMessage
}

// outdated reports whether a server that speaks has another state than the one
// known here: it may be a new run of its agent, of which nothing was heard yet.
func (p *Pool) outdated(origin string, seq uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.states[origin].Seq != seq
}

// receiveStates merges what came with a push/pull. It is no sign of life of the
// servers named in it: it may be old.
func (p *Pool) receiveStates(in incoming) []Event {
	var all []json.RawMessage
	if err := json.Unmarshal(in.body, &all); err != nil {
		p.cfg.Log.Debug("ignoring push/pull states that cannot be read", "err", err)
		return nil
	}
	var out []Event
	for _, raw := range all {
		var r record
		switch err := json.Unmarshal(raw, &r); {
		case err != nil:
			p.cfg.Log.Debug("ignoring a push/pull state that cannot be read", "err", err)
		case r.Origin == p.cfg.Name:
			p.outlive(r.Seq)
		case p.merge(r):
			// The zero time says that nobody knows when that server lived.
			out = append(out, Event{Kind: StateHeard, From: r.Origin, Payload: r.Payload})
		}
	}
	return out
}

// hear notes where a server says that it is.
func (p *Pool) hear(name string, at netip.AddrPort) {
	if !at.IsValid() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.heard[name]; !ok && p.stranger(name) && len(p.heard) >= len(p.peers)+maxStrangers {
		return
	}
	p.heard[name] = at
}

// maxStrangers is how many servers are remembered that should not be there: they may be
// new, or invented by one that lies.
const maxStrangers = 64

// stranger tells, under the lock, whether a name is that of no server that should be there.
func (p *Pool) stranger(name string) bool { return p.peers[name] == nil }

// makeRoom forgets, under the lock, what strangers say, if there are too many: who is new
// is asked again.
func (p *Pool) makeRoom() {
	if len(p.states) < len(p.peers)+maxStrangers {
		return
	}
	maps.DeleteFunc(p.states, func(name string, _ record) bool { return p.stranger(name) })
	maps.DeleteFunc(p.asked, func(name string, _ time.Time) bool { return p.stranger(name) })
}

// merge keeps a state if it is newer than the one known.
func (p *Pool) merge(r record) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	old, ok := p.states[r.Origin]
	if !r.valid(p.cfg.Now()) || ok && old.Seq >= r.Seq {
		return false
	}
	if !ok && p.stranger(r.Origin) {
		p.makeRoom()
	}
	p.states[r.Origin] = r
	return true
}

// disagrees reports whether a server's own number of its state is not the one
// known here, and it is time to ask. A higher one means that a state was lost.
// A lower one may be an old datagram, or that server's clock went back across
// its restart; it finds out by what the question says is known.
func (p *Pool) disagrees(origin string, seq uint64, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if seq == 0 || seq > highest(p.cfg.Now()) || seq == p.states[origin].Seq || now.Sub(p.asked[origin]) < askAgain {
		return false
	}
	p.asked[origin] = now
	return true
}

// outlive puts this run's states after one of an earlier run whose clock was
// ahead: without it the others would hold on to what that run said last.
func (p *Pool) outlive(seq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if seq > p.own.Seq && seq <= highest(p.cfg.Now()) {
		p.own.Seq = seq + 1
	}
}

// answer sends this server's state to one that asked; one that knows it already
// gets the heartbeat, which is shorter and so survives a bad line better.
func (p *Pool) answer(name string, known uint64) {
	p.mu.Lock()
	own := p.own
	p.mu.Unlock()
	if len(own.Payload) == 0 || own.Seq == known {
		p.Beat(name)
		return
	}
	p.sendFast(stateEnvelope(own), name)
}
