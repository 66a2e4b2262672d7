package commands

import (
	"fmt"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/ui"
)

// newConfigShowCommand returns `config show`.
func newConfigShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:         "show",
		Short:       "Print the cluster document",
		Long:        "Config show prints the cluster document as it is stored, in YAML; with -o json in JSON.",
		Example:     "  mxcluster config show\n  mxcluster config show -o json",
		Annotations: exits(fault.NotPermitted, fault.Invalid),
		Args:        arguments(),
		RunE:        func(*cobra.Command, []string) error { return runConfigShow(a) },
	}
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
	doc, err := s.store.Read()
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
