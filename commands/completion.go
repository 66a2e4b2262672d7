package commands

import (
	"github.com/spf13/cobra"

	"mxcluster/internal/fault"
	"mxcluster/internal/nearest"
)

// newCompletionCommand replaces cobra's, which is a group that ends with 0 when no
// shell is named.
func newCompletionCommand(a *app) *cobra.Command {
	shells := []string{"bash", "zsh", "fish"}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print the completion script of a shell",
		Long: `Completion prints a script that makes the shell complete commands, flags, and the
names of clusters, servers and LIMs, which it takes from the cluster document of
this server. Bash needs the package bash-completion.`,
		Example:     "  mxcluster completion bash >/etc/bash_completion.d/mxcluster\n  source <(mxcluster completion zsh)",
		Annotations: exits(),
		Args:        arguments("bash|zsh|fish"),
		ValidArgs:   shells,
		RunE: func(c *cobra.Command, args []string) error {
			switch args[0] {
			case "bash":
				return c.Root().GenBashCompletionV2(a.stdout, true)
			case "zsh":
				return c.Root().GenZshCompletion(a.stdout)
			case "fish":
				return c.Root().GenFishCompletion(a.stdout, true)
			}
			hint := "use bash, zsh or fish"
			if near := nearest.To(args[0], shells); near != "" {
				hint = "did you mean " + near + "?"
			}
			return fault.New(fault.Usage, hint, "no completion for shell %q", args[0])
		},
	}
}
