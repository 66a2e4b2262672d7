package commands

import (
	"context"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
)

// newPreloadCommand returns `preload` (spec ch. 10, "Change Failover Behaviour to
// Preloaded").
func newPreloadCommand(a *app) *cobra.Command {
	var o change
	c := &cobra.Command{
		Use:   "preload C",
		Short: "Keep the software of a cluster's LIM loaded on the standby",
		Long: `Preload makes the standby of cluster C keep the software of the cluster's only
LIM loaded, so that a failover is faster. The software runs on both servers; on
the passive one the alias is blocked in the kernel. The software learns by reload,
from MXCLUSTER_ROLE, whether it is active or passive, and that there is new data.
'mxcluster status' shows whether the passive server is loading or preloaded. It
ends only with the cluster: 'mxcluster delete C'.
` + outdatedHelp,
		Example:     "  mxcluster preload c1 --wait",
		Annotations: exits(editCodes()...),
		Args:        arguments("C"),
		RunE: func(c *cobra.Command, args []string) error {
			return runPreload(c.Context(), a, args[0], o)
		},
	}
	o.addEditFlags(c.Flags())
	return c
}

func runPreload(ctx context.Context, a *app, name string, o change) error {
	s, err := a.server()
	if err != nil {
		return err
	}
	return s.perform(ctx, edit{
		change: o, command: "preload " + name, doing: "preloading cluster " + name,
		done: "cluster " + name + " is preloaded", would: "cluster " + name + " would be preloaded", already: "cluster " + name + " is preloaded already",
		apply: func(d *clusterconf.Document) error { return d.PreloadCluster(name) },
	})
}
