package commands

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/explain"
	"mxcluster/internal/fault"
	"mxcluster/internal/ui"
	"mxcluster/internal/whatif"
)

// newExplainCommand returns `explain`.
func newExplainCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "explain N",
		Short: "Explain where a LIM runs, why, and what would become of it",
		Long: `Explain says in sentences where LIM N runs, since when and why, what keeps it from
falling back, what would happen if its server died now, and which LIM would have
the standby if several failed. The agents' own rules answer that.`,
		Example:     "  mxcluster explain 1\n  mxcluster explain 1 -o json",
		Annotations: exits(fault.NotFound, fault.Unreachable, fault.NotPermitted, fault.Invalid),
		Args:        arguments("N"),
		RunE: func(c *cobra.Command, args []string) error {
			return runExplain(c.Context(), a, args[0])
		},
	}
}

func runExplain(ctx context.Context, a *app, arg string) error {
	lim, err := parseLIM(arg)
	if err != nil {
		return err
	}
	s, err := a.server()
	if err != nil {
		return err
	}
	doc, err := s.read()
	if err != nil {
		return err
	}
	if err := s.knowsLIM(lim); err != nil {
		return fmt.Errorf("explaining: %w", err)
	}
	st, err := a.status(ctx, "", nil)
	if err != nil {
		return err
	}
	e, err := explain.Explain(doc, st, lim, func(x whatif.Scenario) (*whatif.Result, error) { return s.simulate(ctx, x) })
	if err != nil {
		return fmt.Errorf("explaining LIM %d: %w", lim, err)
	}
	if info, err := s.agent.Agent(ctx); err == nil && info.Edits != nil {
		e.Sentences = append(e.Sentences, editWords(doc, info.Edits))
	}
	if a.out.Format == ui.Table || a.out.Format == ui.Wide {
		return a.out.Lines(e.Sentences...)
	}
	return a.out.Show(explainView(e))
}

// editWords says where the document is edited.
func editWords(doc *clusterconf.Document, p *control.EditPlace) string {
	switch {
	case p.Server == "":
		return fmt.Sprintf("The cluster document cannot be edited now: %s (%s).", p.Why, p.Hint)
	case p.Server == doc.EditedOn():
		return fmt.Sprintf("Edits of the cluster document, from any server, are carried out on %s.", p.Server)
	}
	return fmt.Sprintf("Edits of the cluster document, from any server, are carried out on %s now, for %s is gone.", p.Server, doc.EditedOn())
}

// explainView has a row for each sentence.
func explainView(e *explain.Explanation) ui.View {
	v := ui.View{Object: e, Columns: []ui.Column{{Head: "LIM", Right: true}, {Head: "SENTENCE"}}, Names: []string{fmt.Sprint(e.LIM)}}
	for _, s := range e.Sentences {
		v.Rows = append(v.Rows, []string{fmt.Sprint(e.LIM), s})
	}
	return v
}
