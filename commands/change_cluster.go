package commands

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/whatif"
)

type changeOptions struct {
	change
	fallback       string
	priorities     []string
	failoverAfter  time.Duration
	splitBrainStop string
	window         string
	rehearse       string
	given          func(flag string) bool
}

// outdatedHelp is part of the help of every action after which one data version is left.
const outdatedHelp = `
Older data versions do not fit after it: every server keeps the newest of each LIM
of the cluster and removes the others. On a terminal it says which of them are
on this server and asks before; --yes answers. In a script it does not ask.`

// windowUsage is the usage of the flag for the window of automatic fallback.
const windowUsage = "`time` of day of automatic fallback, HH:MM-HH:MM, by the standby's local clock; it may pass midnight; or always"

// parseWindow parses that flag.
func parseWindow(text string) (clusterconf.Window, error) {
	w, err := clusterconf.ParseWindow(text)
	if err != nil {
		return w, fmt.Errorf("--fallback-window: %w", err)
	}
	return w, nil
}

// rehearseUsage is the usage of the flag for rehearsals.
const rehearseUsage = "when the standby rehearses takeovers by itself: off or nightly"

// parseRehearse parses that flag.
func parseRehearse(text string) (clusterconf.Rehearse, error) {
	r, err := clusterconf.ParseRehearse(text)
	if err != nil {
		return r, fmt.Errorf("--rehearse: %w", err)
	}
	return r, nil
}

// shortLimitHelp is part of the help where the silence limit of a cluster is set.
const shortLimitHelp = `
A server sends fewer ARP packets a second on one interface than its setting
arp.budget in mxcluster.yaml says: 15, at which switches with ARP inspection shut a
port; 0 lifts the bound. With --failover-after below 1s the budget does not bound
what a server asks of others whose kernels answer no ICMP echo, for example because
a firewall drops it. The command says how many packets these are: have the switches
take them, or let the servers answer each other's echoes.
`

// shortLimit warns about the traffic that a silence limit causes; "": it is small.
func shortLimit(limit time.Duration) string {
	well, doubt := whatif.ARP(limit)
	if well == 0 {
		return ""
	}
	return fmt.Sprintf("with --failover-after %s a server sends up to %d ARP packets a second to each other one that answers no ICMP echo, up to %d while that is silent, and answers as often; "+
		"arp.budget does not bound these, and switches with ARP inspection must take them", limit, well, doubt)
}

// newChangeCommand returns `change` (spec ch. 10, "Change Fallback Type and LIM").
func newChangeCommand(a *app) *cobra.Command {
	var o changeOptions
	c := &cobra.Command{
		Use:   "change C",
		Short: "Change the fallback type, priorities and times of a cluster",
		Long: `Change changes settings of cluster C; what is not given stays as it is. With
--failover-after 0s the default of the cluster's failover behaviour counts again.
--fallback-window has automatic fallback wait for a time of day; what is ordered,
locked or drained does not wait for it. --rehearse nightly has the standby start each
LIM's software every night where nobody sees it; see
'mxcluster help rehearse'.
` + shortLimitHelp + outdatedHelp,
		Example: `  mxcluster change c1 --fallback automatic
  mxcluster change c1 --fallback automatic --fallback-window 22:00-05:00
  mxcluster change c1 --priority 1=50 --priority 2=100 --wait`,
		Annotations: exits(editCodes()...),
		Args:        arguments("C"),
		RunE: func(c *cobra.Command, args []string) error {
			o.given = c.Flags().Changed
			return runChange(c.Context(), a, args[0], o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.fallback, "fallback", "", "`type` of the return to the regular server: manual or automatic")
	f.StringArrayVar(&o.priorities, "priority", nil, "priority of a LIM on the standby, `N=P`; a lower value is a higher priority; may be repeated")
	f.DurationVar(&o.failoverAfter, "failover-after", 0, "`time` of silence after which a server counts as failed; 0s: the default")
	f.StringVar(&o.splitBrainStop, "split-brain-stop", "", "`side` that gives way when both run a LIM: regular or standby")
	f.StringVar(&o.window, "fallback-window", "", windowUsage)
	f.StringVar(&o.rehearse, "rehearse", "", rehearseUsage)
	o.addEditFlags(f)
	return c
}

func runChange(ctx context.Context, a *app, name string, o changeOptions) error {
	spec, err := o.spec()
	if err != nil {
		return doing(err, "changing cluster %s", name)
	}
	s, err := a.server()
	if err != nil {
		return err
	}
	return s.perform(ctx, edit{
		change: o.change, command: "change " + name, doing: "changing cluster " + name,
		done: "cluster " + name + " changed", would: "cluster " + name + " would be changed", already: "cluster " + name + " is so already",
		apply:   func(d *clusterconf.Document) error { return d.ChangeCluster(name, spec) },
		warning: shortLimit(o.failoverAfter),
	})
}

// spec returns the changes that the flags ask for.
func (o *changeOptions) spec() (clusterconf.ChangeSpec, error) {
	var spec clusterconf.ChangeSpec
	if o.given("fallback") {
		fallback := clusterconf.FallbackType(o.fallback)
		spec.Fallback = &fallback
	}
	if o.given("failover-after") {
		spec.FailoverAfter = &o.failoverAfter
	}
	if o.given("split-brain-stop") {
		side := clusterconf.Side(o.splitBrainStop)
		spec.SplitBrainStop = &side
	}
	if o.given("fallback-window") {
		window, err := parseWindow(o.window)
		if err != nil {
			return spec, err
		}
		spec.FallbackWindow = &window
	}
	if o.given("rehearse") {
		rehearse, err := parseRehearse(o.rehearse)
		if err != nil {
			return spec, err
		}
		spec.Rehearse = &rehearse
	}
	for _, text := range o.priorities {
		lim, priority, err := parsePriority(text)
		if err != nil {
			return spec, err
		}
		if spec.Priorities == nil {
			spec.Priorities = map[int]int{}
		}
		if _, twice := spec.Priorities[lim]; twice {
			return spec, fault.New(fault.Usage, "name each LIM once", "--priority: LIM %d is given twice", lim)
		}
		spec.Priorities[lim] = priority
	}
	return spec, nil
}

// parsePriority parses N=P.
func parsePriority(text string) (lim, priority int, err error) {
	const hint = "write --priority N=P, e.g. --priority 1=50; a lower value is a higher priority"
	number, value, ok := strings.Cut(text, "=")
	if !ok {
		return 0, 0, fault.New(fault.Usage, hint, "--priority: no priority in %q", text)
	}
	if lim, err = parseLIM(number); err != nil {
		return 0, 0, fault.Wrap(err, fault.Usage, hint, "--priority %s", text)
	}
	if priority, err = strconv.Atoi(value); err != nil || priority < 0 {
		return 0, 0, fault.New(fault.Usage, "give 0 or more; a lower value is a higher priority", "--priority: %q is not a priority", value)
	}
	return lim, priority, nil
}
