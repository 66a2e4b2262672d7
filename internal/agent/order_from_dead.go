package agent

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/arpbudget"
	"mxcluster/internal/control"
	"mxcluster/internal/failover"
	"mxcluster/internal/fault"
)

// orderFromDead carries out an order to take a LIM over from a server that a person declares dead;
// this server is the standby. It probes for that server's addresses first, beside the main loop.
// The answer is sent to the channel.
func (a *orders) orderFromDead(o control.Order) <-chan reply {
	ch := make(chan reply, 1)
	a.wg.Go(func() {
		ctx, cancel := a.background(orderTimeout)
		defer cancel()
		res, err := a.takeFromDead(ctx, o)
		ch <- reply{result: res, err: err}
	})
	return ch
}

func (a *orders) takeFromDead(ctx context.Context, o control.Order) (*control.OrderResult, error) {
	check := func() (*control.OrderResult, error) { return a.mayTakeFromDead(o) }
	if done, err := on(ctx, a.core, check); err != nil || done.Already {
		return done, err
	}
	if err := a.silentOnWire(ctx, o); err != nil {
		return nil, err
	}
	return on(ctx, a.core, func() (*control.OrderResult, error) {
		res, err := check() // again: the server may have been heard meanwhile
		if err != nil || res.Already || o.DryRun {
			return res, err
		}
		a.journal.order(o, a.cfg.Server)
		a.addOrder(o)
		res.Accepted = true
		res.Text = strings.Replace(res.Text, " would ", " is to ", 1)
		return res, nil
	})
}

// mayTakeFromDead refuses the order if it is not allowed, and returns what it would do.
func (a *orders) mayTakeFromDead(o control.Order) (*control.OrderResult, error) {
	if _, err := a.actor(o); err != nil {
		return nil, err
	}
	v := a.view(time.Now())
	res := &control.OrderResult{Target: a.cfg.Server, Text: fmt.Sprintf("LIM %d would start on %s, as %s is dead", o.LIM, a.cfg.Server, o.Dead)}
	if l := a.lims.all[o.LIM]; l != nil && l.State.Active() && a.side() == clusterconf.SideStandby {
		return &control.OrderResult{Accepted: true, Already: true, Target: a.cfg.Server, Text: fmt.Sprintf("LIM %d is on %s already", o.LIM, a.cfg.Server)}, nil
	}
	if why := failover.LockAgainst(v, failover.Failover, o.LIM); why != "" {
		return nil, fault.New(fault.Refused, fmt.Sprintf("unlock it first: `mxcluster unlock %d`", o.LIM), "LIM %d cannot move to %s: it is %s", o.LIM, a.cfg.Server, why)
	}
	if why, hint := failover.MayTakeFromDead(v, o.LIM, o.Dead); why != "" {
		return nil, fault.New(fault.Refused, hint, "LIM %d is not taken over on the word that %s is dead: %s", o.LIM, o.Dead, why)
	}
	if other := failover.MakesRoom(v, o.LIM); other != 0 {
		res.Text += fmt.Sprintf(", and LIM %d would end there to make room", other)
	}
	return res, nil
}

// silentOnWire refuses the order if anybody answers for the server's base address or the LIM's
// alias.
func (a *orders) silentOnWire(ctx context.Context, o control.Order) error {
	if err := a.docs.mustBeSilent(ctx, o.Dead); err != nil {
		return err
	}
	n, alias := (*network)(nil), netip.Addr{}
	if _, err := on(ctx, a.core, func() (struct{}, error) {
		n, alias = a.net, a.aliasOf(o.LIM).Addr()
		return struct{}{}, nil
	}); err != nil {
		return err
	}
	switch mac, inUse, err := a.probeAlias(ctx, n, alias, arpbudget.Urgent); {
	case err != nil:
		return err
	case inUse:
		return fault.New(fault.Refused, "end that server for good first, or find the host with that address",
			"%s is said to be dead, and %s answers for the alias %s of LIM %d", o.Dead, mac, alias, o.LIM)
	}
	return nil
}

// startedFromDead records the start of a LIM whose server was declared dead: the order is used up.
func (a *orders) startedFromDead(d *failover.Decision) {
	for i := range a.pending {
		if o := &a.pending[i]; d.SaidDead && o.LIM == d.LIM && o.Dead != "" && o.Term == 0 {
			o.Term = d.Term
		}
	}
}
