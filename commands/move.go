package commands

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mxcluster/internal/control"
	"mxcluster/internal/fault"
	"mxcluster/internal/status"
	"mxcluster/internal/ui"
)

type moveOptions struct {
	change
	now  bool
	dead string // the LIM's regular server, which is dead; "": it gives the LIM up

	drainCalls time.Duration // how long its calls may take to end before that; 0: they are not asked to
}

// defaultDrain is what --drain-calls means without a value (contract, section 3).
const defaultDrain = 10 * time.Minute

// drainHelp tells of --drain-calls.
const drainHelp = `With --drain-calls, calls are let end first: on the server that gives the LIM up, the
program of each exec: service is called with the verb drain, which takes no new calls
and returns when none is left. Meanwhile the LIM serves on and nothing is moved. When
all are through, or that time is up, the LIM moves, and how long was waited is told.
Where a drain fails, the move is refused (3). A program that does not know the verb
(exit code 64 or 2) is passed over, and told; systemd: and ocf: services have no such
verb. Ctrl-C ends the drain, as do a takeover, the end of the agent, another order for
the LIM, and the loss of the way from here to that server: then nothing is moved. A
drain that is ended gets SIGTERM and has two seconds to let new calls in again.`

func (o *moveOptions) addDrainCalls(f *pflag.FlagSet) {
	f.DurationVar(&o.drainCalls, "drain-calls", 0, "let calls end first, for at most this `time`")
	f.Lookup("drain-calls").NoOptDefVal = defaultDrain.String()
}

