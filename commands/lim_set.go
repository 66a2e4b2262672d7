package commands

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
)

type limSetOptions struct {
	change
	services       []clusterconf.Service
	checks         []string
	mediaServer    string
	media, control string
	gateways       []string
	prompts        string
	rehearsable    bool
	given          func(flag string) bool
}

// newLIMSetCommand returns `lim set`.
func newLIMSetCommand(a *app) *cobra.Command {
	var o limSetOptions
	c := &cobra.Command{
		Use:   "set N",
		Short: "Set the software, checks, media server, gateways and prompts of a LIM",
		Long: `Lim set replaces what it is given of LIM N, and leaves the rest as it is.

The services make up the LIM. They are started in the order given and stopped in
reverse. A SPEC is systemd:UNIT, ocf:PROVIDER:AGENT[,KEY=VALUE]... or exec:PATH, a
program that is called with start, stop, status (0 running, 3 stopped, other
failed) and reload. {lim} and {alias} in it are filled in. The value of a parameter may
be file:/PATH, a file with the value alone that only root may read: everybody may read
the cluster document.

Where the LIM is up the agents carry a change out at once: what was removed is stopped
in reverse, what was added is started, the rest goes on. What does not start is told by
the alarm not-redundant and in 'mxcluster status', and tried again; the LIM stays where
it is as long as something of its software runs. A unit of Type=oneshot without
RemainAfterExit=yes is refused: it would count as stopped at once.

A check is exec:PATH, a program that is run without arguments every 5 s on both servers,
and tells by exit status 0 that the server is fit to run the LIM: that its disk has room,
its trunk is up. It starts and stops nothing by itself. After three failures in a row the
server is unfit, after two successes fit again. An unfit server takes the LIM over from
nobody; where the LIM runs on one, it moves to the other side as in a planned move, if
that one is fit and ready, and stays otherwise; 'mxcluster status' and the alarm unfit
say so. A check that does not end within the limit of a health check has failed. It
learns of the LIM as services do; --check '' takes all checks off.

The media server is co-located with the LIM, so that its addresses are the LIM's
own, stand-alone on a machine of its own, or none. The gateways are the media
gateways that go with the LIM; --gateway '' takes all of them off. The software is told
of both, on whichever server it runs, in MXCLUSTER_GATEWAYS, MXCLUSTER_MEDIA_SERVER (its
kind), MXCLUSTER_MEDIA_ADDRESS and MXCLUSTER_CONTROL_ADDRESS.

Where voice announcements are used, their prompts must be on the standby, too. The
agent of the standby looks for them in the folder of --prompts, and raises the alarm
prompts-missing when that is not there or empty; --prompts '' ends that.

--rehearsable says that the software may be started on the standby in a rehearsal while
it serves on its own server: it runs apart then, on a copy of its data, but what it does
beside the network and its data is its own. --rehearsable=false takes that back.`,
		Example: `  mxcluster lim set 1 --service exec:/opt/lim/service
  mxcluster lim set 1 --service exec:/opt/lim/service --regular-only-service exec:/opt/manager/service
  mxcluster lim set 1 --check exec:/opt/lim/trunk-up
  mxcluster lim set 1 --media-server standalone --media-address 10.0.1.5 --control-address 10.0.0.5
  mxcluster lim set 1 --gateway mgw1 --gateway mgw2`,
		Annotations: exits(editCodes()...),
		Args:        arguments("N"),
		RunE: func(c *cobra.Command, args []string) error {
			o.given = c.Flags().Changed
			return runLIMSet(c.Context(), a, args[0], o)
		},
	}
	f := c.Flags()
	// Both flags add to one list: services start in the given order.
	f.Var(&serviceValue{list: &o.services}, "service", "`SPEC` of a service")
	f.Var(&serviceValue{list: &o.services, regularOnly: true}, "regular-only-service", "`SPEC` of a service that is not started on the standby")
	f.StringArrayVar(&o.checks, "check", nil, "`SPEC`, as exec:PATH, of a program that tells whether a server is fit to run the LIM; may be repeated")
	f.StringVar(&o.mediaServer, "media-server", "", "`kind` of media server: none, colocated or standalone")
	f.StringVar(&o.media, "media-address", "", "`address` of the media server's media interface")
	f.StringVar(&o.control, "control-address", "", "`address` of the media server's control interface")
	f.StringArrayVar(&o.gateways, "gateway", nil, "`ID` of a media gateway that goes with the LIM; may be repeated")
	f.StringVar(&o.prompts, "prompts", "", "`folder` of the announcement prompts, on both servers")
	f.BoolVar(&o.rehearsable, "rehearsable", false, "the software may be started in a rehearsal, while it serves elsewhere")
	o.addEditFlags(f)
	return c
}

