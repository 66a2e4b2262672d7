package commands

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/xdata"
)

type xdataBackupOptions struct {
	lim    int
	from   string
	noSync bool
	dryRun bool
	force  bool
	reason string
}

// newXdataBackupCommand returns `xdata backup` (spec ch. 7).
func newXdataBackupCommand(a *app) *cobra.Command {
	var o xdataBackupOptions
	c := &cobra.Command{
		Use:   "backup",
		Short: "Make a data version of a folder",
		Long: `Xdata backup makes a data version of LIM N from a folder, all at once or not at
all, and prints its name. If the LIM is in a cluster, the version is then copied
to the other side, as by 'mxcluster sync'. When that fails the version stays, and
the exit code is the sync's. It is refused on a server that the LIM never runs on,
unless nothing is to be copied, and, without --force, where the agent says that the
LIM is not active: such a folder holds old data.

What changes or vanishes while it is copied is copied again, twice at most; the exit
code is 6 then, and a file is named. Access lists (ACL) and extended attributes of
users are kept, capabilities are not, and holes stay holes. What could not be copied
to the other side, such as a path of more than 4096 bytes, is refused.

The version notes which one it follows: that which the LIM here was last started on,
received or backed up to. Data that were put back to an older state, or lost files
only, are the newer data by that, whatever their times are. Where the newest version
has the same content no other is made, and its name is printed. A version with a file
from the future is made, but not copied.`,
		Example: `  mxcluster xdata backup --lim 1 --from /var/opt/lim/data
  mxcluster xdata backup --lim 1 --from /var/opt/lim/data --no-sync`,
		Annotations: exits(fault.Refused, fault.NotFound, fault.Unreachable, fault.Busy, fault.Conflict, fault.NotPermitted, fault.Invalid),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			return runXdataBackup(c.Context(), a, o)
		},
	}
	c.Flags().IntVar(&o.lim, "lim", 0, "`number` of the LIM")
	c.Flags().StringVar(&o.from, "from", "", "`folder` that holds its data")
	c.Flags().BoolVar(&o.noSync, "no-sync", false, "do not copy the version to the other side")
	c.Flags().BoolVarP(&o.dryRun, "dry-run", "n", false, "say what would be done, write nothing")
	c.Flags().BoolVar(&o.force, "force", false, "also where the LIM is not active")
	c.Flags().StringVar(&o.reason, "reason", "", "`text` that says why, kept with the version")
	return c
}

// runXdataBackup prints the name of the new version, for scripts.
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
	doc, err := s.read()
	if err != nil {
		return err
	}
	if err := knownLIM(doc, o.lim); err != nil {
		return fmt.Errorf("backing up: %w", err)
	}
	if !o.noSync && doc.ClusterOfLIM(o.lim) != nil {
		if err := s.checkKnown(doc); err != nil {
			return fmt.Errorf("backing up: %w", err)
		}
	}
	jobs, err := o.syncJobs(doc, s.settings.Server)
	if err != nil {
		return fmt.Errorf("backing up: %w", err)
	}
	if err := o.mayBackUp(ctx, s, doc); err != nil {
		return fmt.Errorf("backing up: %w", err)
	}
	if o.dryRun {
		if err := s.versions().MayBackup(o.from); err != nil {
			return fmt.Errorf("back up the data of LIM %d from %s: %w", o.lim, o.from, err)
		}
		return a.done(result{Changed: true, DryRun: true, Text: o.dryRunWords(jobs)})
	}
	v, err := s.backup(ctx, o)
	if err != nil {
		return err
	}
	if v.Reused {
		a.out.Note("no version made: %s has the same content as %s", v.Name, o.from)
	} else {
		a.out.Note("%s made of %s", v.Name, o.from)
	}
	if err := a.showBackup(v); err != nil {
		return err
	}
	return s.syncBackup(ctx, v, o.reason, jobs)
}

