package commands

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/xdata"
)

type xdataBackupOptions struct {
	lim  int
	from string
}

// newXdataBackupCommand returns `xdata backup` (spec ch. 7).
func newXdataBackupCommand(a *app) *cobra.Command {
	var o xdataBackupOptions
	c := &cobra.Command{
		Use:   "backup",
		Short: "Make a data version of a folder",
		Long: `Xdata backup makes a data version of LIM N from a folder, all at once or not at
all. 'mxcluster sync' carries it to the other side.`,
		Example:     "  mxcluster xdata backup --lim 1 --from /var/opt/lim/data",
		Annotations: exits(fault.Refused, fault.NotFound, fault.Busy, fault.NotPermitted, fault.Invalid),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			return runXdataBackup(c.Context(), a, o)
		},
	}
	c.Flags().IntVar(&o.lim, "lim", 0, "`number` of the LIM")
	c.Flags().StringVar(&o.from, "from", "", "`folder` that holds its data")
	return c
}

// runXdataBackup prints the name of the new version, for scripts to go on with.
func runXdataBackup(ctx context.Context, a *app, o xdataBackupOptions) error {
	if o.from == "" {
		var err error
		if o.from, err = a.ask.Ask("from", "Folder that holds the data", ""); err != nil {
			return err
		}
	}
	s, err := a.server()
	if err != nil {
		return err
	}
	doc, err := s.store.Read()
	if err != nil {
		return err
	}
	if err := knownLIM(doc, o.lim); err != nil {
		return fmt.Errorf("backing up: %w", err)
	}
	v, err := s.versions(a.env.Now).Backup(ctx, o.lim, o.from)
	if err != nil {
		return err
	}
	a.out.Note("%s made of %s", v.Name, o.from)
	if !a.out.Machine() {
		_, err = fmt.Fprintln(a.out.Data, v.Name)
		return err
	}
	return a.out.Show(versionView([]xdata.Version{v}))
}

// knownLIM makes sure that the system has a LIM.
func knownLIM(doc *clusterconf.Document, lim int) error {
	if lim == 0 {
		return fault.New(fault.Usage, "give --lim N", "--lim is missing")
	}
	if doc.RegularOf(lim) == nil {
		return fault.New(fault.NotFound, "mxcluster lim list", "there is no LIM %d", lim)
	}
	return nil
}
