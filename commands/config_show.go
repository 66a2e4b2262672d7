package commands

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/ui"
)

// newConfigShowCommand returns `config show`.
func newConfigShowCommand(a *app) *cobra.Command {
	var showLevels bool
	c := &cobra.Command{
		Use:         "show",
		Short:       "Print the cluster document",
		Long:        "Config show prints the cluster document as it is stored, in YAML; with -o json in JSON,\nwhich leaves keys of others (x-NAME) out.\n\nWith --levels it says at which level the document is, what in it needs that level, and\nup to which level each server's version of mxcluster can read it.",
		Example:     "  mxcluster config show\n  mxcluster config show -o json\n  mxcluster config show --levels",
		Annotations: exits(fault.NotPermitted, fault.Invalid),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			if showLevels {
				return runConfigLevels(c.Context(), a)
			}
			return runConfigShow(a)
		},
	}
	c.Flags().BoolVar(&showLevels, "levels", false, "say up to which level each server can read the document")
	return c
}

func runConfigLevels(ctx context.Context, a *app) error {
	s, err := a.server()
	if err != nil {
		return err
	}
	doc, err := s.read()
	if err != nil {
		return err
	}
	return s.showLevels(ctx, doc)
}

// runConfigShow prints the canonical form, which is what is stored but for what a
// person wrote by hand since.
func runConfigShow(a *app) error {
	switch a.out.Format {
	case ui.CSV, ui.Name:
		return fault.New(fault.Usage, "use table, yaml or json", "the cluster document has no form as %s", a.out.Format)
	}
	s, err := a.server()
	if err != nil {
		return err
	}
	doc, err := s.read()
	if err != nil {
		return err
	}
	if a.out.Format == ui.JSON {
		return a.out.Show(ui.View{Object: doc})
	}
	if _, err := a.out.Data.Write(clusterconf.Encode(doc)); err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	return nil
}
