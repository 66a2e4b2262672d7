package commands

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/ui"
	"mxcluster/xdata"
)

type syncOptions struct {
	lims      []int
	all       bool
	here      bool
	wait      time.Duration // until the data are free
	direction string
	keep      string
	bwlimit   string
	dryRun    bool
	reason    string
	signs     bool // keepalives on standard output, until the report

	rate int64 // bwlimit in bytes per second; 0: no limit
}

// syncReport is the output of `sync -o json`.
type syncReport struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"` // SyncReport
	DryRun     bool           `json:"dryRun,omitempty"`
	Results    []xdata.Result `json:"results"`
}

const syncReportKind = "SyncReport"

// newSyncCommand returns `sync` (spec ch. 10, "Sync exchange data within cluster").
func newSyncCommand(a *app) *cobra.Command {
	var o syncOptions
	c := &cobra.Command{
		Use:   "sync [C]",
		Short: "Make the data of LIMs the same on both sides",
		Long: `Sync copies the newest data version of a LIM to the side that lacks it. A version
that 'mxcluster xdata backup' made knows which ones it follows, and is newer than
those, whatever the times say; else the newest modification time decides. Where the
contents differ and none is newer, that is a conflict (exit code 7): nothing is copied,
and neither is removed. 'sync --lim N --keep regular', or standby, ends it: what that
side has is kept on both, and the other's version is set aside, in the folder set-aside
beside the versions there. It is never deleted.

On a standby it does so for every LIM of its
cluster, on a regular server for its own. Elsewhere, or with --all, it runs
itself on the standby of each cluster, through the setting sync.rsh. When one
LIM fails it goes on with the rest, and reports each; the exit code is that of
the gravest failure. With --quiet it says nothing while all is well, and one line
when not, as cron wants it.

A login on the other server may take as long as the setting sync.login_limit says,
60s by default; what its shell prints is passed over. When nothing is heard of the other
side for sync.idle_limit, 60s by default, both sides let go of the data; one that is slow
sends signs of life. An ssh in sync.rsh is started without what its configuration may
have for people: no terminal, command, shared connection or forwarding of theirs. What
sync.rsh itself says counts before that.

A version that another program may still be writing is waited for, for a minute or the
setting xdata.still at most; after that it is left out, and that is said.

Nothing newer is ever overwritten, whatever --direction says. A RATE is a number
with k, M or G for bytes a second, or kbit, Mbit or Gbit; a number alone counts
KiB a second, as rsync's does.`,
		Example:     "  mxcluster sync\n  mxcluster sync c1 --lim 1 --direction to-standby\n  mxcluster sync --all --bwlimit 10M -o json\n  mxcluster sync --dry-run\n  mxcluster sync --lim 1 --keep regular\n  mxcluster sync setup-ssh sb1",
		Annotations: exits(fault.Refused, fault.NotFound, fault.Unreachable, fault.Busy, fault.Conflict, fault.NotPermitted, fault.Invalid),
		Args:        arguments("[C]"),
		RunE: func(c *cobra.Command, args []string) error {
			return runSync(c.Context(), a, optionalArgument(args), o)
		},
	}
	c.Flags().IntSliceVar(&o.lims, "lim", nil, "`number` of a LIM; may be repeated")
	c.Flags().BoolVar(&o.all, "all", false, "every cluster, each on its standby")
	c.Flags().BoolVar(&o.here, "here", false, "only LIMs that this server is a side of; a server of no cluster does nothing")
	c.Flags().DurationVar(&o.wait, "wait", 0, "wait up to this `time` while another process is at the data (default when given alone: 60s)")
	c.Flags().Lookup("wait").NoOptDefVal = "60s"
	c.Flags().StringVar(&o.direction, "direction", string(xdata.DirectionAuto), "copy only this `way`: auto, to-standby or to-regular")
	c.Flags().StringVar(&o.keep, "keep", "", "end a conflict: keep what this `side` has, regular or standby, on both; needs --lim")
	c.Flags().StringVar(&o.bwlimit, "bwlimit", "", "`rate` at which data may be copied, such as 500k, 10M or 100Mbit (default: no limit)")
	c.Flags().StringVar(&o.reason, "reason", "", "`text` that says why, for whoever finds the data in use")
	c.Flags().BoolVarP(&o.dryRun, "dry-run", "n", false, "compare both sides and say what would be copied, write nothing")
	c.Flags().BoolVar(&o.signs, "signs", false, "print a blank now and then until the report is there, for who waits for it")
	_ = c.Flags().MarkHidden("signs") // used by 'sync' on another server
	c.AddCommand(newSetupSSHCommand(a), newAcceptKeyCommand(a), newSSHCommand(a))
	return c
}

