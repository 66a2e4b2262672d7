package commands

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
)

// leaveHelp is said by the actions that take LIMs out of a cluster.
const leaveHelp = `
With agents running, each exchanges the addresses of its own server: all of them
or none. A LIM that runs on the standby must fall back first. Without an agent
here, this server's part is done at once, and what is left elsewhere is told. A
regular server that is gone for good cannot do its part: stop the agent here
first, and it is left out.

It asks before; a script answers with --yes. Older data versions do not fit any
more: every server keeps the newest of each LIM of the cluster.`

// newRemoveLIMCommand returns `remove-lim` (spec ch. 10, "Remove a LIM from a
// Cluster").
func newRemoveLIMCommand(a *app) *cobra.Command {
	var o change
	c := &cobra.Command{
		Use:   "remove-lim C N",
		Short: "Remove a LIM from a cluster",
		Long: `Remove-lim takes LIM N out of cluster C. Its alias becomes the base address of its
server again, so that clients keep the address they know; the present base goes
last. With the last LIM the cluster goes too.
` + leaveHelp,
		Example:     "  mxcluster remove-lim c1 2\n  mxcluster remove-lim c1 2 --yes --wait",
		Annotations: exits(editCodes()...),
		Args:        arguments("C", "N"),
		RunE: func(c *cobra.Command, args []string) error {
			return runRemoveLIM(c.Context(), a, args[0], args[1], o)
		},
	}
	o.addEditFlags(c.Flags())
	return c
}

func runRemoveLIM(ctx context.Context, a *app, cluster, arg string, o change) error {
	lim, err := parseLIM(arg)
	if err != nil {
		return err
	}
	s, err := a.server()
	if err != nil {
		return err
	}
	what := fmt.Sprintf("LIM %d", lim)
	return a.perform(ctx, s, edit{
		change: o, command: fmt.Sprintf("remove-lim %s %d", cluster, lim), doing: "removing " + what + " from cluster " + cluster,
		done: what + " removed from cluster " + cluster, would: what + " would be removed from cluster " + cluster, already: what + " is in no cluster",
		apply: func(d *clusterconf.Document) error { return d.RemoveLIM(cluster, lim) },
		loses: true,
	})
}
