package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/failover"
	"mxcluster/internal/fault"
	"mxcluster/internal/status"
)

var _ control.Backend = (*Agent)(nil)

// Stop ends the agent: what runs here goes on for the stop lease, or is released.
func (a *Agent) Stop(ctx context.Context, r control.StopRequest) (*control.StopResult, error) {
	return a.shutdown.order(ctx, r)
}

// Keys answers `key show`.
func (a *Agent) Keys(ctx context.Context) (*control.KeyInfo, error) { return a.gossipKeys.show(ctx) }

// RotateKey begins a rotation of the gossip key, unless one is on its way.
func (a *Agent) RotateKey(ctx context.Context, r control.KeyRequest) (*control.KeyInfo, error) {
	return a.gossipKeys.rotate(ctx, r)
}

// Exchange has every server concerned make ready for an exchange of addresses: all of
// them, or none. The exchange itself follows with the document.
func (a *Agent) Exchange(ctx context.Context, r control.ExchangeRequest) error {
	return a.swaps.ask(ctx, r)
}

// orderLife is how long an order that was accepted may take.
const orderLife = time.Minute

// Status answers `status`.
func (a *Agent) Status(ctx context.Context) (*status.ClusterStatus, error) {
	return on(ctx, a.core, func() (*status.ClusterStatus, error) {
		st := status.Build(a.statusInput(time.Now()))
		if a.docs.removed != 0 {
			st.Removed, st.Health = a.docs.removedText(), "unknown"
		}
		return st, nil
	})
}

// statusInput is what this agent knows, for the answers of package status.
func (a *Agent) statusInput(now time.Time) status.Input {
	in := status.Input{Moving: a.aliases.moving(now), Now: now, Observer: a.cfg.Server, Document: a.doc, Servers: map[string]status.Seen{}, Notices: a.alarms.Notices}
	in.Arbiter = a.arbiterKeys.view(now)
	own := a.claim(now)
	in.Servers[a.cfg.Server] = status.Seen{Liveness: failover.Alive, Claim: &own, Alarms: a.alarms.Alarms}
	seen := a.net.detector.Sightings()
	for name, p := range a.peers.all {
		s := status.Seen{Liveness: p.Liveness, Claim: p.Claim, Alarms: p.alarms}
		if p.clocks && p.Liveness == failover.Alive {
			s.ClockOffset = &p.clock
		}
		if g, ok := seen[name]; ok && !g.Heard.IsZero() {
			s.Heard = g.Heard
		} else {
			s.Heard = p.at
		}
		in.Servers[name] = s
	}
	return in
}

// Agent answers `agent status`.
func (a *Agent) Agent(ctx context.Context) (*control.AgentInfo, error) {
	return on(ctx, a.core, func() (*control.AgentInfo, error) {
		info := &control.AgentInfo{
			Server: a.cfg.Server, PID: a.cfg.PID, Version: a.cfg.Version, StartedAt: a.started.UTC(), Revision: a.doc.Revision,
			Ready: a.settled, Isolated: a.link.isolation.Isolated, Lease: a.cfg.Lease, Members: []control.MemberInfo{}, LIMs: []control.LIMInfo{},
		}
		seen := a.net.detector.Sightings()
		for _, s := range a.doc.Servers {
			if p := a.peers.all[s.Name]; p != nil {
				m := control.MemberInfo{Server: s.Name, Liveness: string(p.Liveness)}
				if g, ok := seen[s.Name]; ok && !g.Heard.IsZero() {
					m.SilentMs = time.Since(g.Heard).Milliseconds()
				}
				if p.Claim != nil {
					m.Revision = p.Claim.Revision
				}
				info.Members = append(info.Members, m)
			}
		}
		if info.Edits = a.docs.shownPlace(time.Now()); a.docs.removed != 0 {
			info.Removed = a.docs.removedText()
		}
		for _, w := range a.docs.steps.Waits {
			info.Pending = append(info.Pending, w.Why)
		}
		for n, l := range a.lims.all {
			info.LIMs = append(info.LIMs, control.LIMInfo{LIM: n, State: string(l.State), Term: l.Term, Reason: l.reason})
		}
		slices.SortFunc(info.LIMs, func(x, y control.LIMInfo) int { return x.LIM - y.LIM })
		return info, nil
	})
}

// Reload reads the gossip keys and the document from disk again; its error says why
// those are not in force.
func (a *Agent) Reload(ctx context.Context) error {
	_, err := on(ctx, a.core, func() (struct{}, error) { return struct{}{}, errors.Join(a.gossipKeys.ring.Reload(), a.docs.reload()) })
	return err
}

// Order accepts an order, or passes it on to the server that has to act. Where that works
// by a newer document, it is given again by that.
func (a *Agent) Order(ctx context.Context, o control.Order) (*control.OrderResult, error) {
	end := time.Now().Add(deferredPatience)
	for {
		r := a.orders.order(ctx, o)
		if r.newer == (clusterconf.Age{}) || !a.orders.catchesUp(ctx, r.newer, end) {
			return r.result, r.err
		}
	}
}

func (a *orders) order(ctx context.Context, o control.Order) reply {
	type step struct {
		there string // who has to act; "": this server
		reply <-chan reply
	}
	s, err := on(ctx, a.core, func() (step, error) {
		actor, err := a.actor(o)
		if err != nil {
			return step{}, err
		}
		if actor == a.cfg.Server {
			return step{reply: a.takeOrder(o)}, nil
		}
		return step{there: actor, reply: a.askPermit(actor, o)}, nil
	})
	switch {
	case err != nil:
		return reply{err: err}
	case s.there == "":
		return a.answer(ctx, s.reply)
	}
	return a.orderThere(ctx, s.there, s.reply, o)
}

