package commands

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/fault"
	"mxcluster/internal/manager"
)

// newManagerRemoveCommand returns `manager remove` (spec ch. 9, "Remove Redundancy").
func newManagerRemoveCommand(a *app) *cobra.Command {
	var o change
	c := &cobra.Command{
		Use:   "remove",
		Short: "End the redundancy of the management system",
		Long: `Manager remove takes this server out of the pair: the master first, and then the
standby, where it is refused as long as the master was not. The master's PostgreSQL goes
on as it is, and must accept writes: 'mxcluster manager fallback' takes them back to it.
The virtual address goes. The standby keeps the data that it has, in a PostgreSQL of its
own.`,
		Example:     "  mxcluster manager remove",
		Annotations: exits(editCodes()...),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := runManagerRemove(c.Context(), a, o); err != nil {
				return fmt.Errorf("ending the redundancy of the management system: %w", err)
			}
			return nil
		},
	}
	o.addFlags(c.Flags())
	o.addForce(c.Flags())
	asRoot(c)
	return c
}

func runManagerRemove(ctx context.Context, a *app, o change) error {
	s, err := a.server()
	if err != nil {
		return err
	}
	doc, err := s.read()
	if err != nil {
		return err
	}
	pair, err := manager.Find(doc)
	if err != nil {
		return err
	}
	role, here := pair.RoleOf(s.settings.Server)
	if !here {
		return fault.New(fault.Refused, fmt.Sprintf("run it on %s, then on %s", pair.Master.Name, pair.Standby.Name), "this is %s, none of the two servers", s.settings.Server)
	}
	place := a.env.Management(s.dirs.Management())
	half, err := place.Read()
	if err != nil {
		return err
	}
	r := result{DryRun: o.dryRun, Changed: half != nil || role == manager.Master && doc.Management != nil}
	switch {
	case !r.Changed:
		r.Text = "nothing is set up on " + s.settings.Server
	case role == manager.Standby && doc.Management != nil:
		return fault.New(fault.Refused, "mxcluster manager remove on "+pair.Master.Name, "the master comes first")
	case o.dryRun:
		r.Text = s.settings.Server + " would be taken out of the pair"
	default:
		if err := s.takeOut(ctx, place, role, doc.Management != nil && half != nil, o); err != nil {
			return err
		}
		r.Text = s.settings.Server + " is taken out of the pair"
		if role == manager.Master {
			r.Left = []string{"mxcluster manager remove on " + pair.Standby.Name}
		}
	}
	return a.done(r)
}

// takeOut takes this server out of the pair. With the document the agents let the pair be: one that
// is whole is only taken down where the master accepts writes; one whose end was interrupted is.
func (s *server) takeOut(ctx context.Context, place ManagementPlace, role manager.Role, whole bool, o change) error {
	if role == manager.Master {
		if whole {
			node, err := s.ownNode(ctx)
			if err != nil {
				return err
			}
			if i, why := (manager.Sight{Node: node}).Instance(); i == nil || i.Database == nil || i.Database.ReadOnly {
				return fault.New(fault.Refused, "mxcluster manager fallback", "PostgreSQL on %s does not accept writes %s", s.settings.Server, why)
			}
		}
		e := edit{change: o, command: "manager remove", doing: "ending the redundancy", apply: func(d *clusterconf.Document) error { d.Management = nil; return nil }}
		if _, _, err := s.edit(ctx, e); err != nil {
			return err
		}
	}
	return place.Remove(ctx)
}

// newManagerFallbackCommand returns `manager fallback` (spec ch. 9, "Fallback").
func newManagerFallbackCommand(a *app) *cobra.Command {
	var o change
	c := &cobra.Command{
		Use:   "fallback",
		Short: "Move the management system back to its master",
		Long: `Manager fallback, on the master, orders the agents to move the management system back
to it: where its fallback type is manual, it stays on the standby when LIM 1 has fallen
back. It is refused until LIM 1 runs on its regular server, and until the master has
caught up. Nothing that was written is lost.`,
		Example:     "  mxcluster manager fallback\n  mxcluster manager fallback --wait",
		Annotations: exits(fault.Refused, fault.Unreachable, fault.Unknown, fault.NotPermitted, fault.Invalid),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := runManagerFallback(c.Context(), a, o); err != nil {
				return fmt.Errorf("fallback of the management system: %w", err)
			}
			return nil
		},
	}
	o.addFlags(c.Flags())
	o.addWait(c.Flags())
	asRoot(c)
	return c
}

// managerPoll is from one look whether the management system is here to the next.
const managerPoll = 100 * time.Millisecond

func runManagerFallback(ctx context.Context, a *app, o change) error {
	s, err := a.server()
	if err != nil {
		return err
	}
	order := control.Order{Kind: control.OrderManagement, LIM: manager.Home, DryRun: o.dryRun, Reason: o.reason, By: a.env.User()}
	answer, err := s.agent.Order(ctx, order)
	if err != nil {
		return err
	}
	if o.wait > 0 && !o.dryRun && !answer.Already {
		if err := s.awaitManager(ctx, o.wait); err != nil {
			return err
		}
		answer.Text = "the management system is active on " + answer.Target
	}
	return a.done(result{Changed: !answer.Already, DryRun: o.dryRun, Text: answer.Text})
}

// awaitManager waits until PostgreSQL here accepts writes.
func (s *server) awaitManager(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		node, err := s.ownNode(ctx)
		if err == nil {
			if i, _ := (manager.Sight{Node: node}).Instance(); i != nil && i.Database != nil && !i.Database.ReadOnly {
				return nil
			}
		}
		if !pause(ctx, managerPoll) {
			return fault.New(fault.Unknown, "mxcluster manager status", "it is not back after %s", limit)
		}
	}
}

// newManagerReconfigureFallbackCommand returns `manager reconfigure-fallback` (spec ch. 9,
// "Reconfigure Fallback").
func newManagerReconfigureFallbackCommand(a *app) *cobra.Command {
	var o change
	c := &cobra.Command{
		Use:   "reconfigure-fallback",
		Short: "Give the management system the fallback type of its cluster",
		Long: `Manager reconfigure-fallback sets the fallback type of the management system to that of
LIM 1's cluster, after 'mxcluster change C --fallback' has changed that.`,
		Example:     "  mxcluster manager reconfigure-fallback",
		Annotations: exits(editCodes()...),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := a.server()
			if err != nil {
				return err
			}
			const what = "the fallback type of the management system"
			return s.perform(c.Context(), edit{
				change: o, command: "manager reconfigure-fallback", doing: "setting " + what,
				done: what + " is that of its cluster", would: what + " would be that of its cluster", already: what + " is that of its cluster already",
				apply: func(d *clusterconf.Document) error {
					cluster := d.ClusterOfLIM(clusterconf.ManagementLIM)
					if d.Management == nil || cluster == nil {
						return fault.New(fault.Refused, "mxcluster manager setup", "the management system is not set up to be redundant")
					}
					d.Management.Fallback = cluster.Fallback
					return nil
				},
			})
		},
	}
	o.addEditFlags(c.Flags())
	return c
}
