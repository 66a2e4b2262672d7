package commands

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
)

type freezeOptions struct {
	change
	limit time.Duration
	given func(flag string) bool
}

// newFreezeCommand returns `freeze`.
func newFreezeCommand(a *app) *cobra.Command {
	var o freezeOptions
	c := &cobra.Command{
		Use:   "freeze C",
		Short: "Have no LIM of a cluster move by itself",
		Long: `Freeze has every LIM of cluster C stay where it is, for instance while switches are
replaced: none is taken over, falls back or makes room for another one by itself,
also where its server fails. The cluster is not redundant meanwhile. What people
order moves; leases, the end of a split brain and restarts of software in place go
on. It holds until 'mxcluster unfreeze C', or until the time of --for is over.
Frozen again without --for it keeps the end that it has.`,
		Example:     "  mxcluster freeze c1 --for 30m --reason 'new switch'",
		Annotations: exits(editCodes()...),
		Args:        arguments("C"),
		RunE: func(c *cobra.Command, args []string) error {
			o.given = c.Flags().Changed
			return runFreeze(c.Context(), a, args[0], o)
		},
	}
	f := c.Flags()
	f.DurationVar(&o.limit, "for", 0, "`time` after which it ends by itself")
	o.addEditFlags(f)
	return c
}

// newUnfreezeCommand returns `unfreeze`.
func newUnfreezeCommand(a *app) *cobra.Command {
	var o change
	c := &cobra.Command{
		Use:         "unfreeze C",
		Short:       "Have the LIMs of a frozen cluster move by themselves again",
		Long:        "Unfreeze ends 'mxcluster freeze C': what failed meanwhile is taken over, and what is\nto fall back by itself does.",
		Example:     "  mxcluster unfreeze c1",
		Annotations: exits(editCodes()...),
		Args:        arguments("C"),
		RunE: func(c *cobra.Command, args []string) error {
			return runUnfreeze(c.Context(), a, args[0], o)
		},
	}
	o.addEditFlags(c.Flags())
	return c
}

func runFreeze(ctx context.Context, a *app, name string, o freezeOptions) error {
	s, err := a.server()
	if err != nil {
		return err
	}
	now := a.env.Now()
	until := endOf(now, o.limit, o.given("for"))
	what := "cluster " + name
	return s.perform(ctx, edit{
		change: o.change, command: "freeze " + name, doing: "freezing " + what,
		done: what + " is frozen", would: what + " would be frozen", already: what + " is frozen already",
		apply: func(d *clusterconf.Document) error { return d.FreezeCluster(name, now, a.env.User(), o.reason, until) },
	})
}

func runUnfreeze(ctx context.Context, a *app, name string, o change) error {
	s, err := a.server()
	if err != nil {
		return err
	}
	what := "cluster " + name
	return s.perform(ctx, edit{
		change: o, command: "unfreeze " + name, doing: "unfreezing " + what,
		done: what + " is not frozen any more", would: what + " would not be frozen any more", already: what + " is not frozen",
		apply: func(d *clusterconf.Document) error { return d.UnfreezeCluster(name) },
	})
}
