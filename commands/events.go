package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/events"
	"mxcluster/internal/fault"
	"mxcluster/internal/ui"
)

type eventsOptions struct {
	since    time.Duration
	lim      int
	follow   bool
	timeline string
}

const (
	eventsSince  = 24 * time.Hour // what --since means by itself
	followPeriod = time.Second
)

// newEventsCommand returns `events`.
func newEventsCommand(a *app) *cobra.Command {
	var o eventsOptions
	c := &cobra.Command{
		Use:   "events",
		Short: "Show what happened, when and why, on every server",
		Long: `Events shows what the servers noticed, decided and did, oldest first: servers that
fell silent and came back, decisions with the rule and the reason, what became
of LIMs, orders with who gave them and why, alarms, revisions of the cluster
document. With an agent here it asks all servers that are alive; without one it
shows what this server has kept.

With --follow it goes on until it is interrupted; -o json then writes one object
a line. With --timeline it draws who served which LIM when, as an SVG file.`,
		Example: "  mxcluster events\n  mxcluster events --since 10m --lim 1\n  mxcluster events --follow\n" +
			"  mxcluster events --since 168h --timeline week.svg\n  mxcluster events -o json | jq '.events[] | select(.kind==\"decision\")'",
		Annotations: exits(fault.NotFound, fault.Unreachable, fault.NotPermitted, fault.Invalid),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			return runEvents(c.Context(), a, o, c.Flags().Changed("lim"))
		},
	}
	f := c.Flags()
	f.DurationVar(&o.since, "since", eventsSince, "show what happened within this `time`")
	f.IntVar(&o.lim, "lim", 0, "`number` of a LIM to show alone")
	f.BoolVar(&o.follow, "follow", false, "go on with what happens now")
	f.StringVar(&o.timeline, "timeline", "", "draw who served which LIM when, as an SVG `file`")
	return c
}

func runEvents(ctx context.Context, a *app, o eventsOptions, oneLIM bool) error {
	switch {
	case o.since <= 0:
		return fault.New(fault.Usage, "give a time such as 10m or 24h", "--since: %s is no time that has passed", o.since)
	case oneLIM && o.lim < 1:
		return fault.New(fault.Usage, "LIM numbers start at 1", "--lim: bad LIM number %d", o.lim)
	case o.follow && o.timeline != "":
		return fault.New(fault.Usage, "leave one of them out", "--follow and --timeline do not go together")
	}
	s, err := a.server()
	if err != nil {
		return err
	}
	q := events.Query{Since: a.env.Now().Add(-o.since), LIM: o.lim}
	list, err := s.events(ctx, q)
	if err != nil {
		return fmt.Errorf("asking for events: %w", err)
	}
	if o.lim != 0 && len(list.Events) == 0 {
		if err := s.knowsLIM(o.lim); err != nil {
			return fmt.Errorf("asking for events: %w", err)
		}
	}
	switch {
	case o.timeline != "":
		return a.drawTimeline(list, q, o.timeline)
	case o.follow:
		return s.followEvents(ctx, q, list)
	}
	a.eventNotes(list)
	return a.out.Show(eventsView(list))
}

// knowsLIM makes sure that there is such a LIM, where nothing is told of it.
func (s *server) knowsLIM(lim int) error {
	doc, err := s.read()
	if err != nil || doc.RegularOf(lim) != nil {
		return err
	}
	return fault.New(fault.NotFound, "mxcluster lim list", "there is no LIM %d", lim)
}

// unknownLIMFirst is why an agent did not carry an order out; where none answers, that there is
// no such LIM goes before that: starting an agent would not help.
func (a *app) unknownLIMFirst(lim int, err error) error {
	if fault.CodeOf(err) != fault.Unreachable {
		return err
	}
	s, failed := a.server()
	if failed != nil {
		return err
	}
	if unknown := s.knowsLIM(lim); fault.CodeOf(unknown) == fault.NotFound {
		return unknown
	}
	return err
}

