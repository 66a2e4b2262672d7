package commands

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"mxcluster/internal/fault"
	"mxcluster/xdata"
)

type xdataRemoveOptions struct {
	lim    int
	dryRun bool
	reason string
}

// newXdataRemoveCommand returns `xdata remove`.
func newXdataRemoveCommand(a *app) *cobra.Command {
	var o xdataRemoveOptions
	c := &cobra.Command{
		Use:   "remove VERSION",
		Short: "Remove one data version",
		Long: `Xdata remove removes one data version of LIM N from this server, such as one that is
damaged, or that has a file from the future. The last complete version is never
removed, nor is one that is still being written (exit code 3). The other side
keeps its copy.`,
		Example: `  mxcluster xdata remove --lim 1 xdata_1_20260301020000 --dry-run
  mxcluster xdata remove --lim 1 xdata_1_20260301020000 --reason "clock was wrong"`,
		Annotations: exits(fault.Refused, fault.NotFound, fault.Busy, fault.NotPermitted, fault.Invalid),
		Args:        arguments("VERSION"),
		RunE:        func(c *cobra.Command, args []string) error { return runXdataRemove(c.Context(), a, args[0], o) },
	}
	c.ValidArgsFunction = completer{a}.offerVersions(&o.lim, func(xdata.Version) bool { return true })
	c.Flags().IntVar(&o.lim, "lim", 0, "`number` of the LIM")
	c.Flags().BoolVarP(&o.dryRun, "dry-run", "n", false, "say what would be removed, remove nothing")
	c.Flags().StringVar(&o.reason, "reason", "", "`text` that says why, for whoever finds the data in use")
	return c
}

func runXdataRemove(ctx context.Context, a *app, name string, o xdataRemoveOptions) error {
	if o.lim <= 0 {
		return fault.New(fault.Usage, "give --lim N", "--lim is missing")
	}
	s, err := a.server()
	if err != nil {
		return err
	}
	store := s.versions()
	store.Reason = o.reason
	r := result{Changed: true, DryRun: o.dryRun}
	if o.dryRun {
		v, err := store.MayRemove(o.lim, name)
		if err != nil {
			return fmt.Errorf("removing version %s: %w", name, err)
		}
		r.Text = v.Name + " would be removed"
		return a.done(r)
	}
	v, err := store.Remove(o.lim, name)
	if err != nil {
		return err
	}
	s.tellData(ctx)
	r.Text = v.Name + " removed"
	return a.done(r)
}
