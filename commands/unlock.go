package commands

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
)

// newUnlockCommand returns `unlock` (spec ch. 10, "Lock or Unlock a LIM to a
// Specific Server").
func newUnlockCommand(a *app) *cobra.Command {
	var o change
	c := &cobra.Command{
		Use:   "unlock N",
		Short: "Take the lock of a LIM off",
		Long: `Unlock takes the lock of LIM N off. A LIM on the standby then falls back as the
cluster's fallback type has it: by itself, or by order.`,
		Example:     "  mxcluster unlock 1",
		Annotations: exits(editCodes()...),
		Args:        arguments("N"),
		RunE: func(c *cobra.Command, args []string) error {
			return runUnlock(c.Context(), a, args[0], o)
		},
	}
	o.addEditFlags(c.Flags())
	return c
}

func runUnlock(ctx context.Context, a *app, arg string, o change) error {
	lim, err := parseLIM(arg)
	if err != nil {
		return err
	}
	s, err := a.server()
	if err != nil {
		return err
	}
	what := fmt.Sprintf("LIM %d", lim)
	return s.perform(ctx, edit{
		change: o, command: fmt.Sprintf("unlock %d", lim), doing: "unlocking " + what,
		done: what + " is unlocked", would: what + " would be unlocked", already: what + " is not locked",
		apply: func(d *clusterconf.Document) error { return d.UnlockLIM(lim) },
	})
}
