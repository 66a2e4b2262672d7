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
	"mxcluster/internal/status"
)

type createOptions struct {
	change
	standby        string
	lims           []string
	fallback       string
	failoverAfter  time.Duration
	splitBrainStop string
	window         string
	rehearse       string
}

// newCreateCommand returns `create` (spec ch. 9, "Create new cluster in system").
func newCreateCommand(a *app) *cobra.Command {
	var o createOptions
	c := &cobra.Command{
		Use:   "create C",
		Short: "Create a cluster",
		Long: `Create makes cluster C of regular servers, by their LIMs, and a standby server.
The present base address of each regular server becomes its LIM's alias, so that
clients keep the address they know, and NEWBASE becomes its base. Connections
through the old address go on.

With agents running, each exchanges the addresses of its own server: all of them
or none. Without an agent here, this server's are exchanged at once if it is one
of the regular ones, and what is left to do elsewhere is told.
` + shortLimitHelp + outdatedHelp,
		Example: `  mxcluster create c1 --standby sb1 --lim 1=10.0.0.21 --lim 2=10.0.0.22,priority=50
  mxcluster create c1 --standby sb1 --lim 1=10.0.0.21 --fallback automatic --failover-after 1s --wait`,
		Annotations: exits(editCodes()...),
		Args:        arguments("C"),
		RunE: func(c *cobra.Command, args []string) error {
			return runCreate(c.Context(), a, args[0], o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.standby, "standby", "", "standby `server` of the cluster")
	f.StringArrayVar(&o.lims, "lim", nil, "a LIM and the new base of its server, `N=NEWBASE[,priority=P]`; once for each LIM")
	f.StringVar(&o.fallback, "fallback", string(clusterconf.FallbackManual), "`type` of the return to the regular server: manual or automatic")
	f.DurationVar(&o.failoverAfter, "failover-after", 0, "`time` of silence after which a server counts as failed (default 10s)")
	f.StringVar(&o.splitBrainStop, "split-brain-stop", string(clusterconf.SideRegular), "`side` that gives way when both run a LIM: regular or standby")
	f.StringVar(&o.window, "fallback-window", clusterconf.Window{}.String(), windowUsage)
	f.StringVar(&o.rehearse, "rehearse", clusterconf.RehearseOff.String(), rehearseUsage)
	o.addEditFlags(f)
	return c
}

// runCreate edits the document, and has the servers exchange their addresses.
func runCreate(ctx context.Context, a *app, name string, o createOptions) error {
	s, err := a.server()
	if err != nil {
		return err
	}
	spec, err := o.spec(a, name)
	if err != nil {
		return doing(err, "creating cluster %s", name)
	}
	return s.perform(ctx, edit{
		change: o.change, command: "create " + name, doing: "creating cluster " + name,
		done: "cluster " + name + " created", would: "cluster " + name + " would be created", already: "cluster " + name + " is there already",
		apply: func(d *clusterconf.Document) error { return d.CreateCluster(spec) },
		then:  allRun(name), warning: shortLimit(o.failoverAfter),
	})
}

// spec reads the flags.
func (o *createOptions) spec(a *app, name string) (clusterconf.CreateSpec, error) {
	spec := clusterconf.CreateSpec{
		Name:           name,
		Fallback:       clusterconf.FallbackType(o.fallback),
		FailoverAfter:  o.failoverAfter,
		SplitBrainStop: clusterconf.Side(o.splitBrainStop),
	}
	var err error
	if spec.FallbackWindow, err = parseWindow(o.window); err != nil {
		return spec, err
	}
	if spec.Rehearse, err = parseRehearse(o.rehearse); err != nil {
		return spec, err
	}
	if o.standby == "" {
		if o.standby, err = a.ask.Ask("standby", "Standby server", ""); err != nil {
			return spec, err
		}
	}
	spec.Standby = o.standby
	if len(o.lims) == 0 {
		answer, err := a.ask.Ask("lim", "LIM and new base of its server, as N=NEWBASE", "")
		if err != nil {
			return spec, err
		}
		o.lims = []string{answer}
	}
	for _, text := range o.lims {
		l, err := parseCreateLIM(text)
		if err != nil {
			return spec, err
		}
		spec.LIMs = append(spec.LIMs, l)
	}
	return spec, nil
}

// parseCreateLIM reads N=NEWBASE[,priority=P].
func parseCreateLIM(text string) (clusterconf.CreateLIM, error) {
	var none clusterconf.CreateLIM
	const hint = "write --lim N=NEWBASE[,priority=P], e.g. --lim 1=10.0.0.21,priority=50"
	number, rest, ok := strings.Cut(text, "=")
	if !ok {
		return none, fault.New(fault.Usage, hint, "--lim: no new base address in %q", text)
	}
	lim, err := parseLIM(number)
	if err != nil {
		return none, fault.Wrap(err, fault.Usage, hint, "--lim %s", text)
	}
	base, option, more := strings.Cut(rest, ",")
	l := clusterconf.CreateLIM{LIM: lim, NewBase: base, Priority: clusterconf.DefaultPriority}
	if !more {
		return l, nil
	}
	value, ok := strings.CutPrefix(option, "priority=")
	if !ok {
		return none, fault.New(fault.Usage, hint, "--lim: unknown option %q in %q", option, text)
	}
	if l.Priority, err = strconv.Atoi(value); err != nil || l.Priority < 0 {
		return none, fault.New(fault.Usage, "give 0 or more; a lower value is a higher priority", "--lim: %q is not a priority", value)
	}
	return l, nil
}

// allRun is reached when every LIM of a cluster runs somewhere.
func allRun(cluster string) goal {
	return func(st *status.ClusterStatus) (bool, string, error) {
		for _, c := range st.Clusters {
			if c.Name != cluster {
				continue
			}
			for _, l := range c.LIMs {
				if l.State != stateRunning {
					return false, fmt.Sprintf("LIM %d is %s", l.LIM, l.State), nil
				}
			}
			return true, "", nil
		}
		return false, "the agent does not know cluster " + cluster + " yet", nil
	}
}
