package commands

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"mxcluster/internal/control"
	"mxcluster/internal/fault"
)

// newAliasDownCommand returns `alias down`.
func newAliasDownCommand(a *app) *cobra.Command {
	var dryRun bool
	c := &cobra.Command{
		Use:   "down N",
		Short: "Take the alias of a LIM down on this server",
		Long: `Alias down takes the alias of LIM N away from this server's interface. Its other
addresses stay. Without an agent it is not denied afterwards: 'mxcluster alias deny'
does that.`,
		Example:     "  mxcluster alias down 1",
		Annotations: exits(fault.Refused, fault.NotFound, fault.NotPermitted, fault.Invalid),
		Args:        arguments("N"),
		RunE: func(c *cobra.Command, args []string) error {
			return runAliasDown(c.Context(), a, args[0], dryRun)
		},
	}
	a.addReason(c.Flags())
	c.Flags().BoolVarP(&dryRun, "dry-run", "n", false, "say what would change, change nothing")
	return c
}

// runAliasDown takes an alias down. One that is not there is what was asked for.
func runAliasDown(ctx context.Context, a *app, arg string, dryRun bool) error {
	lim, err := parseLIM(arg)
	if err != nil {
		return err
	}
	h, k, err := a.openAlias(lim)
	if err != nil {
		return fmt.Errorf("taking the alias of LIM %d down: %w", lim, err)
	}
	defer k.Close()
	addresses, err := k.Addresses(h.ifname)
	if err != nil {
		return fmt.Errorf("taking the alias of LIM %d down: %w", lim, interfaceRefused(err))
	}
	r := result{Changed: hasAddress(addresses, h.member.Alias), DryRun: dryRun}
	switch {
	case !r.Changed:
		r.Text = fmt.Sprintf("%s is not on %s", h.member.Alias, h.ifname)
	case dryRun:
		r.Text = fmt.Sprintf("%s would be taken off %s", h.member.Alias, h.ifname)
	default:
		if err := k.Drop(h.ifname, h.member.Alias); err != nil {
			return fmt.Errorf("taking the alias of LIM %d down: %w", lim, err)
		}
		r.Text = fmt.Sprintf("%s is off %s", h.member.Alias, h.ifname)
		a.warnOfAgent(ctx, lim, "puts its alias back")
	}
	return a.done(r)
}

// warnOfOtherAgent warns that the agent here does not run the LIM whose alias was put on the wire.
func (a *app) warnOfOtherAgent(ctx context.Context, lim int) {
	if runs, agent := a.agentRuns(ctx, lim); runs || !agent {
		return
	}
	a.out.Warn("the agent here does not run LIM %d, and denies its alias again; 'mxcluster agent stop' first", lim)
}

// warnOfAgent warns that the agent here runs a LIM that was changed by hand; what says what it
// does about that.
func (a *app) warnOfAgent(ctx context.Context, lim int, what string) {
	if runs, _ := a.agentRuns(ctx, lim); runs {
		a.out.Warn("the agent runs LIM %d here and %s; 'mxcluster failover' and 'fallback' move a LIM", lim, what)
	}
}

// agentRuns reports whether the agent on this server runs a LIM; agent is false if none answers.
func (a *app) agentRuns(ctx context.Context, lim int) (runs, agent bool) {
	client, err := a.agent()
	if err != nil {
		return false, false
	}
	info, err := client.Agent(ctx)
	if err != nil {
		return false, false
	}
	return slices.ContainsFunc(info.LIMs, func(l control.LIMInfo) bool { return l.LIM == lim && l.State == stateRunning }), true
}
