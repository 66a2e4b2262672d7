package seal

import (
	"crypto/subtle"
	"io"
	"slices"
	"time"
)

const (
	maxPeers = 2048 // names that are kept; the key's holders alone make any

	// How many hellos a peer's frames may cause: recorded frames of it cause them, too.
	hellosBurst  = 50
	hellosPeriod = 5 * time.Millisecond // from one more to the next

	// A nonce is asked with for so long, and its proof taken for as long again.
	nonceLife = 2 * time.Second
)

// peer is another server's agent.
type peer struct {
	run    run // that has proven itself; zero: none yet
	proven bool
	window window

	asked  [2]nonce // of the hellos that are out, the newest first; zero: none
	since  time.Time
	held   *Frame // that came last of the run that is to prove itself
	heldOf run

	hellos int // that may still be caused now
	at     time.Time
}

// question is an authentic frame that is meant for this server.
type question struct {
	header
	key     *key // that it is sealed with; a hello that answers it is sealed with the same
	size    int  // of the whole datagram
	arrived time.Time
}

// judge decides on an authentic frame that is meant for this server.
func (b *Box) judge(q question, body []byte) Opened {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.peer(q.from, q.arrived)
	if p.proven && p.run == q.run {
		return b.present(p, q, body)
	}
	return b.unknown(p, q, body)
}

// present decides on a frame of the run that a peer has proven.
func (b *Box) present(p *peer, q question, body []byte) Opened {
	o := Opened{From: q.from}
	if !p.window.take(q.counter) {
		o.Verdict = Replayed
		return o
	}
	if q.kind != hello {
		o.Frames = []Frame{{q.kind, body}}
		return o
	}
	if theirs, _, ok := parseHello(body); ok && theirs != (nonce{}) {
		o.Answers = b.answer(p, q, nonce{}, theirs)
	}
	return o
}

// unknown decides on a frame of another run than the one proven: it may be that
// of an agent that was started again, or one that somebody recorded.
func (b *Box) unknown(p *peer, q question, body []byte) Opened {
	o := Opened{From: q.from, Verdict: Unproven}
	var theirs, echo nonce
	if q.kind == hello {
		theirs, echo, _ = parseHello(body)
	}
	if p.echoed(echo, q.arrived) {
		o.Verdict = Accepted
		if p.held != nil && p.heldOf == q.run {
			o.Frames = []Frame{*p.held}
		}
		*p = peer{run: q.run, proven: true, window: windowFrom(q.counter), hellos: p.hellos, at: p.at}
		if theirs != (nonce{}) {
			o.Answers = b.answer(p, q, nonce{}, theirs)
		}
		return o
	}
	if q.kind != hello {
		p.held, p.heldOf = &Frame{q.kind, body}, q.run
	}
	if o.Answers = b.answer(p, q, p.ask(b.random, q.arrived), theirs); len(o.Answers) == 0 {
		o.Verdict = Unwelcome
	}
	return o
}

// answer is a hello for a peer, unless it would be longer than what it answers,
// or too many were caused.
func (b *Box) answer(p *peer, q question, ours, echo nonce) [][]byte {
	if q.size < Overhead+len(b.name)+len(q.from)+helloSize || !p.mayCause(q.arrived) {
		return nil
	}
	return [][]byte{b.seal(q.key, hello, q.from, slices.Concat(ours[:], echo[:]))}
}

// mayCause counts a hello.
func (p *peer) mayCause(now time.Time) bool {
	if more := int(now.Sub(p.at) / hellosPeriod); more > 0 {
		p.hellos, p.at = min(p.hellos+more, hellosBurst), now
	}
	if p.hellos == 0 {
		return false
	}
	p.hellos--
	return true
}

// ask returns the nonce that the peer is to echo. It is the same for some time,
// so that an answer that is late, or whose question came twice, still counts.
func (p *peer) ask(random io.Reader, now time.Time) nonce {
	if p.asked[0] != (nonce{}) && now.Sub(p.since) < nonceLife {
		return p.asked[0]
	}
	before := p.asked[0]
	if now.Sub(p.since) >= 2*nonceLife {
		before = nonce{}
	}
	var fresh nonce
	if _, err := io.ReadFull(random, fresh[:]); err != nil {
		return nonce{} // nobody can prove anything by a zero
	}
	p.asked, p.since = [2]nonce{fresh, before}, now
	return fresh
}

// echoed tells whether a nonce is one that the peer was asked with.
func (p *peer) echoed(echo nonce, now time.Time) bool {
	if echo == (nonce{}) || now.Sub(p.since) >= 2*nonceLife {
		return false
	}
	return subtle.ConstantTimeCompare(echo[:], p.asked[0][:])|subtle.ConstantTimeCompare(echo[:], p.asked[1][:]) == 1
}

// peer finds or makes what is known of a name.
func (b *Box) peer(name string, now time.Time) *peer {
	if p := b.peers[name]; p != nil {
		return p
	}
	if len(b.peers) >= maxPeers {
		b.forgetOne()
	}
	p := &peer{hellos: hellosBurst, at: now}
	b.peers[name] = p
	return p
}

// forgetOne makes room: for a name that has proven nothing, if there is one.
func (b *Box) forgetOne() {
	last := ""
	for name, p := range b.peers {
		last = name
		if !p.proven {
			break
		}
	}
	delete(b.peers, last)
}

// parseHello reads the body of a hello.
func parseHello(body []byte) (ours, echo nonce, ok bool) {
	if len(body) != helloSize {
		return nonce{}, nonce{}, false
	}
	return nonce(body[:nonceSize]), nonce(body[nonceSize:]), true
}
