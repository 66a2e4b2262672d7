package commands

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/services"
	"mxcluster/internal/ui"
)

// serviceList is the answer of `service status -o json`.
type serviceList struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"` // ServiceList
	LIM        int            `json:"lim"`
	Server     string         `json:"server"`
	State      services.State `json:"state"` // the worst of all
	Services   []serviceEntry `json:"services"`
}

// serviceEntry is one service on this server.
type serviceEntry struct {
	Service string         `json:"service"` // its SPEC
	State   services.State `json:"state"`
	Error   *string        `json:"error"` // of a failed one
}

// newServiceStatusCommand returns `service status`.
func newServiceStatusCommand(a *app) *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "status N",
		Short: "Show the state of a LIM's software on this server",
		Long: `Service status asks each service of LIM N on this server for its state. The exit
code is 0 when all run, 3 when one is stopped, 1 when one has failed, and 5 when who
would tell does not answer.`,
		Example:     "  mxcluster service status 1\n  mxcluster service status 1 -o json",
		Annotations: exits(fault.Refused, fault.NotFound, fault.Unreachable, fault.NotPermitted, fault.Invalid),
		Args:        arguments("N"),
		RunE: func(c *cobra.Command, args []string) error {
			return runServiceStatus(c.Context(), a, args[0], force)
		},
	}
	c.Flags().BoolVar(&force, "force", false, forceHelp)
	return c
}

func runServiceStatus(ctx context.Context, a *app, arg string, force bool) error {
	lim, err := parseLIM(arg)
	if err != nil {
		return err
	}
	s, err := a.software(lim, force)
	if err != nil {
		return fmt.Errorf("asking the software of LIM %d: %w", lim, err)
	}
	list := serviceList{APIVersion: clusterconf.APIVersion, Kind: "ServiceList", LIM: lim, Server: s.env.Server, State: services.Running, Services: []serviceEntry{}}
	for _, service := range s.set {
		state, err := service.Check(ctx, s.env)
		e := serviceEntry{Service: service.String(), State: state}
		if err != nil {
			text := err.Error()
			e.Error = &text
		}
		if order := []services.State{services.Running, services.Unknown, services.Stopped, services.Failed}; slices.Index(order, state) > slices.Index(order, list.State) {
			list.State = state
		}
		list.Services = append(list.Services, e)
	}
	if err := a.out.Show(list.view()); err != nil {
		return err
	}
	switch list.State {
	case services.Stopped:
		if elsewhere := a.activeElsewhere(ctx, s); elsewhere != "" {
			return fault.New(fault.Refused, s.moveHere(), "the software of LIM %d does not run on %s: it is active on %s", lim, s.env.Server, elsewhere)
		}
		return fault.New(fault.Refused, fmt.Sprintf("mxcluster service start %d", lim), "the software of LIM %d does not run on %s", lim, s.env.Server)
	case services.Unknown:
		return fault.New(fault.Unreachable, "", "how the software of LIM %d is on %s cannot be seen", lim, s.env.Server)
	case services.Failed:
		return fault.New(fault.Failed, "", "the software of LIM %d has failed on %s", lim, s.env.Server)
	}
	return nil
}

func (l serviceList) view() ui.View {
	v := ui.View{
		Object:  l,
		Columns: []ui.Column{{Head: "SERVICE"}, {Head: "STATE"}, {Head: "ERROR"}},
		Empty:   fmt.Sprintf("LIM %d has no software on %s; 'mxcluster lim set %d --service SPEC' gives it some", l.LIM, l.Server, l.LIM),
	}
	for _, e := range l.Services {
		v.Rows = append(v.Rows, []string{e.Service, string(e.State), orEmpty(e.Error)})
		v.Names = append(v.Names, e.Service)
	}
	return v
}
