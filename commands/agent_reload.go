package commands

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"mxcluster/internal/fault"
)

// newAgentReloadCommand returns `agent reload`.
func newAgentReloadCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Have the agent read the cluster document and gossip.key again",
		Long: `Agent reload has the agent of this server read the cluster document from disk and
put it into force. It does so by itself within half a second of a change; this
command says whether it could. The gossip keys in gossip.key, which somebody may
have edited, are read again by this command alone. Settings of this server are
read when an agent starts: 'systemctl restart mxcluster-agent' disturbs no call.`,
		Example:     "  mxcluster agent reload",
		Annotations: exits(fault.Unreachable, fault.Unknown, fault.NotPermitted, fault.Invalid),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			return runAgentReload(c.Context(), a)
		},
	}
}

func runAgentReload(ctx context.Context, a *app) error {
	agent, err := a.agent()
	if err != nil {
		return err
	}
	if err := agent.Reload(ctx); err != nil {
		return fmt.Errorf("reloading the agent: %w", err)
	}
	info, err := agent.Agent(ctx)
	if err != nil {
		return fmt.Errorf("asking the agent: %w", err)
	}
	return a.done(result{Changed: true, Revision: info.Revision, Text: fmt.Sprintf("revision %d of the cluster document is in force on %s", info.Revision, info.Server)})
}
