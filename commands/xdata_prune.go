package commands

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/xdata"
)

type xdataPruneOptions struct {
	lim, keep int
	dryRun    bool
	reason    string
}

// newXdataPruneCommand returns `xdata prune`.
func newXdataPruneCommand(a *app) *cobra.Command {
	var o xdataPruneOptions
	c := &cobra.Command{
		Use:   "prune",
		Short: "Remove old data versions",
		Long: `Xdata prune removes the oldest data versions of each LIM until K are left: two on a
standby, three elsewhere, unless --keep says otherwise. The newest complete one
and the newest that was verified always stay, and so do versions that are still
being written. Damaged versions go where a good one is at least as new. What cannot
be removed is named, stops nothing else, and makes the exit code 1.

Of a LIM in a cluster, a version that 'xdata backup' made stays until something newer
is on both sides, and both sides of a conflict stay: 'mxcluster sync' comes first.`,
		Example:     "  mxcluster xdata prune --dry-run\n  mxcluster xdata prune --lim 1 --keep 1",
		Annotations: exits(fault.NotFound, fault.Busy, fault.NotPermitted, fault.Invalid),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("keep") && o.keep < 1 {
				return fault.New(fault.Usage, "keep one at least", "--keep: %d would leave no data", o.keep)
			}
			return runXdataPrune(c.Context(), a, o)
		},
	}
	c.Flags().IntVar(&o.lim, "lim", 0, "`number` of a LIM to prune alone")
	c.Flags().IntVar(&o.keep, "keep", 0, "`number` of versions to keep of each LIM (default: 2 on a standby, 3 elsewhere)")
	c.Flags().BoolVarP(&o.dryRun, "dry-run", "n", false, "say what would be removed, remove nothing")
	c.Flags().StringVar(&o.reason, "reason", "", "`text` that says why, for whoever finds the data in use")
	return c
}

// runXdataPrune continues with other LIMs when the data of one are in use.
func runXdataPrune(ctx context.Context, a *app, o xdataPruneOptions) error {
	s, err := a.server()
	if err != nil {
		return err
	}
	store := s.versions()
	store.Reason = o.reason
	if o.keep == 0 {
		o.keep = s.keepCount()
	}
	versions, err := someVersions(store, o.lim)
	if err != nil {
		return fmt.Errorf("pruning: %w", err)
	}
	lims := limsOfVersions(versions)
	var left []error // versions that cannot be removed are errors of this command
	store.Warn = keepWarnings(&left).warn
	removed, err := pruneAll(ctx, store, lims, o)
	if len(removed) > 0 && !o.dryRun {
		s.tellData(ctx)
	}
	if err := a.donePrune(removed, o); err != nil {
		return err
	}
	a.noteWaiting(store, lims, o.keep)
	return a.withoutHint(joinErrors(errors.Join(append(left, err)...), ""))
}

// noteWaiting reports versions that stay although they are older than those to keep.
func (a *app) noteWaiting(store *xdata.Store, lims []int, keep int) {
	for _, lim := range lims {
		if n, err := store.Retained(lim, keep); err == nil && n > 0 {
			a.out.Note("LIM %d: %s until something newer is on both sides: mxcluster sync --lim %d", lim, stayWords(n), lim)
		}
	}
}

func stayWords(n int) string {
	if n == 1 {
		return "1 more version stays"
	}
	return fmt.Sprintf("%d more versions stay", n)
}

func pruneAll(ctx context.Context, store *xdata.Store, lims []int, o xdataPruneOptions) (all []xdata.Version, err error) {
	prune := store.Prune
	if o.dryRun {
		prune = store.Surplus
	}
	var errs []error
	for _, lim := range lims {
		if ctx.Err() != nil {
			errs = append(errs, ctx.Err())
			break
		}
		removed, err := prune(lim, o.keep)
		all = append(all, removed...)
		if err != nil {
			errs = append(errs, fmt.Errorf("pruning LIM %d: %w", lim, err))
		}
	}
	return all, errors.Join(errs...)
}

// donePrune shows what was removed.
func (a *app) donePrune(removed []xdata.Version, o xdataPruneOptions) error {
	r := result{Changed: len(removed) > 0, DryRun: o.dryRun, Text: "there is no data version to remove"}
	verb := "removed"
	if o.dryRun {
		verb = "would be removed"
	}
	if r.Changed {
		r.Text = fmt.Sprintf("%s %s", countOf(len(removed), "data version"), verb)
	}
	for _, v := range removed {
		r.Changes = append(r.Changes, fmt.Sprintf("%s %s", v.Name, verb))
	}
	return a.done(r)
}

// countOf words a number of things.
func countOf(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// limsOfVersions returns the LIMs of versions sorted by LIM.
func limsOfVersions(versions []xdata.Version) (lims []int) {
	for i, v := range versions {
		if i == 0 || versions[i-1].LIM != v.LIM {
			lims = append(lims, v.LIM)
		}
	}
	return lims
}

// keepCount is how many versions of a LIM this server keeps.
func (s *server) keepCount() int {
	return xdata.KeptBy(s.side())
}

// side returns this server's side by the document; without one, or without an entry in it, not the
// standby.
func (s *server) side() clusterconf.Side {
	if doc, err := s.read(); err == nil {
		if me := doc.Server(s.settings.Server); me != nil && me.Standby {
			return clusterconf.SideStandby
		}
	}
	return clusterconf.SideRegular
}