// events asks the agent, or reads what this server has kept where there is none.
func (s *server) events(ctx context.Context, q events.Query) (*events.List, error) {
	list, err := s.agent.Events(ctx, q)
	if fault.CodeOf(err) != fault.Unreachable || s.agent.Running(ctx) {
		return list, err
	}
	s.out.Detail("%v", err)
	log := events.Log{Path: filepath.Join(s.dirs.State, "events")}
	found, truncated, err := log.Read(q)
	if err != nil {
		return nil, fault.Wrap(err, fault.NotPermitted, "run the command as root", "without an agent")
	}
	return &events.List{APIVersion: clusterconf.APIVersion, Kind: "EventList", Truncated: truncated,
		Events: slices.Concat([]events.Event{}, found), Missing: []string{}}, nil
}

// eventNotes says what the list leaves out.
func (a *app) eventNotes(list *events.List) {
	if len(list.Missing) > 0 {
		a.out.Note("without the events of %s, which did not answer", strings.Join(list.Missing, ", "))
	}
	if list.Truncated {
		a.out.Note("earlier events were left out; a shorter --since or --lim shows all of a time")
	}
}

func eventsView(list *events.List) ui.View {
	v := ui.View{
		Object: list,
		Columns: []ui.Column{
			{Head: "TIME"}, {Head: "SERVER"}, {Head: "KIND"}, {Head: "LIM", Right: true}, {Head: "RULE", Wide: true},
			{Head: "TERM", Right: true, Wide: true}, {Head: "SEQ", Right: true, Wide: true}, {Head: "WHAT"},
		},
		Empty: "nothing happened in that time",
	}
	for i := range list.Events {
		e := &list.Events[i]
		v.Names = append(v.Names, e.Server+"/"+strconv.FormatUint(e.Seq, 10))
		v.Rows = append(v.Rows, []string{
			e.Time.UTC().Format("2006-01-02T15:04:05.000Z"), e.Server, string(e.Kind), number(e.LIM), e.Rule, number(e.Term),
			strconv.FormatUint(e.Seq, 10), ui.OneLine(e.Text),
		})
	}
	return v
}

// number writes a number that is not there as nothing.
func number[N int | uint64](n N) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

// followEvents shows what comes, until it is interrupted.
func (s *server) followEvents(ctx context.Context, q events.Query, list *events.List) error {
	s.eventNotes(list)
	q.After = map[string]uint64{}
	tick := time.NewTicker(followPeriod)
	defer tick.Stop()
	for {
		for _, e := range list.Events {
			q.After[e.Server] = max(q.After[e.Server], e.Seq)
		}
		if err := s.showMore(list); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return exitError{fault.Interrupted}
			}
			return ctx.Err()
		}
		next, err := s.events(ctx, q)
		switch {
		case ctx.Err() != nil:
			next = &events.List{}
		case err != nil:
			return fmt.Errorf("asking for events: %w", err)
		}
		list = next
	}
}

// showMore shows events below earlier ones.
func (a *app) showMore(list *events.List) error {
	if len(list.Events) == 0 {
		return nil
	}
	if a.out.Format == ui.JSON {
		return ui.WriteLines(a.out.Data, list.Events)
	}
	if a.out.Format == ui.YAML {
		if _, err := io.WriteString(a.out.Data, "---\n"); err != nil {
			return err
		}
	}
	err := a.out.Show(eventsView(list))
	a.out.NoHeaders = true
	return err
}

// drawTimeline writes the drawing whole or not at all.
func (a *app) drawTimeline(list *events.List, q events.Query, file string) error {
	a.eventNotes(list)
	from, to := q.Since, a.env.Now()
	if len(list.Events) > 0 && list.Events[0].Time.After(from) {
		from = list.Events[0].Time
	}
	svg := events.Timeline(events.Spans(list.Events, from, to), events.LIMs(list.Events), from, to)
	if err := renameio.WriteFile(file, svg, 0o644); err != nil {
		return fmt.Errorf("writing the timeline: %w", err)
	}
	a.out.Note("%s shows who served which LIM", file)
	return nil
}