// serviceValue appends a service for each use of the flag.
type serviceValue struct {
	list        *[]clusterconf.Service
	regularOnly bool
}

var _ pflag.Value = (*serviceValue)(nil)

func (v *serviceValue) String() string { return "" }
func (v *serviceValue) Type() string   { return "SPEC" }
func (v *serviceValue) repeatable()    {}

// Set accepts any text: package clusterconf checks SPECs.
func (v *serviceValue) Set(text string) error {
	*v.list = append(*v.list, clusterconf.Service{Run: text, RegularOnly: v.regularOnly})
	return nil
}

// runLIMSet replaces whole lists: if it added to them, a script could not be repeated.
func runLIMSet(ctx context.Context, a *app, arg string, o limSetOptions) error {
	lim, err := parseLIM(arg)
	if err != nil {
		return err
	}
	apply, err := o.apply(lim)
	if err != nil {
		return doing(err, "setting LIM %d", lim)
	}
	s, err := a.server()
	if err != nil {
		return err
	}
	what := fmt.Sprintf("LIM %d", lim)
	missing, err := s.lookAtServices(ctx, lim, o.services)
	if err != nil {
		return doing(err, "setting LIM %d", lim)
	}
	err = s.perform(ctx, edit{
		change: o.change, command: fmt.Sprintf("lim set %d", lim), doing: "setting " + what,
		done: what + " is set", would: what + " would be set", already: what + " is set so already",
		apply: apply,
	})
	if err != nil {
		return err
	}
	for _, text := range append(missing, exposedSecrets(o.services)...) {
		a.out.Warn("%s", text)
	}
	return nil
}

// exposedSecrets returns the parameters that are secrets and readable by every user.
func exposedSecrets(list []clusterconf.Service) []string {
	var out []string
	for _, s := range list {
		for _, key := range s.Exposed() {
			out = append(out, fmt.Sprintf("every user of a server may read %s of %s; write the value into a file of root's with mode 600, on both servers, and give %s=file:/PATH", key, strings.Split(s.Run, ",")[0], key))
		}
	}
	return out
}

// apply returns the edit that the flags ask for.
func (o *limSetOptions) apply(lim int) (func(*clusterconf.Document) error, error) {
	var steps []func(*clusterconf.Document) error
	if len(o.services) > 0 {
		steps = append(steps, func(d *clusterconf.Document) error { return d.SetServices(lim, o.services) })
	}
	if o.given("check") {
		list := slices.DeleteFunc(slices.Clone(o.checks), func(text string) bool { return text == "" })
		steps = append(steps, func(d *clusterconf.Document) error { return d.SetChecks(lim, list) })
	}
	switch {
	case o.given("media-server"):
		m, err := o.parseMediaServer()
		if err != nil {
			return nil, err
		}
		steps = append(steps, func(d *clusterconf.Document) error { return d.SetMediaServer(lim, m) })
	case o.given("media-address"), o.given("control-address"):
		return nil, fault.New(fault.Usage, "give --media-server colocated or standalone too", "an address of a media server without its kind")
	}
	if o.given("gateway") {
		ids := slices.DeleteFunc(slices.Clone(o.gateways), func(id string) bool { return id == "" })
		steps = append(steps, func(d *clusterconf.Document) error { return d.SetGateways(lim, ids) })
	}
	if o.given("prompts") {
		steps = append(steps, func(d *clusterconf.Document) error { return d.SetPrompts(lim, o.prompts) })
	}
	if o.given("rehearsable") {
		steps = append(steps, func(d *clusterconf.Document) error { return d.SetRehearsable(lim, o.rehearsable) })
	}
	if len(steps) == 0 {
		return nil, fault.New(fault.Usage, "give --service, --regular-only-service, --check, --media-server, --gateway, --prompts or --rehearsable", "nothing to set")
	}
	return func(d *clusterconf.Document) error {
		for _, step := range steps {
			if err := step(d); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

func (o *limSetOptions) parseMediaServer() (m clusterconf.MediaServer, err error) {
	m.Kind = clusterconf.MediaServerKind(o.mediaServer)
	for _, a := range []struct {
		flag, text string
		addr       *netip.Addr
	}{{"media-address", o.media, &m.Media}, {"control-address", o.control, &m.Control}} {
		if a.text == "" {
			continue
		}
		if *a.addr, err = netip.ParseAddr(a.text); err != nil {
			return m, fault.New(fault.Usage, "write it as A.B.C.D", "--%s: %q is not an address", a.flag, a.text)
		}
	}
	return m, nil
}
