package commands

import (
	"context"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
)

// newServerToFreeCommand returns `server to-free` (spec ch. 10, "Remove a Cluster").
func newServerToFreeCommand(a *app) *cobra.Command {
	var o change
	c := &cobra.Command{
		Use:         "to-free SRV",
		Short:       "Make a free server of a standby server",
		Long:        `Server to-free makes a free server of a standby server that no cluster uses.`,
		Example:     "  mxcluster server to-free sb1",
		Annotations: exits(editCodes()...),
		Args:        arguments("SRV"),
		RunE: func(c *cobra.Command, args []string) error {
			return runServerToFree(c.Context(), a, args[0], o)
		},
	}
	o.addEditFlags(c.Flags())
	return c
}

func runServerToFree(ctx context.Context, a *app, name string, o change) error {
	s, err := a.server()
	if err != nil {
		return err
	}
	return s.perform(ctx, edit{
		change: o, command: "server to-free " + name, doing: "making " + name + " a free server",
		done: name + " is a free server now", would: name + " would be a free server", already: name + " is a free server already",
		apply: func(d *clusterconf.Document) error { return d.ToFree(name) },
	})
}
