package agent

import (
	"crypto/rand"
	"fmt"
	"maps"
	"strings"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/failover"
	"mxcluster/internal/fault"
)

// orderLife is how long an accepted order may take.
const orderLife = time.Minute

const (
	permitLife = orderTimeout // as long as the answer to the order is waited for
	maxPermits = 16           // outstanding permits per server
)

// permit is a single-use token for an order from another agent. The server that is to carry the
// order out issues it for one order, and keeps it for this run only. So an order is carried out at
// most once, by the run that was asked, within a time measured by its own monotonic clock, and only
// while LIM and document are unchanged.
type permit struct {
	server string // that requested it
	lim    int
	term   uint64 // highest known term of the LIM
	age    clusterconf.Age
	until  time.Time
}

// permits are the outstanding permits, by the ID of the order.
type permits map[string]permit

// give adds a permit; false if the server has too many. Expired ones are removed.
func (p permits) give(id string, x permit, now time.Time) bool {
	maps.DeleteFunc(p, func(_ string, x permit) bool { return !now.Before(x.until) })
	out := 0
	for _, other := range p {
		if other.server == x.server {
			out++
		}
	}
	if out >= maxPermits {
		return false
	}
	p[id] = x
	return true
}

// take uses a permit up. It returns why the order may not be carried out; "": it may. now is what
// the permit would be at present.
func (p permits) take(id string, now permit, at time.Time) string {
	x, ok := p[id]
	delete(p, id)
	switch {
	case !ok || x.server != now.server || x.lim != now.lim:
		return "it has no permit of this run of the agent, or was carried out before"
	case !at.Before(x.until):
		return fmt.Sprintf("it came %s after it was over", at.Sub(x.until).Round(time.Millisecond))
	case x.age != now.age:
		return fmt.Sprintf("it was given under revision %d of the cluster document, and that is at %d", x.age.Revision, now.age.Revision)
	case x.term != now.term:
		return fmt.Sprintf("the LIM was started since: the order is of term %d, the LIM at %d", x.term, now.term)
	}
	return ""
}

// permitFor returns the permit for a LIM at present.
func (a *orders) permitFor(server string, lim int, now time.Time) permit {
	return permit{server: server, lim: lim, term: a.lims.highestTerm(lim), age: a.doc.Age(), until: now.Add(permitLife)}
}

// permitAsked issues a permit to another agent. Both agents must have the same document in force.
func (a *orders) permitAsked(from string, m message) {
	if m.Order == nil || a.deferOrder(from, m) {
		return
	}
	answer := message{Type: typeReply, ID: m.ID}
	id, now := rand.Text(), time.Now()
	switch {
	case m.age().Compare(a.doc.Age()) < 0:
		answer.Revision, answer.Epoch = a.doc.Revision, a.doc.Epoch
		answer.Error = &messageError{Code: fault.Busy, Hint: "try again; `mxcluster status -o json` shows the revision of each server",
			Message: fmt.Sprintf("%s works by revision %d of the cluster document, the server that gives the order by %d", a.cfg.Server, a.doc.Revision, m.Revision)}
	case !a.permits.give(id, a.permitFor(from, m.Order.LIM, now), now):
		answer.Error = &messageError{Code: fault.Busy, Hint: "try again", Message: fmt.Sprintf("%s has %d orders of %s under way", a.cfg.Server, maxPermits, from)}
	default:
		answer.Permit, answer.Drains = id, true
	}
	a.mail.send(from, answer, nil)
}

// forbids uses up the permit of an order, and returns why the order may not be carried out; "": it
// may.
func (a *orders) forbids(from string, m message) string {
	now := time.Now()
	return a.permits.take(m.Permit, a.permitFor(from, m.Order.LIM, now), now)
}

// forbidden records an order that is refused.
func (a *orders) forbidden(from string, m message, why string) error {
	a.refusals.refuse(from, "order-refused", fmt.Sprintf("an order of %s for LIM %d (%s) was not carried out: %s", from, m.Order.LIM, m.Order.Kind, why))
	return fault.New(fault.Busy, "look at `mxcluster status`, and try again", "%s did not carry the order out: %s", a.cfg.Server, why)
}

