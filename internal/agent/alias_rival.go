package agent

import (
	"context"
	"encoding/json"
	"time"

	"mxcluster/internal/failover"
	"mxcluster/internal/member"
)

const (
	rivalTries  = 4                                   // questions that are sent until one is answered
	rivalPeriod = failover.RivalPatience              // from one question to the next
	rivalResend = failover.RivalPatience / rivalTries // until one is sent again, which may have been lost
	rivalAgain  = 10                                  // questions more, while there is no answer and no new claim
	usedFor     = 30 * time.Second                    // after the last frame with a server's MAC that is not its own
	muteAfter   = time.Second                         // without an answer until that is an alarm
)

// note is a short question, or the answer, that one agent sends another in a datagram.
type note struct {
	ID   uint64              `json:"id"`
	LIM  int                 `json:"lim"`
	Word *failover.AliasWord `json:"word,omitempty"` // nil: the question whether it has the LIM's alias
}

// rival is what comes of frames with the MAC address of a LIM's other server that claim
// the alias held here.
type rival struct {
	id     uint64    // of the last question; 0: there was none
	asked  time.Time // when
	open   bool      // it is not settled yet
	waits  bool      // the next one waits for its turn
	held   bool      // it was answered that the other server has it
	owed   bool      // frames came since the last one was asked
	again  int       // questions without an answer since the last frame
	mac    string
	frame  time.Time // when the last frame came that is no probe
	usedAt time.Time // when the other server last disowned such a frame; zero: never
	muteAt time.Time // when it last did not answer; zero: never
}

// rivalClaims finds out whether a frame with the MAC address of the LIM's other server is
// its own: that is asked, for anybody can send such frames.
func (a *alias) rivalClaims(mac string, at time.Time, probe, yields bool) {
	r := &a.rival
	r.mac, r.owed, r.again = mac, true, 0
	if !probe {
		r.frame = at
	}
	if !yields {
		a.defend()
	}
	a.askRival()
}

// askRival asks the other server whether it has an alias that is held here, one question
// at a time.
func (a *alias) askRival() {
	r, now := &a.rival, time.Now()
	if r.open || r.waits || !r.owed || !a.holds {
		return
	}
	if wait := r.asked.Add(rivalPeriod).Sub(now); wait > 0 {
		r.waits = true
		a.after(wait, func() {
			r.waits = false
			a.askRival()
		})
		return
	}
	a.notes = max(a.notes+1, uint64(now.UnixNano()))
	r.id, r.asked, r.open, r.owed = a.notes, now, true, false
	a.sendQuestion(r.id, rivalTries)
}

// sendQuestion sends a question, and again as often as there are tries, and judges by
// what is known when there was no answer.
func (a *alias) sendQuestion(id uint64, tries int) {
	_, other := a.other(time.Now())
	a.tell(other, note{ID: id, LIM: a.lim})
	a.after(rivalResend, func() {
		switch {
		case !a.rival.open || a.rival.id != id:
		case tries > 1:
			a.sendQuestion(id, tries-1)
		default:
			a.judgeRival(nil)
		}
	})
}

// tell sends another server a note.
func (a *aliases) tell(server string, n note) {
	raw, err := json.Marshal(n)
	if err != nil {
		a.log.Error("encoding a note", "to", server, "err", err)
		return
	}
	a.net.pool.Tell(server, raw)
}

// noteHeard answers another server's question, or takes its answer.
func (a *aliases) noteHeard(ev member.Event) {
	var n note
	if err := json.Unmarshal(ev.Payload, &n); err != nil {
		a.log.Warn("ignoring a note that cannot be read", "from", ev.From, "err", err)
		return
	}
	if n.Word == nil {
		n.Word = a.word(n.LIM, time.Now())
		a.tell(ev.From, n)
		return
	}
	x := a.all[n.LIM]
	if x == nil || n.ID != x.rival.id || !x.holds {
		return
	}
	if _, other := x.other(time.Now()); other == ev.From {
		x.judgeRival(n.Word)
	}
}

// word is what this server says when it is asked for a LIM's alias. The main loop says
// it, without which no alias is taken.
func (a *aliases) word(lim int, now time.Time) *failover.AliasWord {
	x := a.all[lim]
	if x == nil {
		return &failover.AliasWord{Free: now.Sub(a.started)}
	}
	w := &failover.AliasWord{Holds: x.onWire(), Term: a.term(lim)}
	if !w.Holds {
		w.Free = now.Sub(later(a.started, x.wireAt))
	}
	return w
}

// judgeRival settles whose an alias is by the other server's word; nil: it did not answer.
func (a *alias) judgeRival(answer *failover.AliasWord) {
	r, now := &a.rival, time.Now()
	if !a.holds { // it was given up meanwhile
		r.open, r.owed = false, false
		return
	}
	x := failover.Rival{Now: now, Asked: r.asked, Answer: answer, Began: a.held.of(a.addr.Addr())}
	yields, other := a.other(now)
	x.Yields = yields
	if p := a.peers.all[other]; p != nil && p.Claim != nil {
		theirs := p.Claim.LIM(a.lim)
		x.LastHolds = theirs.Holds && !theirs.Blocked
		if x.LastHeard = p.at; p.stale {
			x.LastHeard = p.claimed
		}
	}
	r.open, r.held = false, answer != nil && answer.Holds
	switch x.Judge() {
	case failover.RivalAwaited: // without an answer it is judged when the time for one is over
		r.open = true
		return
	case failover.RivalWins:
		a.nothingNew = false
		a.net.pool.Ask(other)
		a.block(rivalHeard)
	case failover.RivalLoses:
		a.net.pool.Ask(other)
		a.defend()
	case failover.RivalDenies:
		a.rivalDenied(*answer, now)
	case failover.RivalMute:
		a.nothingNew = false
		r.muteAt = now
		a.defend()
		r.again++
		r.owed = r.owed || r.again < rivalAgain
	}
	a.askRival()
}

// heldThere reports whether an alias is blocked because the other server has said that it
// has it, and not only because frames say so.
func (a *alias) heldThere() bool { return a.blocked == rivalHeard && a.rival.held }

// awaitWord asks the other server from time to time as long as it says that it has an
// alias that is blocked here. Nobody else is asked: the probes would be in the way of its
// own, with which it finds out whether it may show the alias.
func (a *alias) awaitWord(ctx context.Context) {
	a.after(2*rivalPeriod, func() {
		if ctx.Err() != nil {
			return
		}
		a.rival.owed = true
		a.askRival()
		a.after(2*rivalPeriod, func() { a.blockAgain(ctx) })
	})
}

// blockAgain goes on blocking an alias by what is known now.
func (a *alias) blockAgain(ctx context.Context) {
	if ctx.Err() == nil {
		a.clearing()
		a.keepBlocked(a.blocked)
	}
}

// rivalDenied serves on: the other server says that it does not have the alias.
func (a *alias) rivalDenied(w failover.AliasWord, now time.Time) {
	r := &a.rival
	r.muteAt = time.Time{}
	if !r.frame.IsZero() && w.Disowns(now.Sub(r.frame)) {
		r.usedAt = now
	}
	if a.blocked == rivalHeard {
		a.unblock()
		return
	}
	a.defend()
}
