package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mxcluster/internal/control"
	"mxcluster/internal/fault"
)

const (
	// drainBeat is how often the agent that passed an order on says that somebody still
	// waits while the LIM's calls are drained.
	drainBeat = time.Second
	// drainPatience is how long that may be missing until the drain is ended: nobody waits
	// for it any more.
	drainPatience = 10 * time.Second
	// drainEnds is how long what drains may take to end when its time is up.
	drainEnds = 20 * time.Second
	// drainMissed is how many of these may go without an answer.
	drainMissed = 2
)

// errDrainOver is why a drain ends whose time is up.
var errDrainOver = errors.New("the time is up")

// drain is a LIM's software that lets its calls end before an order moves the LIM, which
// serves on meanwhile. It is of the main loop.
type drain struct {
	id     string // of the order
	from   string // the agent that passed it on; "": this one, which ends it itself
	heard  time.Time
	cancel context.CancelFunc
	ended  string // why it was ended before its time; "": it was not
}

// takeDrained takes an order that moves a LIM once its calls here have ended. What would
// be refused is refused before any is asked to.
func (a *orders) takeDrained(id, from string, o control.Order) <-chan reply {
	ch := make(chan reply, 1)
	m, err := a.plan(o)
	if err == nil && m.already == nil {
		err = m.evictable(o)
	}
	if err != nil {
		ch <- reply{err: err}
		return ch
	}
	if m.already != nil {
		ch <- reply{result: m.already}
		return ch
	}
	set, env, err := a.lims.of(o.LIM).software.build(a.aliasOf(o.LIM))
	if err != nil {
		ch <- reply{err: notDrained(o.LIM, err)}
		return ch
	}
	if asked, _ := set.Drainable(); len(asked) == 0 {
		res, err := a.orderHere(o)
		ch <- reply{result: res, err: err}
		return ch
	}
	a.endDrain(o.LIM, "another order was given for it")
	ctx, cancel := context.WithCancel(a.ctx)
	d := &drain{id: id, from: from, heard: time.Now(), cancel: cancel}
	a.draining[o.LIM] = d
	a.journal.draining(o, m.target)
	a.wg.Go(func() {
		defer cancel()
		limited, end := context.WithTimeoutCause(ctx, o.DrainCalls, errDrainOver)
		defer end()
		a.newestData(&env)
		began := time.Now()
		unknown, err := set.Drain(limited, env)
		took, late := time.Since(began), err != nil && errors.Is(context.Cause(limited), errDrainOver)
		a.post(func() {
			res, err := a.drained(d, o, unknown, took, late, err)
			ch <- reply{result: res, err: err}
		})
	})
	return ch
}

// drained goes on with an order when the LIM's calls have ended, or their time is up.
func (a *orders) drained(d *drain, o control.Order, unknown []string, took time.Duration, late bool, failed error) (*control.OrderResult, error) {
	if a.draining[o.LIM] == d {
		delete(a.draining, o.LIM)
	}
	took = took.Round(time.Millisecond)
	words := fmt.Sprintf("its calls had ended after %.1f s", took.Seconds())
	switch {
	case d.ended != "":
		a.journal.drained(o.LIM, fmt.Sprintf("the calls of LIM %d are drained no more, after %.1f s: %s", o.LIM, took.Seconds(), d.ended))
		return nil, fault.New(fault.Busy, "look at `mxcluster status`, and try again", "draining the calls of LIM %d was ended after %.1f s, and nothing was moved: %s", o.LIM, took.Seconds(), d.ended)
	case late:
		words = fmt.Sprintf("not all of its calls had ended after %.0f s", took.Seconds())
	case failed != nil:
		a.journal.drained(o.LIM, fmt.Sprintf("LIM %d stays: its calls cannot be drained: %v", o.LIM, failed))
		return nil, notDrained(o.LIM, failed)
	}
	a.journal.drained(o.LIM, fmt.Sprintf("LIM %d is drained on %s: %s", o.LIM, a.cfg.Server, words))
	res, err := a.orderHere(o)
	if err != nil { // nothing tells a program that has returned
		err = fault.New(fault.CodeOf(err), fault.HintOf(err), "%v; its calls are drained, and its software may take no new ones until it moves or is started again", err)
	}
	if err == nil && res.Accepted {
		res.Drains = strings.Join(append([]string{words}, passedOver(unknown, "does not know the verb drain")...), "; ")
	}
	return res, err
}

func notDrained(lim int, why error) error {
	return fault.New(fault.Refused, "mend that, or move it with its calls, without --drain-calls", "LIM %d was not moved: its calls cannot be drained: %v", lim, why)
}

