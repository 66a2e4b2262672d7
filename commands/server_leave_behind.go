package commands

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
)

type leaveBehindOptions struct {
	change
	undo bool
}

// newServerLeaveBehindCommand returns `server leave-behind`.
func newServerLeaveBehindCommand(a *app) *cobra.Command {
	var o leaveBehindOptions
	c := &cobra.Command{
		Use:   "leave-behind SRV [SRV]...",
		Short: "Do not wait for a server's upgrade",
		Long: `Server leave-behind has the cluster document change although the version of mxcluster
on SRV cannot read it any more: say of a server that is down, or cannot be upgraded
yet. Its LIM, or on a standby those of its cluster, are not redundant from then on.
What runs on SRV goes on by the last document that it can read; it takes nothing
over.

Where several servers cannot read it, they are named together: each alone would wait
for the others.

Once SRV is upgraded, --undo has it count again.`,
		Example:     "  mxcluster server leave-behind srv3 --reason 'waits for a part'\n  mxcluster server leave-behind srv3 --undo",
		Annotations: exits(editCodes()...),
		Args:        oneOrMore("SRV"),
		RunE: func(c *cobra.Command, args []string) error {
			return runLeaveBehind(c.Context(), a, args, o)
		},
	}
	c.Flags().BoolVar(&o.undo, "undo", false, "have the server count again")
	o.addEditFlags(c.Flags())
	return c
}

func runLeaveBehind(ctx context.Context, a *app, names []string, o leaveBehindOptions) error {
	s, err := a.server()
	if err != nil {
		return err
	}
	name := strings.Join(names, " ")
	what := "server " + strings.Join(names, ", ")
	e := edit{
		change: o.change, command: "server leave-behind " + name, doing: "leaving " + what + " behind",
		done: what + " is left behind", would: what + " would be left behind", already: what + " is left behind already",
		apply: func(d *clusterconf.Document) error {
			for _, server := range names {
				if err := d.LeaveBehind(server, !o.undo); err != nil {
					return err
				}
			}
			return nil
		},
	}
	if o.undo {
		e.command, e.doing = e.command+" --undo", "having "+what+" count again"
		e.done, e.would, e.already = what+" counts again", what+" would count again", what+" counts already"
	}
	return s.perform(ctx, e)
}