// orderHeard carries out an order that another agent forwarded.
func (a *orders) orderHeard(from string, m message) {
	if m.Order == nil {
		return
	}
	if why := a.forbids(from, m); why != "" {
		a.answerOrder(from, m.ID, nil, a.forbidden(from, m, why))
		return
	}
	done := a.takeOrder(m.Permit, from, *m.Order)
	a.wg.Go(func() {
		select {
		case r := <-done:
			a.post(func() { a.answerOrder(from, m.ID, r.result, r.err) })
		case <-a.ctx.Done():
		}
	})
}

// noticeHeard adds a pending order that another server has accepted. If the LIM has moved already,
// the notice is late and ignored.
func (a *orders) noticeHeard(from string, m message) {
	if m.Order != nil && a.concerns(m.Order.LIM) && a.forbids(from, m) == "" {
		a.addOrder(*m.Order)
	}
}

// answerOrder sends the result of an order to another agent.
func (a *orders) answerOrder(to, id string, res *control.OrderResult, err error) {
	answer := message{Type: typeReply, ID: id, Result: res}
	if err != nil {
		answer.Error = &messageError{Code: fault.CodeOf(err), Message: err.Error(), Hint: fault.HintOf(err)}
	}
	a.mail.send(to, answer, nil)
}

// takeOrder carries out an order that this server has to act on. The answer is sent to the channel.
// from is the server whose agent forwarded it, with this ID; "": this one.
func (a *orders) takeOrder(id, from string, o control.Order) <-chan reply {
	switch {
	case o.Dead != "":
		return a.orderFromDead(o)
	case drains(o):
		return a.takeDrained(id, from, o)
	}
	ch := make(chan reply, 1)
	res, err := a.orderHere(o)
	ch <- reply{result: res, err: err}
	return ch
}

// orderHere carries out an order that this server has to act on.
func (a *orders) orderHere(o control.Order) (*control.OrderResult, error) {
	if o.Kind == control.OrderRehearse {
		if err := a.acts(o); err != nil {
			return nil, err
		}
		return a.rehearse(o)
	}
	m, err := a.plan(o)
	switch {
	case err != nil:
		return nil, err
	case m.already != nil:
		return m.already, nil
	case o.DryRun:
		res := m.result("would move", "would be")
		if o.DrainCalls > 0 {
			res.Drains = a.wouldDrain(o)
		}
		return res, nil
	}
	if err := m.evictable(o); err != nil {
		return nil, err
	}
	a.endDrain(o.LIM, "another order was given for it")
	a.journal.order(o, m.target)
	a.addOrder(o)
	a.notice(m.target, o)
	res := m.result("moves", "is")
	res.Accepted = true
	return res, nil
}

// acts refuses an order that another server has to act on.
func (a *orders) acts(o control.Order) error {
	actor, err := a.actor(o)
	if err == nil && actor != a.cfg.Server {
		err = fault.New(fault.Refused, "try again", "%s is not the server that can do that; the cluster document has just changed", a.cfg.Server)
	}
	return err
}

// move is what an order would do that moves a LIM away from here.
type move struct {
	lim     int
	target  string
	evicts  int                  // the LIM that is stopped there for it; 0: none
	blocked []string             // what speaks against it; the order overrules that
	already *control.OrderResult // nothing is to be done; nil: the LIM is to be moved
}

// evictable refuses an order that would stop another LIM than whoever gave it knows of.
func (m *move) evictable(o control.Order) error {
	if m.evicts != 0 && o.Evict != m.evicts {
		return fault.New(fault.Refused, "with --yes it is stopped", "LIM %d would have to be stopped on %s for LIM %d", m.evicts, m.target, m.lim)
	}
	return nil
}

// result words it.
func (m *move) result(moves, is string) *control.OrderResult {
	text := fmt.Sprintf("LIM %d %s to %s", m.lim, moves, m.target)
	if m.evicts != 0 {
		text += fmt.Sprintf(", and LIM %d %s stopped there", m.evicts, is)
	}
	if len(m.blocked) > 0 {
		text += ", although " + strings.Join(m.blocked, "; ")
	}
	return &control.OrderResult{Target: m.target, Evicts: m.evicts, Text: text}
}

