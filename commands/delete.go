package commands

import (
	"context"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
)

// newDeleteCommand returns `delete` (spec ch. 10, "Remove a Cluster").
func newDeleteCommand(a *app) *cobra.Command {
	var o leave
	c := &cobra.Command{
		Use:   "delete C",
		Short: "Delete a cluster",
		Long: `Delete deletes cluster C. The alias of each of its LIMs becomes the base address
of its server again, so that clients keep the address they know; the present
base goes last. The standby server stays one ('mxcluster server to-free').
` + leaveHelp,
		Example:     "  mxcluster delete c1 --dry-run\n  mxcluster delete c1 --yes --wait\n  mxcluster delete c1 --server-is-dead sb1",
		Annotations: exits(editCodes()...),
		Args:        arguments("C"),
		RunE: func(c *cobra.Command, args []string) error {
			return runDelete(c.Context(), a, args[0], o)
		},
	}
	o.addEditFlags(c.Flags())
	o.addDead(c.Flags())
	return c
}

func runDelete(ctx context.Context, a *app, name string, o leave) error {
	s, err := a.server()
	if err != nil {
		return err
	}
	o.cluster = name
	o.edit = edit{
		change: o.change, command: "delete " + name, doing: "deleting cluster " + name,
		done: "cluster " + name + " deleted", would: "cluster " + name + " would be deleted", already: "cluster " + name + " is deleted already",
		apply: func(d *clusterconf.Document) error { return d.DeleteCluster(name) },
		loses: true,
	}
	return s.leaveCluster(ctx, o)
}
