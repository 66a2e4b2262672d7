package agent

import (
	"context"
	"encoding/json"
	"time"

	"mxcluster/internal/failover"
)

const (
	rivalTries  = 4                                   // times that a question is sent until it is answered
	rivalPeriod = failover.RivalPatience              // between questions
	rivalResend = failover.RivalPatience / rivalTries // between repetitions of a question, which may be lost
	rivalAgain  = 10                                  // further questions while neither an answer nor a new claim comes
	usedFor     = 30 * time.Second                    // how long a disowned frame with a server's MAC is reported
	muteAfter   = time.Second                         // how long a missing answer is tolerated without an alarm
)

// aliasQuery is a short question from one agent to another, or the answer to it, in one datagram.
type aliasQuery struct {
	ID     uint64                `json:"id"`
	LIM    int                   `json:"lim"`
	Answer *failover.AliasAnswer `json:"word,omitempty"` // nil: it is the question whether the receiver has the LIM's alias
}

// rival is the state of dealing with frames that have the MAC address of the LIM's other server and
// claim the alias held here.
type rival struct {
	id     uint64    // of the last question; 0: there was none
	asked  time.Time // when
	open   bool      // the question is not settled
	waits  bool      // the next question waits for its time
	held   bool      // the last answer was that the other server has the alias
	owed   bool      // frames came after the last question
	again  int       // unanswered questions since the last frame
	mac    string
	frame  time.Time // last frame that was no probe
	usedAt time.Time // when the other server last disowned such a frame; zero: never
	muteAt time.Time // when it last did not answer; zero: never
}

// rivalClaims handles a frame with the MAC address of the LIM's other server. As anybody can send
// such frames, that server is asked.
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

// askRival asks the other server whether it has an alias that is held here. There is one question
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
	a.lastQueryID = max(a.lastQueryID+1, uint64(now.UnixNano()))
	r.id, r.asked, r.open, r.owed = a.lastQueryID, now, true, false
	a.sendQuestion(r.id, rivalTries)
}

// sendQuestion sends a question up to tries times. Without an answer the rival is judged by what is
// known.
func (a *alias) sendQuestion(id uint64, tries int) {
	_, other := a.other(time.Now())
	a.sendQuery(other, aliasQuery{ID: id, LIM: a.lim})
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

// sendQuery sends a question or answer to another server.
func (a *aliases) sendQuery(server string, n aliasQuery) {
	raw, err := json.Marshal(n)
	if err != nil {
		a.log.Error("encoding a note", "to", server, "err", err)
		return
	}
	a.net.pool.Tell(server, raw)
}

// queryHeard answers another server's question, or handles its answer.
func (a *aliases) queryHeard(from string, n aliasQuery) {
	if n.Answer == nil {
		n.Answer = a.answerFor(n.LIM, time.Now())
		a.sendQuery(from, n)
		return
	}
	x := a.all[n.LIM]
	if x == nil || n.ID != x.rival.id || !x.holds {
		return
	}
	if _, other := x.other(time.Now()); other == from {
		x.judgeRival(n.Answer)
	}
}

// answerFor is this server's answer about a LIM's alias. It is given by the main loop, which also
// takes aliases, so that it cannot be overtaken.
func (a *aliases) answerFor(lim int, now time.Time) *failover.AliasAnswer {
	x := a.all[lim]
	if x == nil {
		return &failover.AliasAnswer{Free: now.Sub(a.started)}
	}
	w := &failover.AliasAnswer{Holds: x.onWire(), Term: a.term(lim)}
	if !w.Holds {
		w.Free = now.Sub(later(a.started, x.wireAt))
	}
	return w
}

// judgeRival decides who keeps the alias by the other server's answer; nil: it did not answer.
func (a *alias) judgeRival(answer *failover.AliasAnswer) {
	r, now := &a.rival, time.Now()
	if !a.holds { // given up meanwhile
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
	case failover.RivalAwaited: // judged without an answer when the time for one is over
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

// heldThere reports whether the alias is blocked because the other server answered that it has it.
func (a *alias) heldThere() bool { return a.blocked == rivalHeard && a.rival.held }

// awaitAnswer repeats the question from time to time while the other server holds an alias that is
// blocked here. There are no probes meanwhile: they would disturb the probes by which the other
// server finds out whether it may unblock.
func (a *alias) awaitAnswer(ctx context.Context) {
	a.after(2*rivalPeriod, func() {
		if ctx.Err() != nil {
			return
		}
		a.rival.owed = true
		a.askRival()
		a.after(2*rivalPeriod, func() { a.blockAgain(ctx) })
	})
}

// blockAgain continues to block an alias, by what is known now.
func (a *alias) blockAgain(ctx context.Context) {
	if ctx.Err() == nil {
		a.clearing()
		a.keepBlocked(a.blocked)
	}
}

// rivalDenied goes on serving: the other server answered that it does not have the alias.
func (a *alias) rivalDenied(w failover.AliasAnswer, now time.Time) {
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
