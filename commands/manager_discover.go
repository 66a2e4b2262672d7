package commands

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/manager"
	"mxcluster/internal/ui"
)

// managerDiscovery is the answer of `manager discover -o json`.
type managerDiscovery struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"` // ManagerDiscovery
	Cluster    string            `json:"cluster"`
	Fallback   string            `json:"fallback"` // of the cluster
	Alias      string            `json:"alias"`    // of LIM 1
	Servers    []discoveredPlace `json:"servers"`  // the master first
}

// discoveredPlace is one server of the pair.
type discoveredPlace struct {
	Role      string             `json:"role"`
	Server    string             `json:"server"`
	Base      string             `json:"base"`
	Interface string             `json:"interface"`
	Seen      bool               `json:"seen"`
	Problem   string             `json:"problem"`   // why it could not be seen, or has no PostgreSQL that counts
	Instances []manager.Instance `json:"instances"` // of PostgreSQL; null where it was not seen
}

// newManagerDiscoverCommand returns `manager discover` (spec ch. 9: "the system itself finds
// Master Standby and Cluster IPs").
func newManagerDiscoverCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "discover",
		Short: "Find the servers of the management system",
		Long: `Manager discover finds the master and the standby server of the management system,
their addresses and that of LIM 1, and the PostgreSQL that each of them has. Where
LIM 1 is in no cluster there are none, and it is refused.`,
		Example:     "  mxcluster manager discover\n  mxcluster manager discover -o json",
		Annotations: exits(fault.Refused, fault.NotPermitted, fault.Invalid),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := runManagerDiscover(c.Context(), a); err != nil {
				return fmt.Errorf("finding the management system: %w", err)
			}
			return nil
		},
	}
	asRoot(c)
	return c
}

func runManagerDiscover(ctx context.Context, a *app) error {
	v, err := a.viewManager(ctx)
	if err != nil {
		return err
	}
	d := managerDiscovery{APIVersion: clusterconf.APIVersion, Kind: "ManagerDiscovery", Cluster: v.pair.Cluster,
		Fallback: string(v.pair.Fallback), Alias: v.pair.Alias.String()}
	view := ui.View{
		Columns: []ui.Column{{Head: "ROLE"}, {Head: "SERVER"}, {Head: "BASE"}, {Head: "INTERFACE", Wide: true}, {Head: "POSTGRESQL"}, {Head: "PORT", Right: true},
			{Head: "DATA", Wide: true}, {Head: "STATE"}},
		Lead: fmt.Sprintf("cluster %s, LIM 1 is reached at %s, fallback %s", v.pair.Cluster, v.pair.Alias.Addr(), v.pair.Fallback),
	}
	for _, role := range []manager.Role{manager.Master, manager.Standby} {
		there, sight := v.pair.Server(role), v.sights[role]
		p := discoveredPlace{Role: string(role), Server: there.Name, Base: there.Base.String(), Interface: there.Interface, Seen: sight.Node != nil}
		_, p.Problem = sight.Instance()
		if sight.Node != nil {
			p.Instances = sight.Node.Instances
		}
		d.Servers = append(d.Servers, p)
		view.Names = append(view.Names, there.Name)
		row := []string{string(role), there.Name, p.Base, p.Interface}
		for _, i := range p.Instances {
			view.Rows = append(view.Rows, append(row[:len(row):len(row)], i.Name, portWord(i.Port), i.DataDir, instanceWord(&i)))
		}
		if len(p.Instances) == 0 {
			view.Rows = append(view.Rows, append(row, "", "", "", p.Problem))
		}
	}
	view.Object = d
	return a.out.Show(view)
}

// portWord leaves out the port of what does not run.
func portWord(port int) string {
	if port == 0 {
		return ""
	}
	return strconv.Itoa(port)
}

// instanceWord says in a word or two how a PostgreSQL stands.
func instanceWord(i *manager.Instance) string {
	switch {
	case i.Database == nil:
		return i.Problem
	case i.Database.ReadOnly:
		return "read-only"
	}
	return "accepts writes"
}
