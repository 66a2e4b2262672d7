package commands

import (
	"context"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
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
		Annotations: exits(fault.Refused, fault.NotFound, fault.Busy, fault.NotPermitted, fault.Invalid),
		Args:        arguments("SRV"),
		RunE: func(c *cobra.Command, args []string) error {
			return runServerToStandby(c.Context(), a, args[0], o)
		},
	}
	o.addFlags(c.Flags())
	o.addForce(c.Flags())
	return c
}

// runServerToStandby edits the document; a standby already is what was asked for.
func runServerToStandby(ctx context.Context, a *app, name string, o change) error {
	s, err := a.server()
	if err != nil {
		return err
	}
	e := edit{
		change: o, command: "server to-standby " + name,
		apply: func(d *clusterconf.Document) error { return d.ToStandby(name) },
	}
	out, err := a.edit(ctx, s, e)
	if err != nil {
		return doing(err, "making %s a standby server", name)
	}
	return a.tell(out, e, name+" is a standby server now", name+" would be a standby server", name+" is a standby server already")
}
