package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/arpbudget"
	"mxcluster/internal/control"
	"mxcluster/internal/fault"
	"mxcluster/internal/swap"
)

// readyLife is how long a server stays ready for an exchange whose document does not arrive.
const readyLife = time.Minute

// swaps are the exchanges of addresses on this server: the new base that is added before the
// document has it, and the former base that is removed when no document has it any more.
type swaps struct {
	*core
	docs *documents
	kept *keptState
	lims *lims
	mail *messenger

	ready  map[netip.Prefix]time.Time // new bases that were added for a coming document, and until when
	former netip.Prefix               // base of this server that is to be removed; invalid: none
}

// exchangeMessage asks another agent to make its server ready, or to undo that.
type exchangeMessage struct {
	Exchange clusterconf.Exchange `json:"exchange"`
	Undo     bool                 `json:"undo,omitempty"`
}

// ask makes every server concerned ready for an exchange of addresses, or none of them. The
// exchange itself follows with the document.
func (a *swaps) ask(ctx context.Context, r control.ExchangeRequest) error {
	if r.Leave != nil {
		if err := a.docs.mayLeave(ctx, *r.Leave); err != nil {
			return err
		}
	}
	if r.Undo {
		return a.undo(ctx, r.Exchanges)
	}
	for i, e := range r.Exchanges {
		if err := a.askOne(ctx, e, false); err != nil {
			ready := r.Exchanges[:i]
			if fault.CodeOf(err) == fault.Unknown {
				ready = r.Exchanges[:i+1] // a failed one may have been done nevertheless
			}
			if undone := a.undo(context.WithoutCancel(ctx), ready); undone != nil {
				a.log.Error("undoing an exchange of addresses", "err", undone)
			}
			return fault.Wrap(err, fault.CodeOf(err), "", "%s cannot exchange its addresses", e.Server)
		}
	}
	return nil
}

// undo reverts that on every server that can be reached.
func (a *swaps) undo(ctx context.Context, exchanges []clusterconf.Exchange) error {
	var errs []error
	for _, e := range exchanges {
		if err := a.askOne(ctx, e, true); err != nil {
			errs = append(errs, fmt.Errorf("on %s: %w", e.Server, err))
		}
	}
	return errors.Join(errs...)
}

// askOne makes one server ready, this one or another.
func (a *swaps) askOne(ctx context.Context, e clusterconf.Exchange, undo bool) error {
	answer, err := on(ctx, a.core, func() (<-chan reply, error) {
		if e.Server == a.cfg.Server {
			return a.prepare(e, undo), nil
		}
		return a.mail.passOn(e.Server, message{Type: typeExchange, Exchange: &exchangeMessage{Exchange: e, Undo: undo}}), nil
	})
	if err != nil {
		return err
	}
	select {
	case r := <-answer:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	case <-a.done:
		return fault.New(fault.Unknown, "look at `mxcluster status` before you try again", "the agent has stopped; %s may have made ready", e.Server)
	}
}

// heard makes this server ready for another agent.
func (a *swaps) heard(from string, m message) {
	if m.Exchange == nil {
		return
	}
	done := a.prepare(m.Exchange.Exchange, m.Exchange.Undo)
	a.wg.Go(func() {
		answer := message{Type: typeReply, ID: m.ID, Result: &control.OrderResult{Accepted: true}}
		var r reply
		select {
		case r = <-done:
		case <-a.ctx.Done(): // an agent that ends gives no answers
			return
		}
		if r.err != nil {
			answer.Result, answer.Error = nil, &messageError{Code: fault.CodeOf(r.err), Message: r.err.Error(), Hint: fault.HintOf(r.err)}
		}
		a.post(func() { a.mail.send(from, answer, nil) })
	})
}

