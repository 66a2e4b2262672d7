package commands

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/fault"
	"mxcluster/internal/ui"
)

// newAgentStatusCommand returns `agent status`.
func newAgentStatusCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show what the agent of this server says of itself",
		Long: `Agent status asks the agent of this server: its process and version, whether it
has settled with the others, whom it hears, and which LIMs it runs.`,
		Example:     "  mxcluster agent status\n  mxcluster agent status -o json",
		Annotations: exits(fault.Unreachable, fault.NotPermitted),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			return runAgentStatus(c.Context(), a)
		},
	}
}

// runAgentStatus shows one line; JSON has what does not fit there.
func runAgentStatus(ctx context.Context, a *app) error {
	agent, err := a.agent()
	if err != nil {
		return err
	}
	info, err := agent.Agent(ctx)
	if err != nil {
		return fmt.Errorf("asking the agent: %w", err)
	}
	err = a.out.Show(ui.View{
		Object: newAgentStatus(info),
		Columns: []ui.Column{
			{Head: "SERVER"}, {Head: "PID", Right: true}, {Head: "VERSION"}, {Head: "STARTED"}, {Head: "REVISION", Right: true},
			{Head: "READY"}, {Head: "ISOLATED"}, {Head: "LEASE", Wide: true}, {Head: "MEMBERS"}, {Head: "LIMS"},
		},
		Rows: [][]string{{
			info.Server, strconv.Itoa(info.PID), info.Version, info.StartedAt.UTC().Format(time.RFC3339),
			strconv.FormatUint(info.Revision, 10), yesNo(info.Ready), yesNo(info.Isolated), info.Lease.String(),
			memberWords(info.Members), limWords(info.LIMs),
		}},
		Names: []string{info.Server},
	})
	if err == nil && info.Settings != "" {
		a.out.Warn("%s", info.Settings)
	}
	return err
}

// agentStatus is the answer of `agent status -o json`.
type agentStatus struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"` // AgentStatus
	*control.AgentInfo
	Lease   any   `json:"leaseNs,omitempty"` // hides the agent's own, in nanoseconds
	LeaseMs int64 `json:"leaseMs"`
}

func newAgentStatus(info *control.AgentInfo) agentStatus {
	return agentStatus{APIVersion: clusterconf.APIVersion, Kind: "AgentStatus", AgentInfo: info, LeaseMs: info.Lease.Milliseconds()}
}

// yesNo words what is known; what is not known is never passed here.
func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// memberWords lists whom the agent hears, as in "sb1 alive, srv2 gone".
func memberWords(members []control.MemberInfo) string {
	var words []string
	for _, m := range members {
		words = append(words, m.Server+" "+m.Liveness)
	}
	return strings.Join(words, ", ")
}

// limWords lists what the agent runs, as in "1 running".
func limWords(lims []control.LIMInfo) string {
	var words []string
	for _, l := range lims {
		words = append(words, fmt.Sprintf("%d %s", l.LIM, l.State))
	}
	return strings.Join(words, ", ")
}
