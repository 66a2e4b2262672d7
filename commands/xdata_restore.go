package commands

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"mxcluster/internal/fault"
	"mxcluster/xdata"
)

type xdataRestoreOptions struct {
	lim    int
	to     string
	dryRun bool
}

// newXdataRestoreCommand returns `xdata restore`.
func newXdataRestoreCommand(a *app) *cobra.Command {
	var o xdataRestoreOptions
	c := &cobra.Command{
		Use:   "restore VERSION",
		Short: "Copy a data version to a folder",
		Long: `Xdata restore copies a data version of LIM N to a folder that is empty or does not
exist yet, all at once or not at all, with modification times, modes, access lists
(ACL), extended attributes of users and, as root, owners. What the file system there
does not keep is said. Every file is held against its hash; a version that does not match
is not restored (exit code 7). Nothing is ever overwritten.`,
		Example: `  mxcluster xdata restore --lim 1 xdata_1_20260301020000 --to /var/opt/lim/data
  mxcluster xdata restore --lim 1 "$(mxcluster xdata list --lim 1 -o name | head -1)" --to /tmp/lim1`,
		Annotations: exits(fault.Refused, fault.NotFound, fault.Busy, fault.Conflict, fault.NotPermitted, fault.Invalid),
		Args:        arguments("VERSION"),
		RunE: func(c *cobra.Command, args []string) error {
			return runXdataRestore(c.Context(), a, args[0], o)
		},
	}
	c.ValidArgsFunction = completer{a}.offerVersions(&o.lim, func(v xdata.Version) bool { return v.Complete })
	c.Flags().IntVar(&o.lim, "lim", 0, "`number` of the LIM")
	c.Flags().StringVar(&o.to, "to", "", "`folder` to restore to, empty or absent")
	c.Flags().BoolVarP(&o.dryRun, "dry-run", "n", false, "say what would be done, write nothing")
	a.addReason(c.Flags())
	return c
}

// offerVersions completes the one argument of a command with the versions of a LIM, of all
// for 0, for which wanted holds, the newest first.
func (a completer) offerVersions(lim *int, wanted func(xdata.Version) bool) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return withPrefix(a.someVersions(*lim, wanted), begun), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

func (a completer) someVersions(lim int, wanted func(xdata.Version) bool) []cobra.Completion {
	s, err := a.server()
	if err != nil {
		return nil
	}
	versions, err := s.versions().List(lim)
	if err != nil {
		return nil
	}
	var list []cobra.Completion
	for _, v := range versions {
		if wanted(v) {
			about := fmt.Sprintf("LIM %d, newest file of %s", v.LIM, v.NewestMtime.Format("2006-01-02 15:04"))
			if v.Damage != "" {
				about += ", damaged"
			}
			list = append(list, described(v.Name, about))
		}
	}
	return list
}

func runXdataRestore(ctx context.Context, a *app, name string, o xdataRestoreOptions) error {
	if o.lim <= 0 {
		return fault.New(fault.Usage, "give --lim N", "--lim is missing")
	}
	if o.to == "" {
		var err error
		if o.to, err = a.ask.Ask("to", "Folder to restore to, empty or absent", ""); err != nil {
			return err
		}
	}
	to, err := filepath.Abs(o.to)
	if err != nil {
		return err
	}
	s, err := a.server()
	if err != nil {
		return err
	}
	store := s.versions()
	v, err := store.Find(o.lim, name)
	if err != nil {
		return fmt.Errorf("restoring: %w", err)
	}
	r := result{Changed: true, DryRun: o.dryRun}
	if o.dryRun {
		if err := store.MayRestore(v, to); err != nil {
			return fmt.Errorf("restore version %s to %s: %w", v.Name, to, err)
		}
		r.Text = fmt.Sprintf("%s, %d files, would be restored to %s", v.Name, v.Files, to)
		return a.done(r)
	}
	store.Note = func(text string) { a.out.Warn("%s", text) }
	bar := a.progress("restoring", v.Bytes)
	err = store.Restore(ctx, v, to, bar.Add)
	bar.Close()
	if err != nil {
		return err
	}
	r.Text = fmt.Sprintf("%s restored to %s", v.Name, to)
	return a.done(r)
}
