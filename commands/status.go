package commands

import (
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mxcluster/internal/fault"
	"mxcluster/internal/status"
	"mxcluster/internal/ui"
)

type statusOptions struct {
	lims  []int
	watch time.Duration
	check bool
}

// defaultWatch is what --watch means without a value (contract, section 3).
const defaultWatch = 2 * time.Second

// newStatusCommand returns `status` (spec ch. 10, "Print Cluster Status").
func newStatusCommand(a *app) *cobra.Command {
	var o statusOptions
	c := &cobra.Command{
		Use:   "status [C]",
		Short: "Show where each LIM runs, since when and why",
		Long: `Status begins with the answer to one question: would the loss of any one server, now,
be covered; if not, why, and what to type. The standby of each cluster answers that,
by the agents' own rules.

Below that come the LIMs, with what brought each to where it is, the servers and
the alarms, the gravest first. Ages stand in place of times, and names and texts
that are too long for 80 columns are cut; -o wide has all of them. --no-headers
leaves the lines of LIMs alone.

Status asks the agent of this server. Without one it shows the cluster document
and what this server's kernel holds; what cannot be seen is unknown.

With --check it prints one line and ends as monitoring plugins do: 0 OK,
1 WARNING, 2 CRITICAL, 3 UNKNOWN.`,
		Example:     "  mxcluster status\n  mxcluster status c1 --lim 1 -o json\n  mxcluster status --watch\n  mxcluster status --check",
		Annotations: exits(fault.NotFound, fault.Unreachable, fault.NotPermitted, fault.Invalid),
		Args:        arguments("[C]"),
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case o.check && c.Flags().Changed("watch"):
				return fault.New(fault.Usage, "leave one of them out", "--check and --watch do not go together")
			case o.check:
				return checkStatus(c.Context(), a, optionalArgument(args), o)
			case c.Flags().Changed("watch"):
				return watchStatus(c.Context(), a, optionalArgument(args), o)
			}
			return runStatus(c.Context(), a, optionalArgument(args), o)
		},
	}
	f := c.Flags()
	f.IntSliceVar(&o.lims, "lim", nil, "`number` of a LIM to show alone; may be repeated")
	f.DurationVar(&o.watch, "watch", 0, "show it again and again, after this `time`; on a terminal arrows scroll and q ends it")
	f.Lookup("watch").NoOptDefVal = defaultWatch.String()
	f.BoolVar(&o.check, "check", false, "answer as a monitoring plugin")
	return c
}

func runStatus(ctx context.Context, a *app, cluster string, o statusOptions) error {
	st, err := a.status(ctx, cluster, o.lims)
	if err != nil {
		return err
	}
	if err := a.showStatus(st); err != nil {
		return err
	}
	if st.Removed != "" {
		a.out.Warn("%s", st.Removed)
	}
	return nil
}

// status prefers the agent, which knows of the others. One that is there but does
// not answer is an error: what it does is not known.
func (a *app) status(ctx context.Context, cluster string, lims []int) (*status.ClusterStatus, error) {
	s, err := a.server()
	if err != nil {
		return nil, err
	}
	st, err := s.agent.Status(ctx)
	if fault.CodeOf(err) == fault.Unreachable && !s.agent.Running(ctx) {
		a.out.Detail("%v", err)
		st, err = s.offline()
	}
	if err == nil {
		err = st.Only(cluster, lims)
	}
	if err != nil {
		return nil, doing(err, "asking for the status")
	}
	return st, nil
}

// offline says what can be said without an agent.
func (s *server) offline() (*status.ClusterStatus, error) {
	doc, err := s.read()
	if err != nil {
		return nil, err
	}
	if err := s.checkKnown(doc); err != nil {
		s.out.Note("%v: %s", err, fault.HintOf(err))
	}
	view := status.Offline{
		Document: doc, Server: s.settings.Server, Now: s.env.Now(),
		Holds: func(netip.Prefix) *bool { return nil },
		Data:  s.localData,
	}
	k, err := s.env.Kernel()
	if err == nil {
		defer k.Close()
		if addresses, err := k.Addresses(""); err == nil {
			view.Holds = func(p netip.Prefix) *bool {
				held := hasAddress(addresses, p)
				return &held
			}
		}
	}
	return view.Status(), nil
}

// localData is what this server has of a LIM's data.
func (s *server) localData(lim int) *status.LocalData {
	st, err := s.versions().Status(lim)
	if err != nil || st.Newest == nil {
		return nil
	}
	return &status.LocalData{Version: st.Newest.Name, Newest: st.Newest.NewestMtime, Conflict: st.Conflict}
}

