package commands

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"mxcluster/internal/fault"
)

type aliasUpOptions struct {
	dryRun  bool
	noProbe bool
	lease   time.Duration
}

// newAliasUpCommand returns `alias up`.
func newAliasUpCommand(a *app) *cobra.Command {
	var o aliasUpOptions
	c := &cobra.Command{
		Use:   "up N",
		Short: "Bring the alias of a LIM up on this server",
		Long: `Alias up gives this server the alias of LIM N: it probes whether another station
has the address, adds it to the interface, and announces it. The address is
permanent unless --lease is given; then the kernel takes it away when that time
is over. Where it was denied until then ('mxcluster alias deny'), it is no more. An
agent that runs here and does not run the LIM denies it again: stop that first.`,
		Example:     "  mxcluster alias up 1\n  mxcluster alias up 1 --lease 30s",
		Annotations: exits(fault.Refused, fault.NotFound, fault.NotPermitted, fault.Invalid),
		Args:        arguments("N"),
		RunE: func(c *cobra.Command, args []string) error {
			return runAliasUp(c.Context(), a, args[0], o)
		},
	}
	a.addReason(c.Flags())
	c.Flags().BoolVarP(&o.dryRun, "dry-run", "n", false, "probe and say what would change, change nothing")
	c.Flags().BoolVar(&o.noProbe, "no-probe", false, "do not look whether another station has the address")
	c.Flags().DurationVar(&o.lease, "lease", 0, "`time` after which the kernel takes the address away, in whole seconds (default: never)")
	return c
}

// runAliasUp adds an alias without an agent: for repairs, and for scripts that move addresses.
func runAliasUp(ctx context.Context, a *app, arg string, o aliasUpOptions) error {
	lim, err := parseLIM(arg)
	if err != nil {
		return err
	}
	if o.lease < 0 || o.lease%time.Second != 0 {
		return fault.New(fault.Usage, "give whole seconds, e.g. --lease 30s", "--lease: %s is not a number of seconds", o.lease)
	}
	h, k, err := a.openAlias(lim)
	if err != nil {
		return fmt.Errorf("bringing the alias of LIM %d up: %w", lim, err)
	}
	defer k.Close()
	changed, err := a.bringUp(ctx, k, h, o)
	if err != nil {
		return fmt.Errorf("bringing the alias of LIM %d up: %w", lim, err)
	}
	text := fmt.Sprintf("%s is on %s", h.member.Alias, h.ifname)
	switch {
	case o.dryRun && changed:
		text = fmt.Sprintf("%s would be added to %s", h.member.Alias, h.ifname)
	case !changed:
		text += " already"
	}
	return a.done(result{Changed: changed, DryRun: o.dryRun, Text: text})
}

// openAlias returns an alias and this server's kernel.
func (a *app) openAlias(lim int) (aliasHere, Kernel, error) {
	s, err := a.server()
	if err != nil {
		return aliasHere{}, nil, err
	}
	doc, err := s.read()
	if err != nil {
		return aliasHere{}, nil, err
	}
	h, err := s.alias(doc, lim)
	if err != nil {
		return aliasHere{}, nil, err
	}
	k, err := a.env.Kernel()
	return h, k, err
}

// bringUp probes, adds and announces an alias. One that is present is announced again, and gets the
// given lease.
func (a *app) bringUp(ctx context.Context, k Kernel, h aliasHere, o aliasUpOptions) (changed bool, err error) {
	addresses, err := k.Addresses(h.ifname)
	if err != nil {
		return false, interfaceRefused(err)
	}
	present := hasAddress(addresses, h.member.Alias)
	if !present && !o.noProbe {
		if err := a.env.probeFree(ctx, h.ifname, h.member.Alias.Addr()); err != nil {
			return false, err
		}
	}
	if o.dryRun {
		return !present, nil
	}
	if !present || o.lease != 0 {
		if err := k.Hold(h.ifname, h.member.Alias, o.lease); err != nil {
			return false, err
		}
	}
	blocked, err := isBlocked(k, h)
	if err != nil {
		return false, err
	}
	if blocked != nil && *blocked {
		a.out.Warn("%s is blocked on %s: 'mxcluster alias unblock %d' lets it onto the wire", h.member.Alias.Addr(), h.ifname, h.member.LIM)
		return !present, nil
	}
	denied, err := isDenied(k, h)
	if err != nil {
		return false, err
	}
	if denied != nil && *denied {
		if err := k.Unblock(h.ifname, h.member.Alias.Addr()); err != nil {
			return false, err
		}
		present = false // for the network it was not present
		a.warnOfOtherAgent(ctx, h.member.LIM)
	}
	if err := a.announce(ctx, k, h.ifname, h.member.Alias.Addr(), announceCount); err != nil {
		return false, fmt.Errorf("it is up, but: %w", err)
	}
	return !present, nil
}
