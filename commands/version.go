package commands

import (
	"github.com/spf13/cobra"

	"mxcluster/internal/ui"
)

// Version says which build of the program this is.
type Version struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
	Arch    string `json:"arch"`
}

// newVersionCommand returns `version`. It reads nothing, so that it works on a
// broken installation.
func newVersionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:         "version",
		Short:       "Show the version",
		Long:        "Version shows which build of mxcluster this is.",
		Example:     "  mxcluster version\n  mxcluster version -o json",
		Annotations: exits(),
		Args:        arguments(),
		RunE: func(*cobra.Command, []string) error {
			v := a.env.Version
			return a.out.Show(ui.View{
				Object:  v,
				Columns: []ui.Column{{Head: "VERSION"}, {Head: "COMMIT"}, {Head: "GO"}, {Head: "ARCH"}},
				Rows:    [][]string{{v.Version, v.Commit, v.Go, v.Arch}},
				Names:   []string{v.Version},
			})
		},
	}
}
