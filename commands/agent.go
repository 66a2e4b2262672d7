package commands

import "github.com/spf13/cobra"

// newAgentCommand groups what concerns the agent of this server.
func newAgentCommand(a *app) *cobra.Command {
	return newGroup("agent", "Run, ask or stop the agent of this server", `
The agent supervises the clusters from this server: it holds aliases, runs LIM
software, fails over and falls back. One runs on every server.`, `
  mxcluster agent run
  mxcluster agent status
  mxcluster agent stop --release`,
		newAgentRunCommand(a), newAgentStatusCommand(a), newAgentStopCommand(a), newAgentReloadCommand(a), newAgentOwnCommand(a))
}