// prepare makes this server ready. To enter a cluster it adds the new base beside the present one,
// after checking that nobody has it. To leave one it checks that the LIM runs here, and changes
// nothing yet.
func (a *swaps) prepare(e clusterconf.Exchange, undo bool) <-chan reply {
	answer := make(chan reply, 1)
	self := a.doc.Server(a.cfg.Server)
	switch {
	case undo:
		answer <- reply{err: a.takeOff(e.NewBase)}
	case self == nil || self.Interface != e.Interface && !e.Direction.Elsewhere() || self.Base != e.OldBase && a.aliasOf(e.LIM) != e.OldBase:
		// A LIM that changes its base within a cluster leaves and enters again: then it enters from
		// the alias.
		answer <- reply{err: fault.New(fault.Busy, "try again", "%s works by another revision of the cluster document", a.cfg.Server)}
	case e.Direction == clusterconf.DirectionRename:
		_, err := a.deps.Kernel.Link(e.Interface)
		answer <- reply{err: fault.Wrap(err, fault.Refused, "", "looking for interface %s of %s", e.Interface, a.cfg.Server)}
	case e.Direction == clusterconf.DirectionLeave:
		answer <- reply{err: swap.MayLeave(e, swap.Home{Here: a.lims.of(e.LIM).alias.holds, Agents: true})}
	default:
		n := a.net
		a.ready[e.NewBase] = time.Now().Add(readyLife)
		kept := a.kept.saveBegin() // so that a new run removes it if needed
		a.wg.Go(func() {
			ctx, cancel := a.background(orderTimeout)
			defer cancel()
			err := kept()
			if err == nil {
				err = a.addBase(ctx, n, e)
			}
			a.post(func() {
				if err == nil {
					a.ready[e.NewBase] = time.Now().Add(readyLife)
				} else {
					delete(a.ready, e.NewBase)
				}
				answer <- reply{err: err}
			})
		})
	}
	return answer
}

// addBase adds the new base, beside the main loop.
func (a *swaps) addBase(ctx context.Context, n *network, e clusterconf.Exchange) error {
	here, err := a.deps.Kernel.Addresses(e.Interface)
	if err != nil {
		return err
	}
	_, err = swap.Decide(e, here).MakeReady(ctx, a.deps.Kernel, func(ctx context.Context, _ string, addr netip.Addr) (net.HardwareAddr, error) {
		mac, inUse, err := a.probe(ctx, n, addr, arpbudget.Plain)
		if !inUse {
			mac = nil
		}
		return mac, err
	})
	return err
}

// takeOff removes a new base that is not going to be used.
func (a *swaps) takeOff(base netip.Prefix) error {
	if _, ok := a.ready[base]; !ok {
		return nil
	}
	delete(a.ready, base)
	a.kept.unsaved = true
	if self := a.doc.Server(a.cfg.Server); slices.Contains(append(bases(a.doc, self), aliasesOf(a.doc)...), base) {
		return nil
	}
	return a.deps.Kernel.Drop(a.net.ifname, base)
}

// expire removes new bases whose document did not arrive.
func (a *swaps) expire(now time.Time) {
	for base, until := range a.ready {
		if now.After(until) {
			if err := a.takeOff(base); err != nil {
				a.log.Error("taking off an address that was not put to use", "address", base, "err", err)
			}
		}
	}
}

// bases returns the permanent addresses of a server: its base, and its former one while others may
// use it, unless that is an alias by now.
func bases(d *clusterconf.Document, self *clusterconf.Server) []netip.Prefix {
	all := []netip.Prefix{self.Base}
	if at := d.Gossip(self); at != self.Base {
		all = append(all, at)
	}
	return all
}

// leaveBase removes former bases after the document has moved them, unless they are an alias now:
// this run's, and one that an earlier run was to remove. It remembers which one is next.
func (a *swaps) leaveBase(d *clusterconf.Document, self *clusterconf.Server, former *network) error {
	stays := append(bases(d, self), aliasesOf(d)...)
	if former != nil && (!slices.Contains(stays, former.base) || former.ifname != a.net.ifname && former.base == a.net.base) {
		if err := a.deps.Kernel.Drop(former.ifname, former.base); err != nil {
			return err
		}
	}
	next := netip.Prefix{}
	if at := d.Gossip(self); at != self.Base {
		next = at
	}
	if a.former.IsValid() && a.former != next && !slices.Contains(stays, a.former) {
		if err := a.deps.Kernel.Drop(a.net.ifname, a.former); err != nil {
			return err
		}
	}
	if a.former != next {
		a.former, a.kept.unsaved = next, true
	}
	return nil
}
