package commands

import (
	"strconv"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/status"
	"mxcluster/internal/ui"
)

// serverList is the answer of `server list -o json`.
type serverList struct {
	APIVersion string        `json:"apiVersion"`
	Kind       string        `json:"kind"` // ServerList
	Revision   uint64        `json:"revision"`
	Servers    []serverEntry `json:"servers"`
}

// serverEntry is one server. LIM and cluster are null where it has none.
type serverEntry struct {
	Name      string  `json:"name"`
	Role      string  `json:"role"`
	Base      string  `json:"base"`
	Interface string  `json:"interface"`
	LIM       *int    `json:"lim"`
	Alias     *string `json:"alias"`
	Cluster   *string `json:"cluster"`

	Drained *status.Maintenance `json:"drained"` // nil: it does its part
}

// newServerListCommand returns `server list`.
func newServerListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:         "list",
		Short:       "List all servers of the system",
		Long:        "Server list shows every server of the system, from the cluster document.",
		Example:     "  mxcluster server list\n  mxcluster server list -o json",
		Annotations: exits(fault.NotPermitted, fault.Invalid),
		Args:        arguments(),
		RunE:        func(*cobra.Command, []string) error { return runServerList(a, "") },
	}
}

// newServerShowCommand returns `server show`.
func newServerShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:         "show SRV",
		Short:       "Show one server",
		Long:        "Server show shows one server of the system, from the cluster document.",
		Example:     "  mxcluster server show srv1",
		Annotations: exits(fault.NotFound, fault.NotPermitted, fault.Invalid),
		Args:        arguments("SRV"),
		RunE:        func(_ *cobra.Command, args []string) error { return runServerList(a, args[0]) },
	}
}

// runServerList shows one server, or all for "".
func runServerList(a *app, only string) error {
	s, err := a.server()
	if err != nil {
		return err
	}
	doc, err := s.read()
	if err != nil {
		return err
	}
	list := serverList{APIVersion: clusterconf.APIVersion, Kind: "ServerList", Revision: doc.Revision, Servers: []serverEntry{}}
	var names []string
	for i := range doc.Servers {
		names = append(names, doc.Servers[i].Name)
		if only == "" || only == doc.Servers[i].Name {
			list.Servers = append(list.Servers, newServerEntry(doc, &doc.Servers[i]))
		}
	}
	if only != "" && len(list.Servers) == 0 {
		return fault.New(fault.NotFound, didYouMean(only, names, "mxcluster server list"), "showing a server: there is no server %q", only)
	}
	return a.out.Show(list.view())
}

// newServerEntry describes a server with its place in the system.
func newServerEntry(doc *clusterconf.Document, s *clusterconf.Server) serverEntry {
	e := serverEntry{Name: s.Name, Role: string(s.Role()), Base: s.Base.String(), Interface: s.Interface}
	e.Drained = status.Drained(s)
	if s.LIM != 0 {
		e.LIM = &s.LIM
	}
	if c := doc.ClusterOfServer(s.Name); c != nil {
		e.Cluster = &c.Name
		if m := c.Member(s.LIM); m != nil {
			alias := m.Alias.String()
			e.Alias = &alias
		}
	}
	return e
}

func (l serverList) view() ui.View {
	v := ui.View{
		Object: l,
		Columns: []ui.Column{{Head: "NAME"}, {Head: "ROLE"}, {Head: "BASE"}, {Head: "INTERFACE"},
			{Head: "LIM", Right: true}, {Head: "ALIAS", Wide: true}, {Head: "CLUSTER"}, {Head: "DRAINED", Wide: true}},
	}
	for _, s := range l.Servers {
		lim := ""
		if s.LIM != nil {
			lim = strconv.Itoa(*s.LIM)
		}
		v.Rows = append(v.Rows, []string{s.Name, s.Role, s.Base, s.Interface, lim, orEmpty(s.Alias), orEmpty(s.Cluster), s.Drained.String()})
		v.Names = append(v.Names, s.Name)
	}
	return v
}

// orEmpty returns the text, or "" for none.
func orEmpty(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}
