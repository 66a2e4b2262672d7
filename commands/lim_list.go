package commands

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/ui"
)

// limList is the answer of `lim list -o json`.
type limList struct {
	APIVersion string     `json:"apiVersion"`
	Kind       string     `json:"kind"` // LIMList
	Revision   uint64     `json:"revision"`
	LIMs       []limEntry `json:"lims"`
}

// limEntry is one LIM. Alias, cluster, media server and prompts are null where it has none.
type limEntry struct {
	LIM         int                      `json:"lim"`
	Regular     string                   `json:"regular"`
	Alias       *string                  `json:"alias"`
	Cluster     *string                  `json:"cluster"`
	Services    []clusterconf.Service    `json:"services"`
	Checks      []string                 `json:"checks"` // programs that tell whether a server is fit to run it
	MediaServer *clusterconf.MediaServer `json:"mediaServer"`
	Gateways    []string                 `json:"gateways"`
	Prompts     *string                  `json:"prompts"`     // folder of the announcement prompts
	Rehearsable bool                     `json:"rehearsable"` // its software may be started in a rehearsal
}

// newLIMListCommand returns `lim list`.
func newLIMListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:         "list",
		Short:       "List all LIMs of the system",
		Long:        "Lim list shows every LIM with its regular server and software.",
		Example:     "  mxcluster lim list\n  mxcluster lim list -o json",
		Annotations: exits(fault.NotPermitted, fault.Invalid),
		Args:        arguments(),
		RunE:        func(*cobra.Command, []string) error { return runLIMList(a, 0) },
	}
}

// newLIMShowCommand returns `lim show`.
func newLIMShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:         "show N",
		Short:       "Show one LIM",
		Long:        "Lim show shows LIM N with its regular server, software, media server and\ngateways; -o wide and -o json have them all.",
		Example:     "  mxcluster lim show 1 -o wide",
		Annotations: exits(fault.NotFound, fault.NotPermitted, fault.Invalid),
		Args:        arguments("N"),
		RunE: func(_ *cobra.Command, args []string) error {
			lim, err := parseLIM(args[0])
			if err != nil {
				return err
			}
			return runLIMList(a, lim)
		},
	}
}

// runLIMList shows all LIMs for 0.
func runLIMList(a *app, only int) error {
	s, err := a.server()
	if err != nil {
		return err
	}
	doc, err := s.read()
	if err != nil {
		return err
	}
	list := newLIMList(doc)
	if only != 0 {
		list.LIMs = slices.DeleteFunc(list.LIMs, func(l limEntry) bool { return l.LIM != only })
		if len(list.LIMs) == 0 {
			return fmt.Errorf("showing a LIM: %w", s.knowsLIM(only))
		}
	}
	return a.out.Show(list.view())
}

// newLIMList takes LIMs from the servers that have them: one without software of
// its own has no entry in the document.
func newLIMList(doc *clusterconf.Document) limList {
	list := limList{APIVersion: clusterconf.APIVersion, Kind: "LIMList", Revision: doc.Revision, LIMs: []limEntry{}}
	for _, s := range doc.Servers {
		if s.LIM == 0 {
			continue
		}
		e := limEntry{LIM: s.LIM, Regular: s.Name, Services: []clusterconf.Service{}, Checks: []string{}, Gateways: []string{}}
		if l := doc.LIM(s.LIM); l != nil {
			e.Services, e.Checks, e.Gateways = append(e.Services, l.Services...), append(e.Checks, l.Checks...), append(e.Gateways, l.Gateways...)
			e.MediaServer, e.Rehearsable = l.MediaServer, l.Rehearsable
			if l.Prompts != "" {
				e.Prompts = &l.Prompts
			}
		}
		if c := doc.ClusterOfLIM(s.LIM); c != nil {
			alias := c.Member(s.LIM).Alias.String()
			e.Cluster, e.Alias = &c.Name, &alias
		}
		list.LIMs = append(list.LIMs, e)
	}
	slices.SortFunc(list.LIMs, func(a, b limEntry) int { return a.LIM - b.LIM })
	return list
}

func (l limList) view() ui.View {
	v := ui.View{
		Object: l,
		Columns: []ui.Column{{Head: "LIM", Right: true}, {Head: "REGULAR"}, {Head: "ALIAS"}, {Head: "CLUSTER"}, {Head: "SERVICES"},
			{Head: "MEDIA-SERVER", Wide: true}, {Head: "GATEWAYS", Wide: true}, {Head: "PROMPTS", Wide: true}, {Head: "CHECKS", Wide: true}, {Head: "REHEARSABLE", Wide: true}},
		Empty: "there is no LIM yet; 'mxcluster server add' takes one with --lim",
	}
	for _, e := range l.LIMs {
		var services []string
		for _, s := range e.Services {
			text := s.Run
			if s.RegularOnly {
				text = fmt.Sprintf("%s (regular only)", text)
			}
			services = append(services, text)
		}
		number := strconv.Itoa(e.LIM)
		v.Rows = append(v.Rows, []string{number, e.Regular, orEmpty(e.Alias), orEmpty(e.Cluster), strings.Join(services, " "),
			mediaServerWords(e.MediaServer), strings.Join(e.Gateways, " "), orEmpty(e.Prompts), strings.Join(e.Checks, " "), yesNo(e.Rehearsable)})
		v.Names = append(v.Names, number)
	}
	return v
}

// mediaServerWords says where the media server is.
func mediaServerWords(m *clusterconf.MediaServer) string {
	if m == nil {
		return ""
	}
	return fmt.Sprintf("%s, media %s, control %s", m.Kind, m.Media, m.Control)
}
