package commands

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"mxcluster/internal/control"
	"mxcluster/internal/fault"
	"mxcluster/internal/status"
)

type moveOptions struct {
	change
	now bool
}

// newFallbackCommand returns `fallback` (spec ch. 10, "Execute Manual Fallback to
// Regular Server").
func newFallbackCommand(a *app) *cobra.Command {
	var o moveOptions
	c := &cobra.Command{
		Use:   "fallback N",
		Short: "Move a LIM from the standby back to its regular server",
		Long: `Fallback orders the agents to move LIM N from the standby to its regular server.
That waits until the regular server is ready; --now does not.`,
		Example:     "  mxcluster fallback 1\n  mxcluster fallback 1 --wait\n  mxcluster fallback 1 --now --reason 'end of maintenance'",
		Annotations: exits(fault.Refused, fault.NotFound, fault.Unreachable, fault.Busy, fault.Unknown, fault.NotPermitted),
		Args:        arguments("N"),
		RunE: func(c *cobra.Command, args []string) error {
			return runMove(c.Context(), a, control.OrderFallback, args[0], o)
		},
	}
	c.Flags().BoolVar(&o.now, "now", false, "do not wait for the regular server to be ready")
	o.addFlags(c.Flags())
	o.addWait(c.Flags())
	return c
}

// newFailoverCommand returns `failover`, the planned counterpart of `fallback`.
func newFailoverCommand(a *app) *cobra.Command {
	var o moveOptions
	c := &cobra.Command{
		Use:   "failover N",
		Short: "Move a LIM from its regular server to the standby, as planned",
		Long: `Failover orders the agents to move LIM N to the standby of its cluster, for
maintenance of its regular server. 'mxcluster fallback N' takes it back.
It is refused when the standby is not ready: when it runs a LIM of higher priority,
say, or lacks the newest data version; --now moves the LIM all the same.`,
		Example:     "  mxcluster failover 1 --wait --reason 'new memory for srv1'\n  mxcluster failover 1 --now",
		Annotations: exits(fault.Refused, fault.NotFound, fault.Unreachable, fault.Busy, fault.Unknown, fault.NotPermitted),
		Args:        arguments("N"),
		RunE: func(c *cobra.Command, args []string) error {
			return runMove(c.Context(), a, control.OrderFailover, args[0], o)
		},
	}
	c.Flags().BoolVar(&o.now, "now", false, "move it although the standby is not ready")
	o.addFlags(c.Flags())
	o.addWait(c.Flags())
	return c
}

// runMove hands an order to the agent of this server, which passes it on to those
// that it concerns.
func runMove(ctx context.Context, a *app, kind control.OrderKind, arg string, o moveOptions) error {
	lim, err := parseLIM(arg)
	if err != nil {
		return err
	}
	agent, err := a.agent()
	if err != nil {
		return err
	}
	answer, err := agent.Order(ctx, control.Order{
		Kind: kind, LIM: lim, Now: o.now, DryRun: o.dryRun, Reason: o.reason, By: a.env.User(),
	})
	if err != nil {
		return fmt.Errorf("%s of LIM %d: %w", kind, lim, err)
	}
	if !o.dryRun && o.wait > 0 {
		if err := waitFor(ctx, agent, o.wait, runsOn(lim, answer.Target)); err != nil {
			return fmt.Errorf("%s of LIM %d: %w", kind, lim, err)
		}
		answer.Text = fmt.Sprintf("LIM %d runs on %s", lim, answer.Target)
	}
	return a.done(result{Changed: !answer.Already, DryRun: o.dryRun, Text: answer.Text})
}

// runsOn is reached when a LIM runs on a server.
func runsOn(lim int, target string) goal {
	return func(st *status.ClusterStatus) (bool, string) {
		l := st.LIM(lim)
		if l == nil {
			return false, fmt.Sprintf("LIM %d is in no cluster", lim)
		}
		where := "no known server"
		if l.ActiveOn != nil {
			where = *l.ActiveOn
		}
		return where == target && l.State == stateRunning, fmt.Sprintf("LIM %d is %s on %s", lim, l.State, where)
	}
}
