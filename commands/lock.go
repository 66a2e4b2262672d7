package commands

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/fault"
)

type lockOptions struct {
	change
	to    string
	limit time.Duration
	move  bool
	given func(flag string) bool
}

// newLockCommand returns `lock` (spec ch. 10, "Lock or Unlock a LIM to a Specific
// Server").
func newLockCommand(a *app) *cobra.Command {
	var o lockOptions
	c := &cobra.Command{
		Use:   "lock N",
		Short: "Lock a LIM to its regular server or to the standby",
		Long: `Lock pins LIM N to the side where it runs, for instance to its regular server
while that is rebooted. It holds until 'mxcluster unlock N', or until the time of
--for is over. Locked again without --for it keeps the end that it has; to take that
off, unlock it first. Locking to the other side is refused; with --move the LIM moves
there first, and is locked when it runs. Where another LIM would be stopped on the
standby for it, it asks first; a script answers with --yes. Without an agent here
the lock is only stored.`,
		Example: `  mxcluster lock 1 --to regular --for 30m --reason 'reboot of srv1'
  mxcluster lock 1 --to standby --move`,
		Annotations: exits(editCodes()...),
		Args:        arguments("N"),
		RunE: func(c *cobra.Command, args []string) error {
			o.given = c.Flags().Changed
			return runLock(c.Context(), a, args[0], o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.to, "to", "", "`side` to lock it to: regular or standby")
	f.DurationVar(&o.limit, "for", 0, "`time` after which the lock ends by itself")
	f.BoolVar(&o.move, "move", false, "move the LIM there first, where it runs on the other side")
	o.addEditFlags(f)
	return c
}

func runLock(ctx context.Context, a *app, arg string, o lockOptions) error {
	lim, err := parseLIM(arg)
	if err != nil {
		return err
	}
	s, err := a.server()
	if err != nil {
		return err
	}
	if o.to == "" {
		if o.to, err = a.ask.Ask("to", "Side to lock it to, regular or standby", ""); err != nil {
			return doing(err, "locking LIM %d", lim)
		}
	}
	now := a.env.Now()
	expires := endOf(now, o.limit, o.given("for"))
	what := fmt.Sprintf("LIM %d", lim)
	return s.perform(ctx, edit{
		change: o.change, command: fmt.Sprintf("lock %d --to %s", lim, o.to), doing: "locking " + what,
		done: what + " is locked to " + o.to, would: what + " would be locked to " + o.to, already: what + " is locked to " + o.to + " already",
		apply: func(d *clusterconf.Document) error {
			return d.LockLIM(lim, clusterconf.Side(o.to), now, a.env.User(), o.reason, expires)
		},
		first: func(ctx context.Context) ([]string, error) { return s.moveBeforeLock(ctx, lim, o) },
	})
}

// moveBeforeLock makes sure that a LIM does not run on the other side than the one it is
// to be locked to: a lock there would pin it where it is not.
func (s *server) moveBeforeLock(ctx context.Context, lim int, o lockOptions) ([]string, error) {
	st, err := s.agent.Status(ctx)
	switch {
	case fault.CodeOf(err) == fault.Unreachable && !s.agent.Running(ctx):
		if o.move {
			return nil, fault.New(fault.Unreachable, "start it: "+s.startCommand(s.dirs)+"; or leave out --move", "no agent runs here that could move it")
		}
		return nil, nil
	case err != nil:
		return nil, err
	}
	l := st.LIM(lim)
	if l == nil || l.ActiveOn == nil || l.Side == o.to {
		return nil, nil
	}
	kind := control.OrderFallback
	if clusterconf.Side(o.to) == clusterconf.SideStandby {
		kind = control.OrderFailover
	}
	if !o.move {
		return nil, fault.New(fault.Refused, fmt.Sprintf("move it first: mxcluster %s %d, or give --move", kind, lim),
			"it runs on %s, its %s server, and a lock pins a LIM where it runs", *l.ActiveOn, l.Side)
	}
	answer, err := s.move(ctx, s.agent, control.Order{Kind: kind, LIM: lim, DryRun: o.dryRun, Reason: o.reason, By: s.env.User()}, max(o.wait, defaultWait))
	if err != nil {
		return nil, err
	}
	return []string{answer.Text}, nil
}
