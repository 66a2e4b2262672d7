package commands

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
)

// leaveHelp is said by the actions that take LIMs out of a cluster.
const leaveHelp = `
With agents running it goes in steps. From the first one on the LIMs are not taken
over any more; the standby gives up what it has of them; then the alias becomes
the base, and when every server knows that, the former base goes. The agents go on
whatever happens to this command or to a server, and the same command again waits
for the end. A LIM that runs on the standby must fall back first, and both servers
must be heard; --server-is-dead goes on without one that is lost for good, and
ends a LIM that the standby serves in its place. Without an agent here, this
server's part is done at once, and what is left elsewhere is told.

It asks before; a script answers with --yes. Older data versions do not fit any
more: every server keeps the newest of each LIM of the cluster.`

// newRemoveLIMCommand returns `remove-lim` (spec ch. 10, "Remove a LIM from a
// Cluster").
func newRemoveLIMCommand(a *app) *cobra.Command {
	var o leave
	c := &cobra.Command{
		Use:   "remove-lim C N",
		Short: "Remove a LIM from a cluster",
		Long: `Remove-lim takes LIM N out of cluster C. Its alias becomes the base address of its
server again, so that clients keep the address they know; the present base goes
last. With the last LIM the cluster goes too.
` + leaveHelp,
		Example:     "  mxcluster remove-lim c1 2\n  mxcluster remove-lim c1 2 --yes --wait\n  mxcluster remove-lim c1 2 --server-is-dead srv2",
		Annotations: exits(editCodes()...),
		Args:        arguments("C", "N"),
		RunE: func(c *cobra.Command, args []string) error {
			return runRemoveLIM(c.Context(), a, args[0], args[1], o)
		},
	}
	o.addEditFlags(c.Flags())
	o.addDead(c.Flags())
	return c
}

func runRemoveLIM(ctx context.Context, a *app, cluster, arg string, o leave) error {
	lim, err := parseLIM(arg)
	if err != nil {
		return err
	}
	s, err := a.server()
	if err != nil {
		return err
	}
	what := fmt.Sprintf("LIM %d", lim)
	o.cluster, o.lims = cluster, []int{lim}
	o.edit = edit{
		change: o.change, command: fmt.Sprintf("remove-lim %s %d", cluster, lim), doing: "removing " + what + " from cluster " + cluster,
		done: what + " removed from cluster " + cluster, would: what + " would be removed from cluster " + cluster, already: what + " is in no cluster",
		apply: func(d *clusterconf.Document) error { return d.RemoveLIM(cluster, lim) },
		loses: true,
	}
	return s.leaveCluster(ctx, o)
}
