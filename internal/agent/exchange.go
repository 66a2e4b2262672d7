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

// readyLife is how long a server stays ready for an exchange that the document
// does not follow.
const readyLife = time.Minute

// exchangeMessage asks another agent to make its server ready, or to undo that.
type exchangeMessage struct {
	Exchange clusterconf.Exchange `json:"exchange"`
	Undo     bool                 `json:"undo,omitempty"`
}

// Exchange has every server concerned make ready for an exchange of addresses:
// all of them, or none. The exchange itself follows with the document.
func (a *Agent) Exchange(ctx context.Context, r control.ExchangeRequest) error {
	if r.Leave != nil {
		if err := a.mayLeave(ctx, *r.Leave); err != nil {
			return err
		}
	}
	if r.Undo {
		return a.undoExchanges(ctx, r.Exchanges)
	}
	for i, e := range r.Exchanges {
		if err := a.exchangeOn(ctx, e, false); err != nil {
			ready := r.Exchanges[:i]
			if fault.CodeOf(err) == fault.Unknown {
				ready = r.Exchanges[:i+1] // it may have been done all the same
			}
			if undone := a.undoExchanges(context.WithoutCancel(ctx), ready); undone != nil {
				a.log.Error("undoing an exchange of addresses", "err", undone)
			}
			return fault.Wrap(err, fault.CodeOf(err), "", "%s cannot exchange its addresses", e.Server)
		}
	}
	return nil
}

// undoExchanges undoes what was made ready, on every server that can be reached.
func (a *Agent) undoExchanges(ctx context.Context, exchanges []clusterconf.Exchange) error {
	var errs []error
	for _, e := range exchanges {
		if err := a.exchangeOn(ctx, e, true); err != nil {
			errs = append(errs, fmt.Errorf("on %s: %w", e.Server, err))
		}
	}
	return errors.Join(errs...)
}

