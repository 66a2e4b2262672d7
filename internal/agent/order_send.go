package agent

import (
	"context"
	"crypto/rand"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/failover"
	"mxcluster/internal/fault"
)

// orders handles the orders that commands and other agents give to this server, or through it.
type orders struct {
	*core
	docs     *documents
	lims     *lims
	mail     *messenger
	peers    *peers
	refusals *refusals
	view     func(now time.Time) failover.View
	rehearse func(o control.Order) (*control.OrderResult, error)

	pending  []failover.Order // accepted, and not carried out yet
	deferred []deferredOrder
	permits  permits
	draining map[int]*drain // by LIM
}

// documentPoll is the time between checks whether a newer document has arrived.
const documentPoll = 50 * time.Millisecond

// give accepts an order, or forwards it to the server that has to act. If that server has a newer
// document, the order is given again under it.
func (a *orders) give(ctx context.Context, o control.Order) (*control.OrderResult, error) {
	end := time.Now().Add(deferredPatience)
	for {
		r := a.giveOnce(ctx, o)
		if r.newer == (clusterconf.Age{}) || !a.catchesUp(ctx, r.newer, end) {
			return r.result, r.err
		}
	}
}

func (a *orders) giveOnce(ctx context.Context, o control.Order) reply {
	type step struct {
		there string // the server that has to act; "": this one
		reply <-chan reply
	}
	id := "here " + rand.Text()
	defer func() {
		if ctx.Err() != nil && drains(o) { // also where it is begun only after this
			a.post(func() { a.endDrainOf(id, calledOff) })
		}
	}()
	s, err := on(ctx, a.core, func() (step, error) {
		actor, err := a.actor(o)
		if err != nil {
			return step{}, err
		}
		if actor == a.cfg.Server {
			return step{reply: a.takeOrder(id, "", o)}, nil
		}
		return step{there: actor, reply: a.askPermit(actor, o)}, nil
	})
	switch {
	case err != nil:
		return reply{err: err}
	case s.there == "":
		return a.answer(ctx, s.reply)
	}
	return a.send(ctx, s.there, s.reply, o)
}

// actor returns the server that has to act on an order: the one that gives the LIM up.
func (a *orders) actor(o control.Order) (string, error) {
	if a.stopping {
		return "", fault.New(fault.Refused, "", "this agent is stopping")
	}
	c, regular := a.doc.ClusterOfLIM(o.LIM), a.doc.RegularOf(o.LIM)
	switch {
	case regular == nil:
		return "", fault.New(fault.NotFound, "`mxcluster list` shows the LIMs", "there is no LIM %d", o.LIM)
	case c == nil:
		return "", fault.New(fault.Refused, "put it into one: `mxcluster create`", "LIM %d is in no cluster", o.LIM)
	case o.Kind == control.OrderFallback && o.Dead != "":
		return "", fault.New(fault.Usage, "leave out --server-is-dead", "a fallback goes to a server that lives")
	case o.Kind == control.OrderFallback, o.Kind == control.OrderRehearse, o.Dead != "":
		return c.Standby, nil
	case o.Kind == control.OrderFailover:
		return regular.Name, nil
	}
	return "", fault.New(fault.Usage, "", "there is no order %q", o.Kind)
}

// send sends an order to the agent that carries it out, once that has permitted it.
func (a *orders) send(ctx context.Context, server string, asked <-chan reply, o control.Order) reply {
	r := a.answer(ctx, asked)
	switch {
	case fault.CodeOf(r.err) == fault.Unknown && ctx.Err() == nil:
		return reply{err: fault.New(fault.Unreachable, "look at `mxcluster status`", "the agent of %s did not answer; nothing was ordered", server)}
	case r.err != nil:
		return r
	case o.DrainCalls > 0 && !r.drains:
		return reply{err: fault.New(fault.Refused, "upgrade it, or move the LIM without --drain-calls", "the agent of %s is of an earlier version, which drains no calls", server)}
	}
	given, err := on(ctx, a.core, func() (<-chan reply, error) {
		return a.mail.passOn(server, message{Type: typeOrder, Order: &o, Permit: r.permit}), nil
	})
	if err != nil {
		if drains(o) { // it may be sent all the same
			a.callOff(server, r.permit)
		}
		return reply{err: err}
	}
	if drains(o) {
		return a.awaitDrain(ctx, server, r.permit, given)
	}
	return a.answer(ctx, given)
}

// askPermit asks another agent for a permit for an order.
func (a *orders) askPermit(server string, o control.Order) <-chan reply {
	return a.mail.passOn(server, message{Type: typePermit, Order: &o, Revision: a.doc.Revision, Epoch: a.doc.Epoch})
}

// answer waits for the answer to an order.
func (a *orders) answer(ctx context.Context, from <-chan reply) reply {
	select {
	case r := <-from:
		return r
	case <-ctx.Done():
		return reply{err: ctx.Err()}
	case <-a.done:
		return reply{err: fault.New(fault.Unknown, "look at `mxcluster status` before you try again", "the agent has stopped; the order may have been carried out")}
	}
}

// catchesUp waits until a document of an age is in force here, and reports whether it is.
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
