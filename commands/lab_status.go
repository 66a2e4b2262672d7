package commands

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/lab"
	"mxcluster/internal/ui"
)

// labStatus is the answer of `lab status`.
type labStatus struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"` // LabStatus
	*lab.State
}

func newLabStatusOf(st *lab.State) labStatus {
	return labStatus{APIVersion: clusterconf.APIVersion, Kind: "LabStatus", State: st}
}

func newLabStatusCommand(a *app) *cobra.Command {
	var o labOptions
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the servers of the lab, and what its phones see",
		Long: `Lab status shows what was done to each server of the lab that is up, where the agents
say that each LIM runs, and what the phone sees that calls it every 20 ms: who answers,
and for how long nobody did when that changed last.`,
		Example:     "  mxcluster lab status\n  mxcluster lab status -o json",
		Annotations: exits(fault.NotFound, fault.Interrupted),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			return runLabStatus(c.Context(), a, o.dir)
		},
	}
	o.addFlags(c.Flags())
	return c
}

func runLabStatus(ctx context.Context, a *app, dir string) error {
	st, err := lab.Look(ctx, dir)
	if err != nil {
		return err
	}
	answer, now := newLabStatusOf(st), a.env.Now()
	if a.out.Format != ui.Table && a.out.Format != ui.Wide {
		return a.out.Show(answer.lims(now))
	}
	if err := a.out.Show(answer.lims(now)); err != nil {
		return err
	}
	if err := a.out.Lines(""); err != nil {
		return err
	}
	return a.out.Show(answer.servers())
}

// lims are the LIMs, one a row.
func (l labStatus) lims(now time.Time) ui.View {
	v := ui.View{
		Object:  l,
		Columns: []ui.Column{{Head: "LIM", Right: true}, {Head: "ALIAS"}, {Head: "RUNS-ON"}, {Head: "STATE"}, {Head: "PHONE"}, {Head: "LAST-SILENCE"}},
	}
	for i := range l.LIMs {
		x := &l.LIMs[i]
		number := strconv.Itoa(x.LIM)
		v.Rows = append(v.Rows, []string{number, x.Alias, orEmpty(x.ActiveOn), x.State, phoneWords(x), silenceWords(x.Silence, now)})
		v.Names = append(v.Names, number)
	}
	return v
}

// servers are the servers, one a row.
func (l labStatus) servers() ui.View {
	v := ui.View{Object: l, Columns: []ui.Column{{Head: "SERVER"}, {Head: "BASE"}, {Head: "CONDITION"}}}
	for _, s := range l.Servers {
		v.Rows = append(v.Rows, []string{s.Name, s.Base, conditionWords(s)})
		v.Names = append(v.Names, s.Name)
	}
	return v
}

// phoneSilent is for how long a phone may have no answer before that is said.
const phoneSilent = 200 // ms

// phoneWords says who answers a LIM's phone.
func phoneWords(l *lab.LIMState) string {
	switch {
	case l.AnsweredBy == nil:
		return "no answer yet"
	case *l.SilentMs >= phoneSilent:
		return fmt.Sprintf("no answer for %s", milliseconds(*l.SilentMs))
	}
	return *l.AnsweredBy + " answers"
}

// silenceWords says how long the last silence was.
func silenceWords(s *lab.Silence, now time.Time) string {
	if s == nil {
		return ""
	}
	words := fmt.Sprintf("%s, %s ago", milliseconds(s.Ms), ui.Age(now.Sub(s.At)))
	if s.From != s.To {
		words += fmt.Sprintf(", %s to %s", s.From, s.To)
	}
	return words
}

// milliseconds shows a number of them as people read it.
func milliseconds(ms int64) string {
	return (time.Duration(ms) * time.Millisecond).String()
}

// conditionWords says what is wrong with a server of a lab.
func conditionWords(s lab.ServerState) string {
	if len(s.Faults) == 0 && s.Agent {
		return "well"
	}
	var words []string
	for _, f := range s.Faults {
		words = append(words, faultWords(f))
	}
	if s.Power && !s.Agent && !slices.Contains(s.Faults, lab.FaultAgent) {
		words = append(words, "no agent runs")
	}
	return strings.Join(words, ", ")
}