// takeOrder takes an order that this server has to act on; the answer comes over the channel.
func (a *orders) takeOrder(o control.Order) <-chan reply {
	if o.Dead != "" {
		return a.orderFromDead(o)
	}
	ch := make(chan reply, 1)
	res, err := a.orderHere(o)
	ch <- reply{result: res, err: err}
	return ch
}

// actor returns the server that has to act on an order: the one that gives the
// LIM up.
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
	case o.Kind == control.OrderFallback, o.Dead != "":
		return c.Standby, nil
	case o.Kind == control.OrderFailover:
		return regular.Name, nil
	}
	return "", fault.New(fault.Usage, "", "there is no order %q", o.Kind)
}

// orderHere takes an order that this server has to act on.
func (a *orders) orderHere(o control.Order) (*control.OrderResult, error) {
	actor, err := a.actor(o)
	if err != nil {
		return nil, err
	}
	if actor != a.cfg.Server {
		return nil, fault.New(fault.Refused, "try again", "%s is not the server that can do that; the cluster document has just changed", a.cfg.Server)
	}
	c, regular := a.doc.ClusterOfLIM(o.LIM), a.doc.RegularOf(o.LIM)
	target, hereActive := regular.Name, a.lims.of(o.LIM).State.Active()
	v := a.view(time.Now())
	var blocked []string
	var able bool
	evicts := 0
	if o.Kind == control.OrderFallback {
		blocked, able = failover.FallbackBlockedBy(v, o.LIM)
	} else {
		target = c.Standby
		var why string
		if why, able = failover.FailoverBlockedBy(v, c, o.LIM); why != "" {
			blocked = []string{why}
		}
		evicts = failover.Evicts(v, c, o.LIM)
	}
	p := a.peers.all[target]
	switch {
	case !hereActive && p != nil && p.Liveness == failover.Alive && p.Claim.LIM(o.LIM).State.Active():
		return &control.OrderResult{Accepted: true, Already: true, Target: target, Text: isThere(o.LIM, target, p.Claim.LIM(o.LIM).State)}, nil
	case failover.LockAgainst(v, o.Kind, o.LIM) != "":
		return nil, fault.New(fault.Refused, fmt.Sprintf("unlock it first: `mxcluster unlock %d`", o.LIM),
			"LIM %d cannot move to %s: it is %s", o.LIM, target, failover.LockAgainst(v, o.Kind, o.LIM))
	case !hereActive:
		return nil, fault.New(fault.Refused, "look at `mxcluster status`", "LIM %d does not run on %s%s", o.LIM, a.cfg.Server, a.whyIdle(o.LIM))
	case p == nil || p.Liveness != failover.Alive:
		return nil, fault.New(fault.Refused, "start its agent first", "LIM %d cannot move: %s", o.LIM, strings.Join(blocked, "; "))
	case len(blocked) > 0 && (!o.Now || !able):
		return nil, fault.New(fault.Refused, blockedHint(o, able), "LIM %d cannot move: %s", o.LIM, strings.Join(blocked, "; "))
	case o.DryRun:
		text := fmt.Sprintf("LIM %d would move to %s", o.LIM, target)
		if evicts != 0 {
			text += fmt.Sprintf(", and LIM %d would be stopped there", evicts)
		}
		return &control.OrderResult{Target: target, Evicts: evicts, Text: text}, nil
	case evicts != 0 && o.Evict != evicts:
		return nil, fault.New(fault.Refused, "with --yes it is stopped", "LIM %d would have to be stopped on %s for LIM %d", evicts, target, o.LIM)
	}
	a.journal.order(o, target)
	a.addOrder(o)
	a.notice(target, o)
	text := fmt.Sprintf("LIM %d moves to %s", o.LIM, target)
	if evicts != 0 {
		text += fmt.Sprintf(", and LIM %d is stopped there", evicts)
	}
	if len(blocked) > 0 {
		text += ", although " + strings.Join(blocked, "; ")
	}
	return &control.OrderResult{Accepted: true, Target: target, Evicts: evicts, Text: text}, nil
}

// isThere says of a LIM that it needs no order.
func isThere(lim int, target string, s failover.State) string {
	if s == failover.Running {
		return fmt.Sprintf("LIM %d is on %s already", lim, target)
	}
	return fmt.Sprintf("LIM %d is on %s already, where it is %s", lim, target, s)
}

// whyIdle says why a LIM does not run here, as far as this server knows.
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

func blockedHint(o control.Order, able bool) string {
	if !able {
		return "look at `mxcluster status`"
	}
	return fmt.Sprintf("mend that (data: `mxcluster sync --lim %d`), or move it all the same: `mxcluster %s %d --now`", o.LIM, o.Kind, o.LIM)
}

// addOrder makes an order pending. Its target forgets a failure: somebody wants
// the LIM tried there again, once.
func (a *orders) addOrder(o control.Order) {
	a.orders = append(a.orders, failover.Order{Kind: o.Kind, LIM: o.LIM, Now: o.Now, Dead: o.Dead, Expires: time.Now().Add(orderLife)})
	if l := a.lims.of(o.LIM); l.State == failover.Failed {
		l.RetryAt = time.Time{}
		l.set(failover.Stopped, "is tried again by order")
	}
}

// fulfilled reports whether an order is done as far as this server is concerned.
func (a *orders) fulfilled(o failover.Order) bool {
	s, l := a.doc.Server(a.cfg.Server), a.lims.of(o.LIM)
	gives := s != nil && s.Standby == (o.Kind == failover.Fallback)
	if gives {
		return !l.State.Active()
	}
	return l.State == failover.Running
}
