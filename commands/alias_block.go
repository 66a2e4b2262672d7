package commands

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"mxcluster/internal/fault"
)

// newAliasBlockCommand returns `alias block` (spec ch. 4).
func newAliasBlockCommand(a *app) *cobra.Command {
	return newBlockCommand(a, true, "block N", "Keep the alias of a LIM off the wire on this server", `
Alias block has this server's kernel drop all packets from and for the alias of
LIM N, and answer nobody who asks for it, whether the address is here yet or not.
Programs on this server can use it. The block stays until it is taken off.`,
		"  mxcluster alias block 1")
}

// newAliasUnblockCommand returns `alias unblock`.
func newAliasUnblockCommand(a *app) *cobra.Command {
	return newBlockCommand(a, false, "unblock N", "Let the alias of a LIM onto the wire again", `
Alias unblock takes the block of LIM N's alias off, in one step, and announces the
address if this server has it.`,
		"  mxcluster alias unblock 1")
}

func newBlockCommand(a *app, block bool, use, short, long, example string) *cobra.Command {
	var dryRun bool
	c := &cobra.Command{
		Use: use, Short: short, Long: long[1:], Example: example,
		Annotations: exits(fault.Refused, fault.NotFound, fault.NotPermitted, fault.Invalid),
		Args:        arguments("N"),
		RunE: func(c *cobra.Command, args []string) error {
			return runBlock(c.Context(), a, args[0], block, dryRun)
		},
	}
	a.addReason(c.Flags())
	c.Flags().BoolVarP(&dryRun, "dry-run", "n", false, "say what would change, change nothing")
	return c
}

// runBlock blocks an alias on this server, or unblocks it.
func runBlock(ctx context.Context, a *app, arg string, block, dryRun bool) error {
	lim, err := parseLIM(arg)
	if err != nil {
		return err
	}
	doing := fmt.Sprintf("blocking the alias of LIM %d", lim)
	if !block {
		doing = "un" + doing
	}
	h, k, err := a.openAlias(lim)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	defer k.Close()
	addr := h.member.Alias.Addr()
	blocked, err := k.Blocked(h.ifname)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, interfaceRefused(err))
	}
	r := result{Changed: slices.Contains(blocked, addr) != block, DryRun: dryRun}
	state := map[bool]string{true: "blocked", false: "not blocked"}[block]
	switch {
	case !r.Changed:
		r.Text = fmt.Sprintf("%s is %s on %s already", addr, state, h.ifname)
	case dryRun:
		r.Text = fmt.Sprintf("%s would be %s on %s", addr, state, h.ifname)
	default:
		if block {
			err = k.Block(h.ifname, addr)
		} else {
			err = a.unblock(ctx, k, h)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		r.Text = fmt.Sprintf("%s is %s on %s", addr, state, h.ifname)
		a.warnOfAgent(ctx, lim, "blocks its alias or not as it sees fit")
	}
	return a.done(r)
}

// unblock lets an alias onto the wire and, if it is here, says so to everybody.
func (a *app) unblock(ctx context.Context, k Kernel, h aliasHere) error {
	if err := k.Unblock(h.ifname, h.member.Alias.Addr()); err != nil {
		return err
	}
	addresses, err := k.Addresses(h.ifname)
	if err != nil || !hasAddress(addresses, h.member.Alias) {
		return err
	}
	return a.announce(ctx, k, h.ifname, h.member.Alias.Addr(), announceCount)
}