// exchangeOn has one server make ready, this one or another.
func (a *Agent) exchangeOn(ctx context.Context, e clusterconf.Exchange, undo bool) error {
	answer, err := on(ctx, a.core, func() (<-chan reply, error) {
		if e.Server == a.cfg.Server {
			return a.exchangeHere(e, undo), nil
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

// exchangeHeard makes ready because another agent asks for it.
func (a *Agent) exchangeHeard(from string, m message) {
	if m.Exchange == nil {
		return
	}
	done := a.exchangeHere(m.Exchange.Exchange, m.Exchange.Undo)
	a.wg.Go(func() {
		answer := message{Type: typeReply, ID: m.ID, Result: &control.OrderResult{Accepted: true}}
		var r reply
		select {
		case r = <-done:
		case <-a.ctx.Done(): // an agent that ends answers nothing
			return
		}
		if r.err != nil {
			answer.Result, answer.Error = nil, &messageError{Code: fault.CodeOf(r.err), Message: r.err.Error(), Hint: fault.HintOf(r.err)}
		}
		a.post(func() { a.mail.send(from, answer, nil) })
	})
}

// exchangeHere makes this server ready. Entering a cluster adds the new base
// beside the present one, after making sure that nobody has it; leaving one
// demands that the LIM runs here, and changes nothing yet.
func (a *Agent) exchangeHere(e clusterconf.Exchange, undo bool) <-chan reply {
	answer := make(chan reply, 1)
	self := a.doc.Server(a.cfg.Server)
	switch {
	case undo:
		answer <- reply{err: a.unready(e.NewBase)}
	case self == nil || self.Interface != e.Interface && !e.Direction.Elsewhere() || self.Base != e.OldBase && a.aliasOf(e.LIM) != e.OldBase:
		// A LIM that stays in its cluster under another base leaves and enters
		// again: then the alias is what it enters from.
		answer <- reply{err: fault.New(fault.Busy, "try again", "%s works by another revision of the cluster document", a.cfg.Server)}
	case e.Direction == clusterconf.DirectionRename:
		_, err := a.deps.Kernel.Link(e.Interface)
		answer <- reply{err: fault.Wrap(err, fault.Refused, "", "looking for interface %s of %s", e.Interface, a.cfg.Server)}
	case e.Direction == clusterconf.DirectionLeave:
		answer <- reply{err: swap.MayLeave(e, swap.Home{Here: a.lims.of(e.LIM).alias.holds, Agents: true})}
	default:
		n := a.net
		a.prepared[e.NewBase] = time.Now().Add(readyLife)
		kept := a.kept.saveBegin() // an agent that starts anew is to take it off, too
		a.wg.Go(func() {
			ctx, cancel := a.background(orderTimeout)
			defer cancel()
			err := kept()
			if err == nil {
				err = a.ready(ctx, n, e)
			}
			a.post(func() {
				if err == nil {
					a.prepared[e.NewBase] = time.Now().Add(readyLife)
				} else {
					delete(a.prepared, e.NewBase)
				}
				answer <- reply{err: err}
			})
		})
	}
	return answer
}

// ready adds the new base. It runs beside the main loop.
func (a *Agent) ready(ctx context.Context, n *network, e clusterconf.Exchange) error {
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

// unready takes a new base off again that was added and not put to use.
func (a *Agent) unready(base netip.Prefix) error {
	if _, ok := a.prepared[base]; !ok {
		return nil
	}
	delete(a.prepared, base)
	a.kept.unsaved = true
	if self := a.doc.Server(a.cfg.Server); slices.Contains(append(bases(a.doc, self), aliasesOf(a.doc)...), base) {
		return nil
	}
	return a.deps.Kernel.Drop(a.net.ifname, base)
}

// forgetPrepared undoes what was made ready a while ago for a document that
// never came.
func (a *Agent) forgetPrepared(now time.Time) {
	for base, until := range a.prepared {
		if now.After(until) {
			if err := a.unready(base); err != nil {
				a.log.Error("taking off an address that was not put to use", "address", base, "err", err)
			}
		}
	}
}

// leaveAliases gives up, without taking it off, every alias that the document
// makes this server's base again, and takes off those that it gives to nobody.
// The address that clients know stays all the time.
func (a *Agent) leaveAliases(d *clusterconf.Document, base netip.Prefix) error {
	for _, l := range a.lims.all {
		if !l.alias.holds && !l.alias.former || slices.Contains(aliasesOf(d), l.alias.addr) {
			continue
		}
		if l.alias.holds {
			l.alias.letGo()
		}
		if l.alias.addr != base {
			if err := a.deps.Kernel.Drop(a.net.ifname, l.alias.addr); err != nil {
				return err // while it is here it stays blocked if it was
			}
		}
		l.alias.former = false
		if l.alias.hidden != "" {
			l.alias.endHiding()
		}
		if err := a.deps.Kernel.Unblock(a.net.ifname, l.alias.addr.Addr()); err != nil {
			a.log.Error("unblocking what is no alias any more", "lim", l.number, "address", l.alias.addr, "err", err)
		}
	}
	return nil
}

// bases are the addresses that a server has for good: its base, and the former one
// as long as others may know it by that, unless that is an alias by now.
func bases(d *clusterconf.Document, self *clusterconf.Server) []netip.Prefix {
	all := []netip.Prefix{self.Base}
	if at := d.Gossip(self); at != self.Base {
		all = append(all, at)
	}
	return all
}

// leaveBase takes former bases off when the document has moved them, unless they are
// an alias now: the one that this agent had, and one that an earlier run was to take
// off. It remembers what is to go next.
func (a *Agent) leaveBase(d *clusterconf.Document, self *clusterconf.Server, former *network) error {
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

// aliasesOf lists the aliases of all LIMs.
func aliasesOf(d *clusterconf.Document) []netip.Prefix {
	var all []netip.Prefix
	for _, c := range d.Clusters {
		for _, m := range c.LIMs {
			all = append(all, m.Alias)
		}
	}
	return all
}
