package commands

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
)

type limSetOptions struct {
	change
	services []clusterconf.Service
}

// newLIMSetCommand returns `lim set`.
func newLIMSetCommand(a *app) *cobra.Command {
	var o limSetOptions
	c := &cobra.Command{
		Use:   "set N",
		Short: "Set the software of a LIM",
		Long: `Lim set replaces the list of services that make up LIM N. They are started in the
order given and stopped in reverse. A SPEC is systemd:UNIT,
ocf:PROVIDER:AGENT[,KEY=VALUE]... or exec:PATH, a program that is called with
start, stop, status (0 running, 3 stopped, other failed) and reload. Of these
this build runs exec: alone; the others it only keeps in the document.`,
		Example: `  mxcluster lim set 1 --service exec:/opt/lim/service
  mxcluster lim set 1 --service exec:/opt/lim/service --regular-only-service exec:/opt/manager/service`,
		Annotations: exits(fault.Refused, fault.NotFound, fault.Busy, fault.NotPermitted, fault.Invalid),
		Args:        arguments("N"),
		RunE: func(c *cobra.Command, args []string) error {
			return runLIMSet(c.Context(), a, args[0], o)
		},
	}
	// Both flags add to one list: services start in the order given.
	c.Flags().Var(&serviceValue{list: &o.services}, "service", "`SPEC` of a service")
	c.Flags().Var(&serviceValue{list: &o.services, regularOnly: true}, "regular-only-service", "`SPEC` of a service that is not started on the standby")
	o.addFlags(c.Flags())
	o.addForce(c.Flags())
	return c
}

// serviceValue appends a service for each time the flag is given.
type serviceValue struct {
	list        *[]clusterconf.Service
	regularOnly bool
}

var _ pflag.Value = (*serviceValue)(nil)

func (v *serviceValue) String() string { return "" }
func (v *serviceValue) Type() string   { return "SPEC" }

// Set takes any text: package clusterconf knows what a SPEC is.
func (v *serviceValue) Set(text string) error {
	*v.list = append(*v.list, clusterconf.Service{Run: text, RegularOnly: v.regularOnly})
	return nil
}

// runLIMSet replaces the whole list: adding to it would depend on what was there,
// and a script could not be repeated.
func runLIMSet(ctx context.Context, a *app, arg string, o limSetOptions) error {
	lim, err := parseLIM(arg)
	if err != nil {
		return err
	}
	if len(o.services) == 0 {
		return fault.New(fault.Usage, "give --service SPEC or --regular-only-service SPEC", "setting LIM %d: nothing to set", lim)
	}
	s, err := a.server()
	if err != nil {
		return err
	}
	e := edit{
		change: o.change, command: fmt.Sprintf("lim set %d", lim),
		apply: func(d *clusterconf.Document) error { return d.SetServices(lim, o.services) },
	}
	out, err := a.edit(ctx, s, e)
	if err != nil {
		return doing(err, "setting LIM %d", lim)
	}
	for _, v := range o.services {
		if !strings.HasPrefix(v.Run, "exec:") {
			a.out.Warn("this build does not run %s: wrap it in a script and use exec:PATH", v.Run)
		}
	}
	what := fmt.Sprintf("the software of LIM %d", lim)
	return a.tell(out, e, what+" is set", what+" would be set", what+" is set so already")
}
