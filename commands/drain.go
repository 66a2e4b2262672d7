package commands

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/status"
	"mxcluster/internal/whatif"
)

type drainOptions struct {
	change
	limit time.Duration
	move  bool
	given func(flag string) bool
}

// newServerDrainCommand returns `server drain`.
func newServerDrainCommand(a *app) *cobra.Command {
	var o drainOptions
	c := &cobra.Command{
		Use:   "drain SRV",
		Short: "Have nothing run on a server, for work on it",
		Long: `Server drain takes SRV out of service until 'mxcluster server undrain SRV'. The LIM
of a regular server moves to the standby and stays there; a standby gives the LIM
that it runs back and takes nothing over. Nothing is started on SRV meanwhile, also
where the other server fails: the cluster is not redundant, and 'mxcluster status
--check' says so. Alarms that follow from it are marked as expected.

It is refused where the LIM would have no place, where it is locked to SRV (--move
takes that lock off), and for a server of no cluster. It asks first where another
LIM would be stopped on the standby, and where the standby is not ready to run the
LIM; a script answers with --yes. Without an agent here the drain is only stored.

--for says how long the work is meant to take. It ends nothing: what is still
drained then raises the alarm drain-left, without --for after a day.`,
		Example: `  mxcluster server drain srv1 --for 1h --reason 'new disk' --wait
  mxcluster server drain sb1 --dry-run`,
		Annotations: exits(editCodes()...),
		Args:        arguments("SRV"),
		RunE: func(c *cobra.Command, args []string) error {
			o.given = c.Flags().Changed
			return runDrain(c.Context(), a, args[0], o)
		},
	}
	f := c.Flags()
	f.DurationVar(&o.limit, "for", 0, "`time` that the work is meant to take; afterwards an alarm tells of it")
	f.BoolVar(&o.move, "move", false, "take the lock off that holds a LIM on the server")
	o.addEditFlags(f)
	return c
}

// newServerUndrainCommand returns `server undrain`.
func newServerUndrainCommand(a *app) *cobra.Command {
	var o change
	c := &cobra.Command{
		Use:   "undrain SRV",
		Short: "Have a drained server do its part again",
		Long: `Server undrain ends 'mxcluster server drain SRV'. A LIM that moved to the standby
falls back as its cluster's fallback type says: with manual fallback by 'mxcluster
fallback N'.`,
		Example:     "  mxcluster server undrain srv1 --wait",
		Annotations: exits(editCodes()...),
		Args:        arguments("SRV"),
		RunE: func(c *cobra.Command, args []string) error {
			return runUndrain(c.Context(), a, args[0], o)
		},
	}
	o.addEditFlags(c.Flags())
	return c
}

func runDrain(ctx context.Context, a *app, name string, o drainOptions) error {
	s, err := a.server()
	if err != nil {
		return err
	}
	now := a.env.Now()
	until := endOf(now, o.limit, o.given("for"))
	what := "server " + name
	return s.perform(ctx, edit{
		change: o.change, command: "server drain " + name, doing: "draining " + what,
		done: what + " is drained", would: what + " would be drained", already: what + " is drained already",
		apply: func(d *clusterconf.Document) error {
			return d.DrainServer(name, now, a.env.User(), o.reason, until, o.move)
		},
		first: func(ctx context.Context) ([]string, error) { return s.mayDrain(ctx, name, o.dryRun) },
		then:  runsNothing(name),
	})
}

func runUndrain(ctx context.Context, a *app, name string, o change) error {
	s, err := a.server()
	if err != nil {
		return err
	}
	what := "server " + name
	return s.perform(ctx, edit{
		change: o, command: "server undrain " + name, doing: "undraining " + what,
		done: what + " does its part again", would: what + " would do its part again", already: what + " is not drained",
		apply: func(d *clusterconf.Document) error { return d.UndrainServer(name) },
	})
}

// mayDrain says what a drain does to the LIMs, by the agents' own rules, and asks where
// somebody may not want that. It is refused where a LIM that serves would have no place.
// A server that is drained already was asked about.
func (s *server) mayDrain(ctx context.Context, name string, dryRun bool) ([]string, error) {
	doc, err := s.read()
	if err != nil {
		return nil, err
	}
	r, err := s.agent.Simulate(ctx, whatif.Scenario{Drain: []string{name}})
	switch {
	case fault.CodeOf(err) == fault.Unreachable && !s.agent.Running(ctx):
		return nil, nil
	case err != nil:
		return nil, err
	case doc.Server(name) == nil || doc.Server(name).Drained != nil:
		return nil, nil
	}
	var says []string
	moves := map[int]bool{}
	for _, o := range r.LIMs {
		if slices.Contains(o.Before, name) {
			if len(o.After) == 0 || slices.Contains(o.After, name) {
				return nil, fault.New(fault.Refused, "look at 'mxcluster status'", "cannot drain server %s: LIM %d would have no place: %s", name, o.LIM, o.Reason)
			}
			moves[o.LIM] = true
			says = append(says, fmt.Sprintf("LIM %d moves to %s", o.LIM, strings.Join(o.After, " and ")))
		}
	}
	for _, o := range r.LIMs {
		var question string
		switch {
		case moves[o.LIM] && o.NotReady != "":
			question = fmt.Sprintf("%s is not ready for LIM %d: %s", strings.Join(o.After, " and "), o.LIM, o.NotReady)
		case !moves[o.LIM] && o.Moves && len(o.Before) > 0:
			question = fmt.Sprintf("LIM %d would be stopped on %s", o.LIM, strings.Join(o.Before, " and "))
		default:
			continue
		}
		says = append(says, question)
		if dryRun {
			continue
		}
		if err := s.confirmStop(question); err != nil {
			return nil, err
		}
	}
	return says, nil
}

// runsNothing is reached when no LIM runs on a server.
func runsNothing(name string) goal {
	return func(st *status.ClusterStatus) (bool, string, error) {
		for _, c := range st.Clusters {
			if !slices.ContainsFunc(c.Servers, func(s status.StatusServer) bool { return s.Name == name }) {
				continue
			}
			for i := range c.LIMs {
				l := &c.LIMs[i]
				if l.ActiveOn != nil && *l.ActiveOn == name {
					return false, fmt.Sprintf("LIM %d is %s on %s", l.LIM, l.State, name), nil
				}
				if l.Side == "none" && !l.Waiting || l.ActiveOn != nil && l.State != stateRunning {
					return false, fmt.Sprintf("LIM %d is %s", l.LIM, l.State), nil
				}
			}
		}
		return true, "", nil
	}
}
