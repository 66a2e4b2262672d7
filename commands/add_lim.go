package commands

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
)

type addLIMOptions struct {
	change
	base     string
	priority int
}

// newAddLIMCommand returns `add-lim` (spec ch. 10, "Add a LIM to a Cluster").
func newAddLIMCommand(a *app) *cobra.Command {
	var o addLIMOptions
	c := &cobra.Command{
		Use:   "add-lim C N",
		Short: "Add a LIM to a cluster",
		Long: `Add-lim adds LIM N to cluster C. As with 'mxcluster create' the present base
address of its server becomes the LIM's alias, and NEWBASE its base.
` + outdatedHelp,
		Example:     "  mxcluster add-lim c1 2 --base 10.0.0.22\n  mxcluster add-lim c1 2 --base 10.0.0.22 --priority 50 --wait",
		Annotations: exits(editCodes()...),
		Args:        arguments("C", "N"),
		RunE: func(c *cobra.Command, args []string) error {
			return runAddLIM(c.Context(), a, args[0], args[1], o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.base, "base", "", "new base `address` of the LIM's server")
	f.IntVar(&o.priority, "priority", clusterconf.DefaultPriority, "`priority` of the LIM on the standby; a lower value is a higher priority")
	o.addEditFlags(f)
	return c
}

func runAddLIM(ctx context.Context, a *app, cluster, arg string, o addLIMOptions) error {
	lim, err := parseLIM(arg)
	if err != nil {
		return err
	}
	s, err := a.server()
	if err != nil {
		return err
	}
	what := fmt.Sprintf("LIM %d", lim)
	if o.base == "" {
		if o.base, err = a.ask.Ask("base", "New base address of its server", ""); err != nil {
			return doing(err, "adding %s to cluster %s", what, cluster)
		}
	}
	return s.perform(ctx, edit{
		change: o.change, command: fmt.Sprintf("add-lim %s %d", cluster, lim), doing: "adding " + what + " to cluster " + cluster,
		done: what + " added to cluster " + cluster, would: what + " would be added to cluster " + cluster, already: what + " is in cluster " + cluster + " already",
		apply: func(d *clusterconf.Document) error { return d.AddLIM(cluster, lim, o.base, o.priority) },
		then:  allRun(cluster),
	})
}
