package commands

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/fault"
	"mxcluster/internal/status"
	"mxcluster/internal/ui"
)

type rehearseOptions struct {
	change
	lims []string
}

// rehearsalReport is the answer of `rehearse`.
type rehearsalReport struct {
	APIVersion string           `json:"apiVersion"`
	Kind       string           `json:"kind"` // RehearsalReport
	DryRun     bool             `json:"dryRun"`
	Results    []rehearsalEntry `json:"results"`
}

// rehearsalEntry is what came of one LIM.
type rehearsalEntry struct {
	LIM     int     `json:"lim"`
	Server  string  `json:"server"` // that rehearses it; "": none takes the order
	Result  string  `json:"result"` // ordered, or as of status: ok, failed, skipped or aborted
	StartMs *int64  `json:"startMs"`
	Version *string `json:"version"`
	Text    string  `json:"text"`
}

// resultOrdered is that of a rehearsal which was not waited for.
const resultOrdered = "ordered"

// newRehearseCommand returns `rehearse`.
func newRehearseCommand(a *app) *cobra.Command {
	var o rehearseOptions
	c := &cobra.Command{
		Use:   "rehearse [C]",
		Short: "Start LIMs on their standby on trial, where nobody sees it",
		Long: `Rehearse has the standby of cluster C, or of every cluster, start each LIM's software as
a takeover would, look for 5 seconds whether it is healthy, and end it. Everything runs
apart: in a network that leads nowhere, with addresses as on the standby, on the newest
data version; what the software writes is seen by itself alone, and thrown away. Not one
packet leaves the server. A takeover ends a rehearsal at once, and goes first.

The standby must be free. A LIM is rehearsed only by consent: the program of an
exec: service answers the verb rehearse with 0, or 'mxcluster lim set N --rehearsable'
was given; an answer of 3 forbids it in any case. Software that systemd starts cannot be
kept apart, and is skipped.

The software gets MXCLUSTER_REHEARSAL=1 and MXCLUSTER_ROLE=passive. What was seen is in
'mxcluster status -o wide'; how long the start took is in takeoverMs of 'mxcluster
status -o json'. A failed rehearsal raises the alarm rehearsal-failed. With
--wait, the result is waited for, for each LIM at most that time. 'mxcluster change C
--rehearse nightly' rehearses every night.

Exit code 1: a rehearsal failed; 3: none was made; 6: one was ended by something else.`,
		Example:     "  mxcluster rehearse --wait\n  mxcluster rehearse c1 --lim 1 --lim 2 --wait=2m",
		Annotations: exits(fault.Refused, fault.NotFound, fault.Unreachable, fault.Busy, fault.Unknown, fault.NotPermitted, fault.Invalid),
		Args:        arguments("[C]"),
		RunE: func(c *cobra.Command, args []string) error {
			return runRehearse(c.Context(), a, optionalArgument(args), o)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&o.lims, "lim", nil, "a LIM, by its `number`, in place of all; may be repeated")
	o.addFlags(f)
	o.addWait(f)
	return c
}

func runRehearse(ctx context.Context, a *app, cluster string, o rehearseOptions) error {
	s, err := a.server()
	if err != nil {
		return err
	}
	doc, err := s.read()
	if err != nil {
		return err
	}
	lims, err := o.chosen(doc, cluster)
	if err != nil {
		return doing(err, "rehearsing")
	}
	agent, err := a.agent()
	if err != nil {
		return err
	}
	report := rehearsalReport{APIVersion: clusterconf.APIVersion, Kind: "RehearsalReport", DryRun: o.dryRun, Results: []rehearsalEntry{}}
	before, err := agent.Status(ctx)
	if err != nil {
		return doing(err, "rehearsing")
	}
	for _, lim := range lims {
		e := rehearsalEntry{LIM: lim, Result: resultOrdered}
		answer, err := agent.Order(ctx, control.Order{Kind: control.OrderRehearse, LIM: lim, DryRun: o.dryRun, Reason: o.reason, By: a.env.User()})
		switch {
		case fault.CodeOf(err) == fault.Refused:
			e.Result, e.Text = status.RehearsalSkipped, err.Error()
		case err != nil:
			return doing(err, "rehearsing LIM %d", lim)
		default:
			e.Server, e.Text = answer.Target, answer.Text
		}
		report.Results = append(report.Results, e)
	}
	if o.wait > 0 && !o.dryRun {
		if err := report.await(ctx, agent, o.wait, before); err != nil {
			return doing(err, "waiting for rehearsals")
		}
	}
	if err := a.out.Show(report.view()); err != nil {
		return err
	}
	if code := report.code(); code != fault.OK {
		return exitError{code}
	}
	return nil
}

// chosen returns the LIMs that are asked for.
func (o *rehearseOptions) chosen(doc *clusterconf.Document, cluster string) ([]int, error) {
	if cluster != "" && doc.Cluster(cluster) == nil {
		return nil, fault.New(fault.NotFound, "'mxcluster list' shows the clusters", "there is no cluster %s", cluster)
	}
	var all, lims []int
	for _, c := range doc.Clusters {
		if cluster == "" || c.Name == cluster {
			for _, m := range c.LIMs {
				all = append(all, m.LIM)
			}
		}
	}
	if len(o.lims) == 0 {
		if len(all) == 0 {
			return nil, fault.New(fault.Refused, "'mxcluster create' makes one", "there is no cluster, and no LIM to rehearse")
		}
		return all, nil
	}
	for _, text := range o.lims {
		lim, err := parseLIM(text)
		switch {
		case err != nil:
			return nil, err
		case slices.Contains(lims, lim):
			return nil, fault.New(fault.Usage, "name each LIM once", "--lim: LIM %d is given twice", lim)
		case !slices.Contains(all, lim) && cluster != "":
			return nil, fault.New(fault.NotFound, "'mxcluster list "+cluster+"' shows its LIMs", "cluster %s has no LIM %d", cluster, lim)
		case !slices.Contains(all, lim):
			return nil, fault.New(fault.NotFound, "'mxcluster list' shows the LIMs of clusters", "LIM %d is in no cluster", lim)
		}
		lims = append(lims, lim)
	}
	return lims, nil
}

// await waits until what was ordered has ended, for each LIM at most that long.
func (r *rehearsalReport) await(ctx context.Context, agent Agent, limit time.Duration, before *status.ClusterStatus) error {
	for i := range r.Results {
		e := &r.Results[i]
		if e.Result != resultOrdered {
			continue
		}
		err := waitFor(ctx, agent, limit, func(st *status.ClusterStatus) (bool, string, error) {
			is := lastRehearsal(st, e.LIM)
			if was := lastRehearsal(before, e.LIM); is == nil || was != nil && was.At.Equal(is.At) {
				return false, fmt.Sprintf("LIM %d is not through", e.LIM), nil
			}
			e.Result, e.StartMs, e.Version, e.Text = is.Result, is.StartMs, is.Version, is.Text
			return true, "", nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func lastRehearsal(st *status.ClusterStatus, lim int) *status.StatusRehearsal {
	if l := st.LIM(lim); l != nil {
		return l.Rehearsal
	}
	return nil
}

// code is the exit code for what came of all.
func (r *rehearsalReport) code() fault.Code {
	has := func(result string) bool {
		return slices.ContainsFunc(r.Results, func(e rehearsalEntry) bool { return e.Result == result })
	}
	all := !slices.ContainsFunc(r.Results, func(e rehearsalEntry) bool { return e.Result != status.RehearsalSkipped })
	switch {
	case has(status.RehearsalFailed):
		return fault.Failed
	case has(status.RehearsalAborted):
		return fault.Busy
	case all:
		return fault.Refused
	}
	return fault.OK
}

func (r *rehearsalReport) view() ui.View {
	v := ui.View{
		Object:  r,
		Columns: []ui.Column{{Head: "LIM", Right: true}, {Head: "ON"}, {Head: "RESULT"}, {Head: "START", Right: true}, {Head: "DATA"}, {Head: "TEXT"}},
	}
	for _, e := range r.Results {
		v.Names = append(v.Names, strconv.Itoa(e.LIM))
		v.Rows = append(v.Rows, []string{strconv.Itoa(e.LIM), e.Server, e.Result, msWords(e.StartMs), orEmpty(e.Version), e.Text})
	}
	return v
}

// msWords shows milliseconds.
func msWords(ms *int64) string {
	if ms == nil {
		return ""
	}
	return (time.Duration(*ms) * time.Millisecond).String()
}

// rehearsalWords sums the last rehearsal of a LIM up.
func rehearsalWords(r *status.StatusRehearsal) string {
	if r == nil {
		return ""
	}
	words := r.Result
	if r.StartMs != nil {
		words += " in " + msWords(r.StartMs)
	}
	return words + " at " + sinceWords(&r.At)
}
