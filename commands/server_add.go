package commands

import (
	"context"
	"net/netip"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
)

type serverAddOptions struct {
	change
	serverFlags
}

// newServerAddCommand returns `server add`.
func newServerAddCommand(a *app) *cobra.Command {
	var o serverAddOptions
	c := &cobra.Command{
		Use:   "add SRV",
		Short: "Add a server to the system",
		Long: `Server add enters a server into the cluster document: a regular one with --lim,
a free one without. On the new server, 'mxcluster join' fetches the document.`,
		Example: `  mxcluster server add srv2 --base 10.0.0.12/24 --interface eth0 --lim 2
  mxcluster server add sb1 --base 10.0.0.13/24 --interface eth0`,
		Annotations: exits(editCodes()...),
		Args:        arguments("SRV"),
		RunE: func(c *cobra.Command, args []string) error {
			return runServerAdd(c.Context(), a, args[0], o)
		},
	}
	o.serverFlags.addFlags(c.Flags())
	o.addEditFlags(c.Flags())
	return c
}

// runServerAdd edits the document only: the new server comes in by `join`.
func runServerAdd(ctx context.Context, a *app, name string, o serverAddOptions) error {
	s, err := a.server()
	if err != nil {
		return err
	}
	first, err := o.server(&a.ask, name, netip.Prefix{})
	if err != nil {
		return doing(err, "adding server %s", name)
	}
	return s.perform(ctx, edit{
		change: o.change, command: "server add " + name, doing: "adding server " + name,
		done: "server " + name + " added", would: "server " + name + " would be added", already: "server " + name + " is there already",
		left: func(after *clusterconf.Document) []string {
			return []string{"on " + name + ": mxcluster join " + s.address(after) + " --key-file FILE"}
		},
		apply: func(d *clusterconf.Document) error { return d.AddServer(first) },
	})
}