// plan refuses an order to move a LIM that must not be, and says what it would do.
func (a *orders) plan(o control.Order) (*move, error) {
	if err := a.acts(o); err != nil {
		return nil, err
	}
	c, regular := a.doc.ClusterOfLIM(o.LIM), a.doc.RegularOf(o.LIM)
	m, hereActive := &move{lim: o.LIM, target: regular.Name}, a.lims.of(o.LIM).State.Active()
	v := a.view(time.Now())
	blockedBy := failover.FallbackBlockedBy
	if o.Kind != control.OrderFallback {
		m.target, m.evicts = c.Standby, failover.Evicts(v, c, o.LIM)
		blockedBy = failover.FailoverBlockedBy
	}
	var able bool
	m.blocked, able = blockedBy(v, o.LIM)
	p := a.peers.all[m.target]
	switch {
	case !hereActive && p != nil && p.Liveness == failover.Alive && p.Claim.LIM(o.LIM).State.Active():
		m.already = &control.OrderResult{Accepted: true, Already: true, Target: m.target, Text: isThere(o.LIM, m.target, p.Claim.LIM(o.LIM).State)}
	case failover.LockAgainst(v, o.Kind, o.LIM) != "":
		return nil, fault.New(fault.Refused, fmt.Sprintf("unlock it first: `mxcluster unlock %d`", o.LIM),
			"LIM %d cannot move to %s: it is %s", o.LIM, m.target, failover.LockAgainst(v, o.Kind, o.LIM))
	case !hereActive:
		return nil, fault.New(fault.Refused, "look at `mxcluster status`", "LIM %d does not run on %s%s", o.LIM, a.cfg.Server, a.whyIdle(o.LIM))
	case p == nil || p.Liveness != failover.Alive:
		return nil, fault.New(fault.Refused, "start its agent first", "LIM %d cannot move: %s", o.LIM, strings.Join(m.blocked, "; "))
	case len(m.blocked) > 0 && (!o.Now || !able):
		soon, _ := blockedBy(failover.Soon(v, m.target, o.LIM), o.LIM)
		return nil, fault.New(fault.Refused, blockedHint(o, able, len(soon) == 0, p.Claim.LIM(o.LIM).State == failover.Failed), "LIM %d cannot move: %s", o.LIM, strings.Join(m.blocked, "; "))
	}
	return m, nil
}

// isThere words that a LIM is on the target already.
func isThere(lim int, target string, s failover.State) string {
	if s == failover.Running {
		return fmt.Sprintf("LIM %d is on %s already", lim, target)
	}
	return fmt.Sprintf("LIM %d is on %s already, where it is %s", lim, target, s)
}

// whyIdle returns why a LIM does not run here, as far as known.
func (a *orders) whyIdle(lim int) string {
	l := a.lims.of(lim)
	if l.reason == "" {
		return ""
	}
	if l.waiting {
		return "; it waits: " + l.reason
	}
	return ": " + l.reason
}

// blockedHint says what to do about what blocks an order. passing: it ends by itself; failed: the
// LIM failed on the target, which knows that it is mended only by trying.
func blockedHint(o control.Order, able, passing, failed bool) string {
	switch {
	case passing:
		return "try again in a moment"
	case !able:
		return "look at `mxcluster status`"
	case failed:
		return fmt.Sprintf("once that is mended: `mxcluster %s %d --now`", o.Kind, o.LIM)
	}
	return fmt.Sprintf("mend that (data: `mxcluster sync --lim %d`), or move it all the same: `mxcluster %s %d --now`", o.LIM, o.Kind, o.LIM)
}

// addOrder adds a pending order. Its target forgets a failure, so that the LIM is tried there once
// more.
func (a *orders) addOrder(o control.Order) {
	a.pending = append(a.pending, failover.Order{Kind: o.Kind, LIM: o.LIM, Now: o.Now, By: o.By, Reason: o.Reason, Dead: o.Dead, Expires: time.Now().Add(orderLife)})
	if l := a.lims.of(o.LIM); l.State == failover.Failed {
		l.RetryAt = time.Time{}
		l.set(failover.Stopped, "is tried again by order")
	}
}

// fulfilled reports whether an order is complete as far as this server is concerned.
func (a *orders) fulfilled(o failover.Order) bool {
	s, l := a.doc.Server(a.cfg.Server), a.lims.of(o.LIM)
	gives := s != nil && s.Standby == (o.Kind == failover.Fallback)
	if gives {
		return !l.State.Active()
	}
	return l.State == failover.Running
}
