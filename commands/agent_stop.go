package commands

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"mxcluster/internal/control"
	"mxcluster/internal/fault"
)

type agentStopOptions struct {
	release bool
	dryRun  bool
}

// newAgentStopCommand returns `agent stop`.
func newAgentStopCommand(a *app) *cobra.Command {
	var o agentStopOptions
	c := &cobra.Command{
		Use:   "stop",
		Short: "Stop the agent of this server",
		Long: `Agent stop ends the agent and returns when its process is gone. LIMs that run
here keep running until their aliases' lease is over, so that an agent started
again in time disturbs no call. With --release the agent gives its LIMs up first,
and the standby takes them over at once; a LIM that is locked to this side stays.`,
		Example:     "  mxcluster agent stop\n  mxcluster agent stop --release",
		Annotations: exits(fault.Unreachable, fault.Unknown, fault.NotPermitted),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			return runAgentStop(c.Context(), a, o)
		},
	}
	c.Flags().BoolVar(&o.release, "release", false, "give the LIMs up, so that the standby takes them over")
	a.addReason(c.Flags())
	c.Flags().BoolVarP(&o.dryRun, "dry-run", "n", false, "say what would happen, stop nothing")
	return c
}

// runAgentStop returns when the process is gone, so that a script may start the
// next one at once. No agent at all is what was asked for.
func runAgentStop(ctx context.Context, a *app, o agentStopOptions) error {
	agent, err := a.agent()
	if err != nil {
		return err
	}
	info, err := agent.Agent(ctx)
	if fault.CodeOf(err) == fault.Unreachable && !agent.Running(ctx) {
		return a.done(result{Text: "no agent runs here", DryRun: o.dryRun})
	}
	if err != nil {
		return fmt.Errorf("stopping the agent: %w", err)
	}
	if o.dryRun {
		return a.done(result{Changed: true, DryRun: true, Text: fmt.Sprintf("agent %d on %s would stop%s", info.PID, info.Server, releaseWords(o.release))})
	}
	// The process is watched from before it is asked to end: its number may be
	// another's afterwards.
	wait, err := a.env.Watch(info.PID)
	if err != nil {
		return fmt.Errorf("stopping the agent: watching process %d: %w", info.PID, err)
	}
	left, err := agent.Stop(ctx, control.StopRequest{Release: o.release})
	if err != nil {
		return fmt.Errorf("stopping the agent: %w", err)
	}
	if err := wait(ctx); err != nil {
		return fmt.Errorf("waiting for the end of the agent, process %d: %w", info.PID, err)
	}
	text := fmt.Sprintf("agent on %s stopped", info.Server)
	if n := left.LIMsLeftRunning; len(n) > 0 {
		text += fmt.Sprintf("; LIM %s runs on, and loses its alias in %s unless an agent starts", joinInts(n), left.Lease)
	}
	if n := left.Locked; len(n) > 0 {
		text += fmt.Sprintf("; LIM %s is locked to this side and was not given up", joinInts(n))
	}
	return a.done(result{Changed: true, Text: text})
}

// releaseWords completes what a dry run says.
func releaseWords(release bool) string {
	if release {
		return " and give its LIMs up"
	}
	return ""
}
