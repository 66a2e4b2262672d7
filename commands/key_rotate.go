package commands

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"mxcluster/internal/control"
	"mxcluster/internal/fault"
)

// newKeyRotateCommand returns `key rotate`.
func newKeyRotateCommand(a *app) *cobra.Command {
	var o change
	c := &cobra.Command{
		Use:   "rotate",
		Short: "Exchange the gossip key of all servers for a new one",
		Long: `Key rotate has the agents exchange the gossip key without a gap: a new key is
made here and carried to every server; when all accept it, they use it; when all
use it, they give the former one up. Each step is on disk before it counts.

A server that is down holds the next step up, and the former key is accepted as
long as that lasts, so nobody is locked out. The rotation goes on by itself when
the server is back. Given again meanwhile, the command begins nothing, and says
what the rotation waits for.

Do this when somebody may have seen gossip.key, or has left who had it. Copies of
the file that were taken before do not let a server join any more.`,
		Example: `  mxcluster key rotate --wait --reason 'a backup was stolen'
  mxcluster key rotate -n`,
		Annotations: exits(fault.Refused, fault.Unreachable, fault.Busy, fault.Unknown, fault.NotPermitted, fault.Invalid),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := runKeyRotate(c.Context(), a, o); err != nil {
				return fmt.Errorf("rotating the gossip key: %w", err)
			}
			return nil
		},
	}
	o.addFlags(c.Flags())
	o.addWait(c.Flags())
	c.Flags().BoolVar(&o.force, "force", false, "begin here, wherever edits are carried out")
	return c
}

func runKeyRotate(ctx context.Context, a *app, o change) error {
	s, err := a.editable(ctx, o.force)
	if err != nil {
		return err
	}
	info, err := s.agent.RotateKey(ctx, control.KeyRequest{DryRun: o.dryRun, Reason: o.reason, By: a.env.User()})
	if err != nil {
		return err
	}
	r := result{Changed: info.Begun, DryRun: o.dryRun, Text: rotationWords(info, o.dryRun)}
	if o.wait > 0 && !o.dryRun {
		if r.Text, err = awaitRotation(ctx, s.agent, o); err != nil {
			return err
		}
	}
	return a.done(r)
}

// rotationWords says what became of the order.
func rotationWords(info *control.KeyInfo, dryRun bool) string {
	waits := info.Waiting()
	if waits != "" {
		waits = "; it waits for " + waits
	}
	switch {
	case info.Begun && dryRun:
		return fmt.Sprintf("a rotation from the gossip key %s to a new one would begin", info.Target)
	case info.Begun:
		return fmt.Sprintf("a rotation to the gossip key %s has begun%s", info.Target, waits)
	}
	return fmt.Sprintf("a rotation to the gossip key %s is on its way already%s", info.Target, waits)
}

// awaitRotation waits until every server has the newest key alone.
func awaitRotation(ctx context.Context, agent Agent, o change) (string, error) {
	target := ""
	err := waitUntil(ctx, o.wait, func(ctx context.Context) (bool, string, error) {
		info, err := agent.Keys(ctx)
		if err != nil {
			return false, "", err
		}
		target = info.Target
		return info.Stage == control.KeysSettled, fmt.Sprintf("%s, waits for %s", info.Stage, info.Waiting()), nil
	})
	if fault.CodeOf(err) == fault.Unknown {
		err = fault.Wrap(err, fault.Unknown, "the rotation goes on by itself; look with 'mxcluster key show'", "waiting")
	}
	return fmt.Sprintf("every server uses the gossip key %s, and accepts no other", target), err
}
