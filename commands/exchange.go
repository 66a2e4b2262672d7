package commands

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/netops"
)

// ownExchange is this server's part of an exchange of addresses where no agent does
// it. The address that clients use stays on the interface all the time, so that
// connections through it go on; what has to go goes last.
type ownExchange struct {
	app *app
	ctx context.Context

	undos, last []func(Kernel) error
	left        string // why this server's part is left to its agent; "": it is not
}

// makeReady does what can be undone: it adds the new base on entering a cluster, and
// makes the alias permanent on leaving one.
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
		if e.Direction == clusterconf.DirectionEnter {
			err = x.enter(k, e)
		} else {
			err = x.leave(k, e)
		}
		if err != nil {
			return interfaceRefused(err)
		}
	}
	return nil
}

// enter brings the new base up beside the old one, which becomes the alias and
// stays as it is.
func (x *ownExchange) enter(k Kernel, e clusterconf.Exchange) error {
	addresses, err := x.addresses(k, e, e.OldBase)
	if err != nil || x.left != "" || hasAddress(addresses, e.NewBase) {
		return err
	}
	if err := x.app.probeFree(x.ctx, e.Interface, e.NewBase.Addr()); err != nil {
		return err
	}
	x.undos = append(x.undos, func(k Kernel) error { return k.Drop(e.Interface, e.NewBase) })
	return k.EnsureBase(e.Interface, e.NewBase)
}

// leave makes the alias the base again. The LIM must not run elsewhere: two servers
// would have its address.
func (x *ownExchange) leave(k Kernel, e clusterconf.Exchange) error {
	addresses, err := x.addresses(k, e, e.OldBase, e.Alias)
	if err != nil || x.left != "" {
		return err
	}
	i := slices.IndexFunc(addresses, func(a netops.Address) bool { return a.Prefix == e.Alias })
	switch {
	case i < 0:
		mac, err := x.app.probe(x.ctx, e.Interface, e.Alias.Addr())
		if err != nil {
			return err
		}
		if mac != nil {
			return fault.New(fault.Refused, fmt.Sprintf("bring it back first: mxcluster fallback %d", e.LIM),
				"LIM %d does not run on its regular server %s: its alias %s is in use by %s", e.LIM, e.Server, e.Alias.Addr(), mac)
		}
		x.undos = append(x.undos, func(k Kernel) error { return k.Drop(e.Interface, e.Alias) })
	case !addresses[i].Permanent:
		was := addresses[i].Remaining
		x.undos = append(x.undos, func(k Kernel) error { return k.Hold(e.Interface, e.Alias, was) })
	}
	x.last = append(x.last, func(k Kernel) error { return k.Drop(e.Interface, e.OldBase) })
	return k.EnsureBase(e.Interface, e.Alias)
}

// addresses returns those of the interface. Where it has none of those that the
// server should have by the document as it was, there is nothing to exchange: the
// document is prepared before the network is, and the agent brings both up.
func (x *ownExchange) addresses(k Kernel, e clusterconf.Exchange, expected ...netip.Prefix) ([]netops.Address, error) {
	addresses, err := k.Addresses(e.Interface)
	switch {
	case fault.CodeOf(err) == fault.NotFound:
		x.left = fmt.Sprintf("there is no interface %s", e.Interface)
	case err != nil:
		return nil, err
	case !slices.ContainsFunc(expected, func(p netip.Prefix) bool { return hasAddress(addresses, p) }):
		x.left = fmt.Sprintf("interface %s does not have %s, the base until now", e.Interface, expected[0])
	}
	return addresses, nil
}

// undo takes back what was made ready, the last first.
func (x *ownExchange) undo() {
	slices.Reverse(x.undos)
	if err := x.run(x.undos); err != nil {
		x.app.out.Warn("undoing this server's part: %v", err)
	}
}

// finish does what must wait until the document is replaced.
func (x *ownExchange) finish() {
	if err := x.run(x.last); err != nil {
		x.app.out.Warn("the document is changed, but the former base of this server is still there: %v", err)
	}
}

func (x *ownExchange) run(steps []func(Kernel) error) error {
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

// leftToDo says what the command could not do for every server whose base moved.
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
