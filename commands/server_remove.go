package commands

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
)

// newServerRemoveCommand returns `server remove` (spec ch. 10, "Remove a Cluster").
func newServerRemoveCommand(a *app) *cobra.Command {
	var o change
	c := &cobra.Command{
		Use:   "remove SRV",
		Short: "Remove a server from the system",
		Long: `Server remove takes a server that no cluster uses out of the cluster document,
and with a regular server the software entry of its LIM. The server on which the
command runs cannot remove itself. A server that is removed takes its alias off,
stops its LIM and idles as soon as its agent hears of it, also if it was down.`,
		Example:     "  mxcluster server remove sb1",
		Annotations: exits(editCodes()...),
		Args:        arguments("SRV"),
		RunE: func(c *cobra.Command, args []string) error {
			return runServerRemove(c.Context(), a, args[0], o)
		},
	}
	o.addEditFlags(c.Flags())
	return c
}

// runServerRemove refuses to saw off the branch it sits on: a server that is not in
// its own document has nobody to hear of later ones from.
func runServerRemove(ctx context.Context, a *app, name string, o change) error {
	s, err := a.server()
	if err != nil {
		return err
	}
	return s.perform(ctx, edit{
		change: o, command: "server remove " + name, doing: "removing server " + name,
		done: "server " + name + " removed", would: "server " + name + " would be removed", already: "server " + name + " is removed already",
		left: func(*clusterconf.Document) []string {
			return []string{fmt.Sprintf("on %s: stop the agent; for another system, remove cluster.yaml and gossip.key", name)}
		},
		apply: func(d *clusterconf.Document) error {
			if err := d.RemoveServer(name); err != nil || name != s.settings.Server {
				return err
			}
			return fault.New(fault.Refused, "run it on another server", "cannot remove server %s: this is it", name)
		},
	})
}