// mayBackUp refuses a backup on the side where the LIM is not active: its data there are old, and
// would count as the newest.
func (o *xdataBackupOptions) mayBackUp(ctx context.Context, s *server, doc *clusterconf.Document) error {
	c := doc.ClusterOfLIM(o.lim)
	if o.force || c == nil {
		return nil
	}
	on, known := s.active(ctx, o.lim)
	switch {
	case !known || on == s.settings.Server:
		return nil
	case on == "":
		return fault.New(fault.Refused, "start it first, or give --force if this folder holds its newest data", "LIM %d is active nowhere", o.lim)
	}
	return fault.New(fault.Refused, fmt.Sprintf("run it on %s, or with --force if the newest data are here all the same", on),
		"LIM %d is active on %s, not here", o.lim, on)
}

// backup makes the version, and shows its progress.
func (s *server) backup(ctx context.Context, o xdataBackupOptions) (xdata.Version, error) {
	store := s.versions()
	bar := s.progress("backing up", 0)
	defer bar.Close()
	store.Reason, store.Progress = o.reason, bar.Add
	if s.paired(o.lim) {
		store.Side = s.side()
	}
	store.Note = func(text string) { s.out.Warn("LIM %d: %s", o.lim, text) }
	defer s.tellData(ctx)
	return store.Backup(ctx, o.lim, o.from)
}

// syncJobs returns the syncs after the backup: none for a LIM in no cluster.
func (o *xdataBackupOptions) syncJobs(doc *clusterconf.Document, me string) ([]syncJob, error) {
	if o.noSync || doc.ClusterOfLIM(o.lim) == nil {
		return nil, nil
	}
	jobs, err := planSync(doc, me, "", syncOptions{lims: []int{o.lim}})
	if err == nil && slices.ContainsFunc(jobs, func(j syncJob) bool { return j.side == "" }) {
		// The sync would run between other servers, and report success.
		regular, standby := doc.RegularOf(o.lim).Name, doc.ClusterOfLIM(o.lim).Standby
		return nil, fault.New(fault.Refused, fmt.Sprintf("run it on %s, or on %s while the LIM runs there; with --no-sync the version is made here and stays here", regular, standby),
			"LIM %d runs on %s or on %s, not on %s: nobody would get its version", o.lim, regular, standby, me)
	}
	return jobs, err
}

// dryRunWords describes a dry run.
func (o *xdataBackupOptions) dryRunWords(jobs []syncJob) string {
	text := fmt.Sprintf("a data version of LIM %d would be made of %s", o.lim, o.from)
	for _, j := range jobs {
		text += " and synchronised with " + j.there.Name
	}
	return text
}

// showBackup prints the name only, unless a format was asked for.
func (a *app) showBackup(v xdata.Version) error {
	if a.out.Machine() {
		return a.out.Show(versionView([]xdata.Version{v}))
	}
	return a.out.Lines(v.Name)
}

// syncBackup copies a new version to the other side (spec ch. 3). The version stays even if that
// fails.
func (s *server) syncBackup(ctx context.Context, v xdata.Version, reason string, jobs []syncJob) error {
	y := &syncer{server: s, options: syncOptions{direction: string(xdata.DirectionAuto), reason: reason, wait: busyLimit}}
	y.doAll(ctx, jobs)
	err := y.failure()
	for _, r := range y.results {
		if r.Error != nil {
			continue
		}
		s.out.Note("LIM %d: %s %s", r.LIM, r.Version, r.Result)
		if err == nil && !r.Has(&v) {
			err = fault.New(fault.Conflict, "see 'mxcluster xdata list' on both servers", "both sides have %s now", r.Version)
		}
	}
	return s.withoutHint(fault.Wrap(err, fault.CodeOf(err), "", "%s is made, but not copied to the other side", v.Name))
}

// busyLimit is how long a backup waits for a sync started by cron or an agent.
const busyLimit = time.Minute

// knownLIM checks that the system has a LIM.
func knownLIM(doc *clusterconf.Document, lim int) error {
	if lim == 0 {
		return fault.New(fault.Usage, "give --lim N", "--lim is missing")
	}
	if doc.RegularOf(lim) == nil {
		return fault.New(fault.NotFound, "mxcluster lim list", "there is no LIM %d", lim)
	}
	return nil
}
