package commands

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"mxcluster/internal/fault"
	"mxcluster/internal/status"
	"mxcluster/internal/ui"
)

// newListCommand returns `list` (spec ch. 10, "Print Cluster Configuration").
func newListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list [C]",
		Short: "List all clusters",
		Long: `List shows the clusters as configured: one line for each LIM with its regular
server, addresses and priority. 'mxcluster status' shows where each LIM runs.`,
		Example:     "  mxcluster list\n  mxcluster list c1 -o json",
		Annotations: exits(fault.NotFound, fault.NotPermitted, fault.Invalid),
		Args:        arguments("[C]"),
		RunE: func(_ *cobra.Command, args []string) error {
			return runList(a, optionalArgument(args))
		},
	}
}

// runList reads the document and asks nobody.
func runList(a *app, cluster string) error {
	s, err := a.server()
	if err != nil {
		return err
	}
	doc, err := s.read()
	if err != nil {
		return err
	}
	list := status.List(doc, a.env.Now())
	if err := list.Only(cluster); err != nil {
		return doing(err, "listing clusters")
	}
	return a.out.Show(listView(list))
}

// listView shows one line for each LIM.
func listView(l *status.ClusterList) ui.View {
	v := ui.View{
		Object: l,
		Columns: []ui.Column{
			{Head: "CLUSTER"}, {Head: "LIM", Right: true}, {Head: "REGULAR"}, {Head: "STANDBY"}, {Head: "ALIAS"}, {Head: "BASE"},
			{Head: "INTERFACE", Wide: true}, {Head: "PRIORITY", Right: true}, {Head: "FALLBACK"}, {Head: "FAILOVER"},
			{Head: "AFTER", Right: true, Wide: true}, {Head: "SPLIT-BRAIN-STOP", Wide: true}, {Head: "LOCK", Wide: true},
			{Head: "FALLBACK-WINDOW", Wide: true}, {Head: "REHEARSE", Wide: true}, {Head: "FROZEN", Wide: true},
		},
		Empty: "there is no cluster yet; 'mxcluster create' makes one",
	}
	for _, c := range l.Clusters {
		v.Names = append(v.Names, c.Name)
		after := time.Duration(c.FailoverAfterMs) * time.Millisecond
		for _, m := range c.LIMs {
			v.Rows = append(v.Rows, []string{
				c.Name, strconv.Itoa(m.LIM), m.Regular, c.Standby, m.Alias, m.Base, m.Interface, strconv.Itoa(m.Priority),
				c.Fallback, c.Failover, after.String(), c.SplitBrainStop, m.Lock.String(),
				c.FallbackWindow, c.Rehearse, c.Frozen.String(),
			})
		}
	}
	return v
}

// optionalArgument returns the only argument, or "".
func optionalArgument(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}