// passedOver words which services nobody could ask to let their calls end.
func passedOver(specs []string, why string) []string {
	if len(specs) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("passed over: %s, which %s", strings.Join(specs, ", "), why)}
}

// wouldDrain words what an order would have called before it moves a LIM.
func (a *orders) wouldDrain(o control.Order) string {
	set, _, err := a.lims.of(o.LIM).software.build(a.aliasOf(o.LIM))
	if err != nil {
		return ""
	}
	asked, never := set.Drainable()
	var parts []string
	if len(asked) > 0 {
		parts = append(parts, fmt.Sprintf("before that, drain of %s is called on %s, for at most %s", strings.Join(asked, ", "), a.cfg.Server, o.DrainCalls))
	}
	return strings.Join(append(parts, passedOver(never, "has no verb drain")...), "; ")
}

// endDrain ends the drain of a LIM, and so its order.
func (a *orders) endDrain(lim int, why string) {
	if d := a.draining[lim]; d != nil && d.ended == "" {
		d.ended = why
		d.cancel()
	}
}

// endDrainOf does so for an order that nobody waits for any more.
func (a *orders) endDrainOf(id, why string) {
	for lim, d := range a.draining {
		if d.id == id {
			a.endDrain(lim, why)
		}
	}
}

// tendDrains ends drains that came to nothing: the LIM has left otherwise, this agent
// stops, or nobody waits.
func (a *orders) tendDrains(now time.Time) {
	for lim, d := range a.draining {
		switch {
		case a.stopping:
			a.endDrain(lim, "the agent of "+a.cfg.Server+" stops")
		case !a.lims.of(lim).State.Active():
			a.endDrain(lim, "it does not run on "+a.cfg.Server+" any more")
		case d.from != "" && now.Sub(d.heard) > drainPatience:
			a.endDrain(lim, d.from+", where it was ordered, is not heard any more")
		}
	}
}

// drainKept takes in that somebody still waits for a drain, and says whether it goes on.
func (a *orders) drainKept(from string, m message) {
	for _, d := range a.draining {
		if d.id == m.Permit && d.from == from {
			d.heard = time.Now()
			a.mail.send(from, message{Type: typeReply, ID: m.ID, Result: &control.OrderResult{}}, nil)
			return
		}
	}
	a.mail.send(from, message{Type: typeReply, ID: m.ID, Error: &messageError{Code: fault.NotFound, Message: "no such drain is under way"}}, nil)
}

// drainCalledOff takes in that nobody waits for a drain any more. Its order may come after
// that, and has no permit then.
func (a *orders) drainCalledOff(from string, m message) {
	if p, ok := a.permits[m.Permit]; ok && p.server == from {
		delete(a.permits, m.Permit)
	}
	for lim, d := range a.draining {
		if d.id == m.Permit && d.from == from {
			a.endDrain(lim, calledOff)
		}
	}
}

// callOff tells another server that nobody waits any more for an order that it drains for.
func (a *orders) callOff(server, id string) {
	a.post(func() { a.mail.send(server, message{Type: typeDrainOff, Permit: id}, nil) })
}

// calledOff is why a drain ends whose order was interrupted.
const calledOff = "whoever ordered it has called it off"

// awaitDrain waits for what comes of an order whose LIM is drained on another server
// first. It tells that one that somebody waits, and ends it where nobody does any more.
func (a *orders) awaitDrain(ctx context.Context, server, id string, given <-chan reply) reply {
	tick := time.NewTicker(drainBeat)
	defer tick.Stop()
	var asked <-chan reply
	over := false // draining has ended there
	for missed := 0; missed < drainMissed; {
		select {
		case r := <-given:
			return r
		case <-a.done:
			return a.answer(ctx, given)
		case <-ctx.Done():
			a.callOff(server, id)
			return reply{err: ctx.Err()}
		case r := <-asked:
			asked, over = nil, fault.CodeOf(r.err) == fault.NotFound
			if missed++; r.err == nil {
				missed = 0
			}
		case <-tick.C:
			if asked != nil {
				continue
			}
			ch, err := on(ctx, a.core, func() (<-chan reply, error) {
				return a.mail.passOn(server, message{Type: typeDrainWaits, Permit: id}), nil
			})
			if err == nil {
				asked = ch
			}
		}
	}
	if over {
		return reply{err: fault.New(fault.Unknown, "look at `mxcluster status` before you try again",
			"draining has ended on %s, and what came of it was lost; the LIM may have moved", server)}
	}
	return reply{err: fault.New(fault.Unknown, "look at `mxcluster status` before you try again",
		"the agent of %s does not answer any more; draining ends there by itself, and then nothing is moved", server)}
}

// drains reports whether an order moves a LIM only after its calls have ended.
func drains(o control.Order) bool { return o.DrainCalls > 0 && !o.DryRun }
