package agent

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/failover"
	"mxcluster/internal/fault"
)

// orders are those that commands, and other agents, gave to this server or through it.
type orders struct {
	*core
	docs     *documents
	lims     *lims
	mail     *messenger
	peers    *peers
	refusals *refusals
	view     func(now time.Time) failover.View

	orders   []failover.Order // that were accepted and are not carried out yet
	deferred []deferredOrder
	permits  permits
}

const (
	permitLife   = orderTimeout          // as long as an answer to the order is waited for
	maxPermits   = 16                    // of one server that are out at a time
	documentPoll = 50 * time.Millisecond // from one look whether a newer document has come to the next
)

// permit is what an order of another agent needs. Who is to carry the order out gives it,
// for one order, and remembers it in this run alone. So an order is carried out once, by
// the run that was asked, in time by its own monotonic clock, and only while the LIM and
// the document are as they were.
type permit struct {
	server string // that asked for it
	lim    int
	term   uint64 // highest that is known of the LIM
	age    clusterconf.Age
	until  time.Time
}

// permits are those that are out, by the identity of the order.
type permits map[string]permit

// give adds a permit; false where that server has too many. Those that are over go.
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

// take uses a permit up, and says why an order may not be carried out by it; "": it may.
// Now is what the permit would be by what is known now.
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

// permitFor is what a permit for a LIM says now.
func (a *orders) permitFor(server string, lim int, now time.Time) permit {
	return permit{server: server, lim: lim, term: a.lims.highestTerm(lim), age: a.doc.Age(), until: now.Add(permitLife)}
}

// permitAsked gives another agent a permit for an order. Both have to work by the same
// document.
func (a *orders) permitAsked(from string, m message) {
	if m.Order == nil || a.cameEarly(from, m) {
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
		answer.Permit = id
	}
	a.mail.send(from, answer, nil)
}

// forbids uses up the permit of an order that came, and says why the order may not be
// carried out; "": it may.
func (a *orders) forbids(from string, m message) string {
	now := time.Now()
	return a.permits.take(m.Permit, a.permitFor(from, m.Order.LIM, now), now)
}

// forbidden tells of an order that is not carried out.
func (a *orders) forbidden(from string, m message, why string) error {
	a.refusals.refuse(from, "order-refused", fmt.Sprintf("an order of %s for LIM %d (%s) was not carried out: %s", from, m.Order.LIM, m.Order.Kind, why))
	return fault.New(fault.Busy, "look at `mxcluster status`, and try again", "%s did not carry the order out: %s", a.cfg.Server, why)
}

// orderThere gives an order to the agent that is to carry it out, once that permits it.
func (a *orders) orderThere(ctx context.Context, server string, asked <-chan reply, o control.Order) reply {
	r := a.answer(ctx, asked)
	switch {
	case fault.CodeOf(r.err) == fault.Unknown && ctx.Err() == nil:
		return reply{err: fault.New(fault.Unreachable, "look at `mxcluster status`", "the agent of %s did not answer; nothing was ordered", server)}
	case r.err != nil:
		return r
	}
	given, err := on(ctx, a.core, func() (<-chan reply, error) {
		return a.mail.passOn(server, message{Type: typeOrder, Order: &o, Permit: r.permit}), nil
	})
	if err != nil {
		return reply{err: err}
	}
	return a.answer(ctx, given)
}

// askPermit asks another agent for a permit for an order.
func (a *orders) askPermit(server string, o control.Order) <-chan reply {
	return a.mail.passOn(server, message{Type: typePermit, Order: &o, Revision: a.doc.Revision, Epoch: a.doc.Epoch})
}

// answer waits for what comes of an order.
func (a *core) answer(ctx context.Context, from <-chan reply) reply {
	select {
	case r := <-from:
		return r
	case <-ctx.Done():
		return reply{err: ctx.Err()}
	case <-a.done:
		return reply{err: fault.New(fault.Unknown, "look at `mxcluster status` before you try again", "the agent has stopped; the order may have been carried out")}
	}
}

// catchesUp waits until the document of an age is in force here, and reports whether it is.
func (a *orders) catchesUp(ctx context.Context, age clusterconf.Age, end time.Time) bool {
	for time.Now().Before(end) {
		there, err := on(ctx, a.core, func() (bool, error) { return a.doc.Age().Compare(age) >= 0, nil })
		if there || err != nil {
			return there
		}
		select {
		case <-time.After(documentPoll):
		case <-ctx.Done():
			return false
		}
	}
	return false
}

// notice tells the target of an order that it was accepted, beside the main loop.
func (a *orders) notice(target string, o control.Order) {
	asked := a.askPermit(target, o)
	a.wg.Go(func() {
		select {
		case r := <-asked:
			if r.err == nil {
				a.post(func() { a.mail.send(target, message{Type: typeNotice, Order: &o, Permit: r.permit}, nil) })
			}
		case <-a.ctx.Done():
		}
	})
}
