package commands

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/swap"
	"mxcluster/netops"
)

// ownExchange is this server's part of an exchange of addresses where no agent does it. The address
// used by clients stays on the interface all the time, so that connections survive; addresses are
// removed last.
type ownExchange struct {
	app *app
	ctx context.Context

	undos, last []swap.Undo
	left        string // why this part is left to the agent; "": it is not
}

// makeReady takes the steps that can be undone.
func (x *ownExchange) makeReady(exchanges []clusterconf.Exchange, server string) error {
	own := slices.DeleteFunc(exchanges, func(e clusterconf.Exchange) bool { return e.Server != server })
	if len(own) == 0 {
		return nil
	}
	k, err := x.app.env.Kernel()
	if err != nil {
		return err
	}
	defer k.Close()
	for _, e := range own {
		if err := x.one(k, e); err != nil {
			return interfaceRefused(err)
		}
	}
	return nil
}

// one makes ready for one exchange.
func (x *ownExchange) one(k Kernel, e clusterconf.Exchange) error {
	here, err := x.addresses(k, e)
	if err != nil || x.left != "" {
		return err
	}
	p := swap.Decide(e, here)
	if p.Last.IsValid() {
		x.last = append(x.last, func(k swap.Kernel) error { return k.Drop(e.Interface, p.Last) })
	}
	undo, err := p.MakeReady(x.ctx, k, x.app.env.probe)
	if undo != nil {
		x.undos = append(x.undos, undo)
	}
	return err
}

// addresses returns the addresses of the interface. If none of those is present that the server
// should have by the present document, there is nothing to exchange: the document is prepared
// before the network, and the agent adds the addresses later.
func (x *ownExchange) addresses(k Kernel, e clusterconf.Exchange) ([]netops.Address, error) {
	addresses, err := k.Addresses(e.Interface)
	switch {
	case fault.CodeOf(err) == fault.NotFound:
		x.left = fmt.Sprintf("there is no interface %s", e.Interface)
	case err != nil:
		return nil, err
	case !hasAddress(addresses, e.OldBase) && !hasAddress(addresses, e.Alias):
		x.left = fmt.Sprintf("interface %s does not have %s, the base until now", e.Interface, e.OldBase)
	}
	return addresses, nil
}

// undo reverts these steps in reverse order.
func (x *ownExchange) undo() {
	slices.Reverse(x.undos)
	if err := x.run(x.undos); err != nil {
		x.app.out.Warn("undoing this server's part: %v", err)
	}
}

// finish takes the steps that must follow the replacement of the document.
func (x *ownExchange) finish() {
	if err := x.run(x.last); err != nil {
		x.app.out.Warn("the document is changed, but the former base of this server is still there: %v", err)
	}
}

func (x *ownExchange) run(steps []swap.Undo) error {
	if len(steps) == 0 {
		return nil
	}
	k, err := x.app.env.Kernel()
	if err != nil {
		return err
	}
	defer k.Close()
	var errs []error
	for _, step := range steps {
		errs = append(errs, step(k))
	}
	return errors.Join(errs...)
}

// leftToDo returns what the command could not do, for every server whose base moved.
func leftToDo(s *server, out outcome, here *ownExchange) []string {
	exchanges := clusterconf.Exchanges(out.Before.Document, out.After.Document)
	var left []string
	for _, r := range out.After.Servers {
		was := out.Before.Server(r.Name)
		if was == nil || was.Base == r.Base {
			continue
		}
		exchanged := slices.ContainsFunc(exchanges, func(e clusterconf.Exchange) bool { return e.Server == r.Name })
		switch own := r.Name == s.settings.Server && exchanged; {
		case out.agent:
		case own && here.left != "":
			left = append(left, fmt.Sprintf("on %s: %s; its addresses were left as they are: the agent brings them up when it starts", r.Name, here.left))
		case !own:
			left = append(left, fmt.Sprintf("on %s: start the agent, which brings up %s on %s", r.Name, r.Base, r.Interface))
		}
		place := was.Base.String()
		if out.After.ClusterOfLIM(r.LIM) != nil && exchanged {
			place = "the alias"
		}
		left = append(left, fmt.Sprintf("on %s: make %s the address of %s in the network configuration, in the place of %s, so that a reboot keeps it",
			r.Name, r.Base, r.Interface, place))
	}
	return left
}