// newFallbackCommand returns `fallback` (spec ch. 10, "Execute Manual Fallback to
// Regular Server").
func newFallbackCommand(a *app) *cobra.Command {
	var o moveOptions
	c := &cobra.Command{
		Use:   "fallback N",
		Short: "Move a LIM from the standby back to its regular server",
		Long: `Fallback orders the agents to move LIM N from the standby to its regular server.
That waits until the regular server is ready; --now does not.

` + drainHelp,
		Example:     "  mxcluster fallback 1\n  mxcluster fallback 1 --wait\n  mxcluster fallback 1 --drain-calls=5m --wait\n  mxcluster fallback 1 --now --reason 'end of maintenance'",
		Annotations: exits(fault.Refused, fault.NotFound, fault.Unreachable, fault.Busy, fault.Unknown, fault.NotPermitted),
		Args:        arguments("N"),
		RunE: func(c *cobra.Command, args []string) error {
			return runMove(c.Context(), a, control.OrderFallback, args[0], o)
		},
	}
	c.Flags().BoolVar(&o.now, "now", false, "do not wait for the regular server to be ready")
	o.addDrainCalls(c.Flags())
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
maintenance of its regular server. 'mxcluster fallback N' takes it back. Where
another LIM would be stopped on the standby for it, it asks first; a script answers
with --yes.
It is refused when the standby is not ready: when it runs a LIM of higher priority,
say, or lacks the newest data version; --now moves the LIM all the same.

A standby that hears nobody at all takes nothing over by itself: it may be the one
that is cut off. Where people know that the regular server is dead, --server-is-dead
has the standby take LIM N over on their word: once, and not while anything is heard
of that server (gossip, or an answer for its base address or for the alias), nor with
the standby's link down, nor with an arbiter. If that server is alive and only not
heard, the LIM runs on both sides afterwards; so the command asks first, or wants --yes.

` + drainHelp,
		Example:     "  mxcluster failover 1 --wait --reason 'new memory for srv1'\n  mxcluster failover 1 --drain-calls --wait\n  mxcluster failover 1 --now\n  mxcluster failover 1 --now --server-is-dead srv1",
		Annotations: exits(fault.Refused, fault.NotFound, fault.Unreachable, fault.Busy, fault.Unknown, fault.NotPermitted),
		Args:        arguments("N"),
		RunE: func(c *cobra.Command, args []string) error {
			return runMove(c.Context(), a, control.OrderFailover, args[0], o)
		},
	}
	c.Flags().BoolVar(&o.now, "now", false, "move it although the standby is not ready")
	c.Flags().StringVar(&o.dead, "server-is-dead", "", "take it over from this `server`, its regular one, which is dead; refused while anything is heard of it")
	o.addDrainCalls(c.Flags())
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
	switch {
	case o.drainCalls < 0 || o.drainCalls > control.MaxDrain:
		return fault.New(fault.Usage, "give a time such as 10m", "--drain-calls: calls are drained for %s at most, not for %s", control.MaxDrain, o.drainCalls)
	case o.drainCalls > 0 && o.dead != "":
		return fault.New(fault.Usage, "leave one of them out", "--drain-calls: a server that is dead has no calls to drain")
	}
	order := control.Order{Kind: kind, LIM: lim, Now: o.now, DryRun: o.dryRun, Reason: o.reason, By: a.env.User(), Dead: o.dead, DrainCalls: o.drainCalls}
	if o.dead != "" && !o.dryRun {
		if err := a.confirmDead(ctx, agent, order); err != nil {
			return fmt.Errorf("%s of LIM %d: %w", kind, lim, err)
		}
	}
	answer, err := a.move(ctx, agent, order, o.wait)
	if err != nil {
		return fmt.Errorf("%s of LIM %d: %w", kind, lim, a.unknownLIMFirst(lim, err))
	}
	if !o.dryRun && o.wait > 0 {
		answer.Text = fmt.Sprintf("LIM %d runs on %s", lim, answer.Target)
	}
	if answer.Drains != "" {
		answer.Text += "; " + answer.Drains
	}
	return a.done(result{Changed: !answer.Already, DryRun: o.dryRun, Text: answer.Text})
}

// confirmDead asks whether a server is really dead before its LIM is taken from it; what
// would be refused is refused first.
func (a *app) confirmDead(ctx context.Context, agent Agent, order control.Order) error {
	order.DryRun = true
	would, err := agent.Order(ctx, order)
	if err != nil || would.Already || a.globals.yes {
		return err
	}
	if a.ask.Terminal {
		text := ui.Plain(would.Text) + ".\nIf it lives and is only not heard, the LIM will run on both.\n"
		_, _ = io.WriteString(a.ask.Out, text) // the question that follows tells of an error
	}
	ok, err := a.yes("Is " + ui.Plain(order.Dead) + " dead, yes or no")
	if err == nil && !ok {
		err = fault.New(fault.Refused, "", "not confirmed, nothing was done")
	}
	return err
}

// move gives an order, after asking where another LIM would be stopped for it, and
// waits for its end, or not at all where wait is 0.
func (a *app) move(ctx context.Context, agent Agent, o control.Order, wait time.Duration) (*control.OrderResult, error) {
	evicts := o.Kind == control.OrderFailover && o.Dead == "" // else it was asked for with that
	drains := ""
	if !o.DryRun && (evicts || o.DrainCalls > 0) {
		try := o
		try.DryRun = true
		planned, err := agent.Order(ctx, try)
		if err != nil {
			return nil, err
		}
		drains = planned.Drains
		if o.Evict = planned.Evicts; o.Evict != 0 {
			if err := a.confirmStop(fmt.Sprintf("LIM %d would be stopped on %s for it", o.Evict, planned.Target)); err != nil {
				return nil, err
			}
		}
	}
	var before *status.StatusLIM
	if wait > 0 && !o.DryRun {
		if st, err := agent.Status(ctx); err == nil {
			before = st.LIM(o.LIM)
		}
	}
	answer, err := a.giveOrder(ctx, agent, o, drains)
	if err != nil || o.DryRun || wait == 0 {
		return answer, err
	}
	return answer, waitFor(ctx, agent, wait, arrives(o.LIM, answer.Target, before))
}

// giveOrder gives an order, and says meanwhile that calls are drained first, and how.
func (a *app) giveOrder(ctx context.Context, agent Agent, o control.Order, drains string) (*control.OrderResult, error) {
	if drains == "" {
		return agent.Order(ctx, o)
	}
	a.out.Note("LIM %d is to move; %s", o.LIM, drains)
	line := a.waiting(fmt.Sprintf("waiting for the calls of LIM %d to end", o.LIM), o.DrainCalls)
	done, stop := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				line.Tick()
			case <-stop:
				line.Close()
				return
			}
		}
	}()
	answer, err := agent.Order(ctx, o)
	close(stop)
	<-done
	return answer, err
}

// confirmStop asks before another LIM is stopped; --yes answers.
func (a *app) confirmStop(what string) error {
	if a.globals.yes {
		return nil
	}
	ok, err := a.yes(what + ". Go on, yes or no")
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", what, err)
	case !ok:
		return fault.New(fault.Refused, "", "%s: not confirmed, nothing was changed", what)
	}
	return nil
}

// arrives is reached when a LIM runs on a server. It will not be when the LIM failed
// to start there since before, or is back where it came from; before is nil where that
// is not known.
func arrives(lim int, target string, before *status.StatusLIM) goal {
	return func(st *status.ClusterStatus) (bool, string, error) {
		l := st.LIM(lim)
		if l == nil {
			return false, fmt.Sprintf("LIM %d is in no cluster", lim), nil
		}
		where := "no known server"
		if l.ActiveOn != nil {
			where = *l.ActiveOn
		}
		if where == target && l.State == stateRunning {
			return true, "", nil
		}
		return false, fmt.Sprintf("LIM %d is %s on %s", lim, l.State, where), didNotStart(l, target, before)
	}
}

// didNotStart says why a move came to nothing; nil: it may come yet. Each start has a
// term of its own.
func didNotStart(l *status.StatusLIM, target string, before *status.StatusLIM) error {
	if before == nil || l.Term <= before.Term {
		return nil
	}
	switch {
	case l.ActiveOn == nil && l.State == stateFailed:
		return fault.New(fault.Failed, "look at 'mxcluster status' and the log of its software", "LIM %d did not start on %s: %s", l.LIM, target, l.Reason)
	case l.ActiveOn != nil && *l.ActiveOn != target && l.State == stateRunning && startedSince(l, before):
		return fault.New(fault.Failed, "look at the log of its software on "+target, "LIM %d did not start on %s and runs on %s again: %s", l.LIM, target, *l.ActiveOn, l.Reason)
	}
	return nil
}

func startedSince(l, before *status.StatusLIM) bool {
	return l.Since != nil && before.Since != nil && l.Since.After(*before.Since)
}