// runSync plans first: an unknown LIM or cluster must fail before any data are copied.
func runSync(ctx context.Context, a *app, cluster string, o syncOptions) error {
	ways := []xdata.Direction{xdata.DirectionAuto, xdata.DirectionToStandby, xdata.DirectionToRegular}
	if !slices.Contains(ways, xdata.Direction(o.direction)) {
		return fault.New(fault.Usage, "use auto, to-standby or to-regular", "--direction: bad value %q", o.direction)
	}
	switch {
	case o.keep != "" && o.keep != string(clusterconf.SideRegular) && o.keep != string(clusterconf.SideStandby):
		return fault.New(fault.Usage, "use regular or standby", "--keep: bad value %q", o.keep)
	case o.keep != "" && len(o.lims) == 0:
		return fault.New(fault.Usage, "give --lim N as well: a conflict is one LIM's", "--lim is missing")
	case o.keep != "" && o.direction != string(xdata.DirectionAuto):
		return fault.New(fault.Usage, "give one of them", "--keep and --direction exclude each other")
	}
	if o.all && o.here {
		return fault.New(fault.Usage, "give one of them", "--all and --here exclude each other")
	}
	if o.wait < 0 {
		return fault.New(fault.Usage, "give a duration such as 60s or 10m", "--wait: %s is less than nothing", o.wait)
	}
	if o.bwlimit != "" {
		var err error
		if o.rate, err = xdata.ParseRate(o.bwlimit); err != nil {
			return fmt.Errorf("--bwlimit: %w", err)
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
	// A server that is not in the document would find nothing to do, or order others to do it.
	if o.here || cluster == "" && !o.all && len(o.lims) == 0 {
		if err := s.checkKnown(doc); err != nil {
			return fmt.Errorf("synchronising: %w", err)
		}
	}
	jobs, err := planSync(doc, s.settings.Server, cluster, o)
	if err != nil {
		return fmt.Errorf("synchronising: %w", err)
	}
	y := &syncer{server: s, options: o, settle: max(s.settings.XDataStill, time.Minute)}
	if o.signs {
		stop := xdata.SendKeepalives(a.env.Stdout)
		y.doAll(ctx, jobs)
		stop()
	} else {
		y.doAll(ctx, jobs)
	}
	if err := a.showUnlessQuiet(y.view()); err != nil {
		return err
	}
	y.notes()
	return a.withoutHint(y.failure())
}

// syncJob is one LIM to synchronise here, or LIMs of a cluster to synchronise there.
type syncJob struct {
	cluster string
	lims    []int
	there   *clusterconf.Server // the peer, or the standby that is to do it
	side    clusterconf.Side    // ours; "": it is done there
}

// planSync returns what to synchronise, and where.
func planSync(doc *clusterconf.Document, me, only string, o syncOptions) ([]syncJob, error) {
	if only != "" && doc.Cluster(only) == nil {
		return nil, fault.New(fault.NotFound, didYouMean(only, clusterNames(doc), "mxcluster list"), "there is no cluster %q", only)
	}
	for _, n := range o.lims {
		if c := doc.ClusterOfLIM(n); c == nil || only != "" && c.Name != only {
			return nil, fault.New(fault.NotFound, "mxcluster list", "no cluster%s has a LIM %d", withSpace(only), n)
		}
	}
	if o.here {
		return slices.DeleteFunc(planAll(doc, me, only, o), func(j syncJob) bool { return j.side == "" }), nil
	}
	return planAll(doc, me, only, o), nil
}

// planAll plans each cluster.
func planAll(doc *clusterconf.Document, me, only string, o syncOptions) []syncJob {
	mine := doc.ClusterOfServer(me)
	// Without a selection, a server of a cluster synchronises its own LIMs.
	own := mine != nil && !o.all && (only == "" || only == mine.Name) && len(o.lims) == 0
	var jobs []syncJob
	for i := range doc.Clusters {
		c := &doc.Clusters[i]
		if only != "" && c.Name != only || own && c != mine {
			continue
		}
		jobs = append(jobs, planCluster(doc, me, c, o, own)...)
	}
	return jobs
}

// planCluster splits the LIMs of a cluster into those synchronised here and those that its standby
// is asked to synchronise.
func planCluster(doc *clusterconf.Document, me string, c *clusterconf.Cluster, o syncOptions, own bool) []syncJob {
	var jobs []syncJob
	away := syncJob{cluster: c.Name, there: doc.Server(c.Standby)}
	for _, m := range c.LIMs {
		regular := doc.RegularOf(m.LIM)
		switch {
		case len(o.lims) > 0 && !slices.Contains(o.lims, m.LIM):
		case c.Standby == me:
			jobs = append(jobs, syncJob{cluster: c.Name, lims: []int{m.LIM}, there: regular, side: clusterconf.SideStandby})
		case regular.Name == me && !o.all:
			jobs = append(jobs, syncJob{cluster: c.Name, lims: []int{m.LIM}, there: doc.Server(c.Standby), side: clusterconf.SideRegular})
		case !own:
			away.lims = append(away.lims, m.LIM)
		}
	}
	if len(away.lims) > 0 {
		jobs = append(jobs, away)
	}
	return jobs
}

// notes shows what the table has no room for.
func (y *syncer) notes() {
	for _, r := range y.results {
		if r.SetAside != "" {
			y.server.out.Note("LIM %d: the other side's version is set aside, in %s there", r.LIM, r.SetAside)
		}
		if r.Error == nil && r.Version == "" {
			y.server.out.Note("LIM %d has no data yet: 'mxcluster xdata backup' makes a version", r.LIM)
		}
		for _, old := range r.Removes {
			y.server.out.Note("LIM %d: %s would be removed on the %s side", r.LIM, old.Version, old.Side)
		}
	}
}

// clusterNames returns the names of all clusters, for a remedy.
func clusterNames(doc *clusterconf.Document) []string {
	var names []string
	for _, c := range doc.Clusters {
		names = append(names, c.Name)
	}
	return names
}

// withSpace puts a blank before a name; "" stays "".
func withSpace(name string) string {
	if name == "" {
		return ""
	}
	return " " + name
}

// view has one line for each LIM.
func (y *syncer) view() ui.View {
	v := ui.View{
		Object: syncReport{APIVersion: clusterconf.APIVersion, Kind: syncReportKind, DryRun: y.options.dryRun, Results: append([]xdata.Result{}, y.results...)},
		Columns: []ui.Column{{Head: "LIM", Right: true}, {Head: "RESULT"}, {Head: "DIRECTION"}, {Head: "VERSION"},
			{Head: "BYTES", Right: true}, {Head: "SENT", Right: true}, {Head: "TOOK", Right: true}, {Head: "ERROR"}},
		Empty: "there is nothing to synchronise",
	}
	for _, r := range y.results {
		number := strconv.Itoa(r.LIM)
		v.Rows = append(v.Rows, []string{
			number, string(r.Result), string(r.Direction), r.Version, strconv.FormatInt(r.Bytes, 10),
			strconv.FormatInt(r.SentBytes, 10), strconv.FormatInt(r.TookMs, 10) + "ms", orEmpty(r.Error),
		})
		v.Names = append(v.Names, number)
	}
	return v
}
