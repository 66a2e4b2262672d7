package commands

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

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

// warnOfOtherAgent tells that an alias was let onto the wire here while the agent on
// this server does not run its LIM.
func (a *app) warnOfOtherAgent(ctx context.Context, lim int) {
	agent, err := a.agent()
	if err != nil {
		return
	}
	info, err := agent.Agent(ctx)
	if err != nil {
		return // none runs here
	}
	for _, l := range info.LIMs {
		if l.LIM == lim && l.State == stateRunning {
			return
		}
	}
	a.out.Warn("the agent here does not run LIM %d, and denies its alias again; 'mxcluster agent stop' first", lim)
}

// warnOfAgent tells that something was done to the alias of a LIM that the agent
// runs here, which will do what it thinks right.
func (a *app) warnOfAgent(ctx context.Context, lim int, what string) {
	agent, err := a.agent()
	if err != nil {
		return
	}
	info, err := agent.Agent(ctx)
	if err != nil {
		return // none runs here
	}
	for _, l := range info.LIMs {
		if l.LIM == lim && l.State == stateRunning {
			a.out.Warn("the agent runs LIM %d here and %s; 'mxcluster failover' and 'fallback' move a LIM", lim, what)
		}
	}
}
