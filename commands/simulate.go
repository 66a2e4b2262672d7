package commands

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"mxcluster/internal/fault"
	"mxcluster/internal/ui"
	"mxcluster/internal/whatif"
)

type simulateOptions struct {
	down, up, cut []string
}

// newSimulateCommand returns `simulate`.
func newSimulateCommand(a *app) *cobra.Command {
	var o simulateOptions
	c := &cobra.Command{
		Use:   "simulate",
		Short: "Say what would move where, and why, if servers failed",
		Long: `Simulate plays what all servers would decide, by the very rules that the agents
follow, until all is at rest. It starts from what the agent here knows; without
an agent from the document, with all servers up and every LIM at home. Nothing
is touched.

--down takes a server's power, --up brings one back, --cut keeps two servers
from hearing each other; each may be given several times. The table shows the
LIMs that would move; -o wide and -o json show all.`,
		Example:     "  mxcluster simulate --down srv1\n  mxcluster simulate --down srv1 --down srv2 -o wide\n  mxcluster simulate --cut srv1:sb1 -o json",
		Annotations: exits(fault.NotFound, fault.Unreachable, fault.NotPermitted, fault.Invalid),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			return runSimulate(c.Context(), a, o)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&o.down, "down", nil, "`server` that loses its power")
	f.StringArrayVar(&o.up, "up", nil, "`server` that is up again")
	f.StringArrayVar(&o.cut, "cut", nil, "two servers that do not hear each other, as `A:B`")
	return c
}

func runSimulate(ctx context.Context, a *app, o simulateOptions) error {
	scenario := whatif.Scenario{Down: o.down, Up: o.up}
	for _, text := range o.cut {
		c, err := whatif.ParseCut(text)
		if err != nil {
			return fmt.Errorf("--cut: %w", err)
		}
		scenario.Cut = append(scenario.Cut, c)
	}
	s, err := a.server()
	if err != nil {
		return err
	}
	r, err := s.simulate(ctx, scenario)
	if err != nil {
		return fmt.Errorf("simulating: %w", err)
	}
	if r.Assumed {
		a.out.Note("no agent answers here: from the document alone, with all servers up and every LIM at home")
	}
	if !r.AtRest {
		a.out.Warn("this would not come to rest")
	}
	return a.out.Show(simulationView(r, a.out.Format == ui.Wide))
}

// simulate asks the agent, or plays it from the document where there is none.
func (s *server) simulate(ctx context.Context, scenario whatif.Scenario) (*whatif.Result, error) {
	r, err := s.agent.Simulate(ctx, scenario)
	if fault.CodeOf(err) != fault.Unreachable || s.agent.Running(ctx) {
		return r, err
	}
	s.out.Detail("%v", err)
	doc, err := s.read()
	if err != nil {
		return nil, err
	}
	if err := scenario.Check(doc); err != nil {
		return nil, err
	}
	return whatif.Simulate(whatif.AllWell(doc, s.env.Now()), scenario), nil
}

// simulationView shows one line for each LIM that moves, or for all.
func simulationView(r *whatif.Result, all bool) ui.View {
	v := ui.View{
		Object:  r,
		Columns: []ui.Column{{Head: "LIM", Right: true}, {Head: "CLUSTER"}, {Head: "FROM"}, {Head: "TO"}, {Head: "RULE"}, {Head: "REASON"}},
		Empty:   "nothing would move",
	}
	for i := range r.LIMs {
		o := &r.LIMs[i]
		if !o.Moves && !all {
			continue
		}
		v.Names = append(v.Names, strconv.Itoa(o.LIM))
		v.Rows = append(v.Rows, []string{strconv.Itoa(o.LIM), o.Cluster, whereWords(o.Before), whereWords(o.After), o.Rule, o.Reason})
	}
	return v
}

// whereWords names servers, or says that there is none.
func whereWords(servers []string) string {
	if len(servers) == 0 {
		return "nowhere"
	}
	return strings.Join(servers, "+")
}