// statusView shows one line for each LIM. A table has ages in place of times, and says in
// sentences below it what has no room in 80 columns.
func statusView(st *status.ClusterStatus, format ui.Format) ui.View {
	v := ui.View{
		Object: st,
		Columns: []ui.Column{
			{Head: "CLUSTER"}, {Head: "LIM", Right: true}, {Head: "ACTIVE-ON"}, {Head: "SIDE"}, {Head: "STATE"}, {Head: "SINCE", Wide: true},
			{Head: "TERM", Right: true, Wide: true}, {Head: "ALIAS", Wide: true}, {Head: "FALLBACK", Wide: true},
			{Head: "AGE", Right: true}, {Head: "DATA"}, {Head: "REASON", Wide: true}, {Head: "NEXT-SYNC", Wide: true}, {Head: "REHEARSED", Wide: true}, {Head: "CAUSE", Wide: true},
		},
	}
	short := func(text string, _ int) string { return text }
	if format == ui.Table {
		short = clipped
	}
	var styles []ui.Style
	state := slices.IndexFunc(v.Columns, func(c ui.Column) bool { return c.Head == "STATE" })
	v.Style = func(row, column int) ui.Style {
		if column != state {
			return ""
		}
		return styles[row]
	}
	add := func(cluster string, l *status.StatusLIM) {
		styles = append(styles, stateStyle(l))
		v.Names = append(v.Names, strconv.Itoa(l.LIM))
		v.Rows = append(v.Rows, []string{
			short(cluster, 12), strconv.Itoa(l.LIM), short(orEmpty(l.ActiveOn), 14), l.Side, l.State, sinceWords(l.Since),
			strconv.FormatUint(l.Term, 10), l.Alias.Address, fallbackWords(l), ageOf(l.Since, st.GeneratedAt), dataWords(l.Data), reasonWords(l),
			nextSyncWords(l.Data), rehearsalWords(l.Rehearsal), causeWords(l, st.GeneratedAt),
		})
	}
	for _, c := range st.Clusters {
		for i := range c.LIMs {
			add(c.Name, &c.LIMs[i])
		}
	}
	for i := range st.Unclustered {
		add("", &st.Unclustered[i])
	}
	if format == ui.CSV { // programs reckon with the time itself
		v.Leave("AGE")
	}
	return v
}

// ageOf is how long ago something was; "" where that is not known.
func ageOf(at *time.Time, now time.Time) string {
	if at == nil {
		return ""
	}
	return ui.Age(now.Sub(*at))
}

// reasonWords adds to the reason a lock, which is one for what happens next, unless
// the reason names it already.
func reasonWords(l *status.StatusLIM) string {
	if l.Lock == nil || strings.Contains(l.Reason, l.Lock.String()) {
		return l.Reason
	}
	if l.Reason == "" {
		return l.Lock.String()
	}
	return l.Reason + "; " + l.Lock.String()
}

// stateStyle paints what is as it should be green, what serves otherwise
// yellow, and what does not serve red.
func stateStyle(l *status.StatusLIM) ui.Style {
	switch {
	case l.State == stateRunning && l.Side == "regular":
		return ui.Good
	case l.State == "failed" || l.State == "stopped" || l.State == "waiting":
		return ui.Bad
	}
	return ui.Fair
}

// sinceWords writes a time as JSON does, so that both can be compared.
func sinceWords(since *time.Time) string {
	if since == nil {
		return ""
	}
	return since.UTC().Format(time.RFC3339)
}

// fallbackWords says the type, and whether a LIM on the standby could return.
func fallbackWords(l *status.StatusLIM) string {
	words := l.Fallback.Type
	if l.Side == "standby" && l.Fallback.Ready != nil {
		if *l.Fallback.Ready {
			return words + ", ready"
		}
		return words + ", not ready"
	}
	return words
}

// nextSyncWords says when an agent synchronises the data at the latest.
func nextSyncWords(d *status.StatusData) string {
	if d == nil {
		return ""
	}
	return sinceWords(d.NextSyncAt)
}

// dataWords says in short how the data of both sides are.
func dataWords(d *status.StatusData) string {
	switch {
	case d == nil:
		return "unknown"
	case d.Newest == nil && len(d.Damaged) > 0:
		return "damaged"
	case d.Newest == nil:
		return "none"
	case d.Conflict != nil && *d.Conflict:
		return "conflict"
	case len(d.Damaged) > 0:
		return "damaged"
	case d.InSync == nil:
		return "unknown"
	case *d.InSync:
		return "in sync"
	case d.BehindMs == nil:
		return "behind"
	}
	return "behind " + ui.Age(time.Duration(*d.BehindMs)*time.Millisecond)
}
