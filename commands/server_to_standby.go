package commands

import (
	"context"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
)

// newServerToStandbyCommand returns `server to-standby` (spec ch. 10).
func newServerToStandbyCommand(a *app) *cobra.Command {
	var o change
	c := &cobra.Command{
		Use:   "to-standby SRV",
		Short: "Make a standby server of a free one",
		Long: `Server to-standby makes a standby server of a free one. A cluster is created with
a standby server of its own.`,
		Example:     "  mxcluster server to-standby sb1",
		Annotations: exits(editCodes()...),
		Args:        arguments("SRV"),
		RunE: func(c *cobra.Command, args []string) error {
			return runServerToStandby(c.Context(), a, args[0], o)
		},
	}
	o.addEditFlags(c.Flags())
	return c
}

// runServerToStandby edits the document; a standby already is what was asked for.
func runServerToStandby(ctx context.Context, a *app, name string, o change) error {
	s, err := a.server()
	if err != nil {
		return err
	}
	return s.perform(ctx, edit{
		change: o, command: "server to-standby " + name, doing: "making " + name + " a standby server",
		done: name + " is a standby server now", would: name + " would be a standby server", already: name + " is a standby server already",
		apply: func(d *clusterconf.Document) error { return d.ToStandby(name) },
	})
}
