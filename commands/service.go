package commands

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/services"
	"mxcluster/xdata"
)

// newServiceCommand groups what works on a LIM's software on this server.
func newServiceCommand(a *app) *cobra.Command {
	return newGroup("service", "Start, stop and ask the software of a LIM on this server", `
The software of a LIM is the list of services that 'mxcluster lim set' gave it.
These commands work on this server, agent or not; an agent that runs here puts
the software right again.

A call of a service that takes too long is ended, with all that it started. The
limits are settings of this server, in mxcluster.yaml: services.start_limit (30s, for
start and reload), services.stop_limit (30s) and services.check_limit (10s). A health
check is made every services.check_interval (5s); software that fails is started anew
services.restarts times (3) before the LIM counts as failed here. What an exec: service
leaves running when it is stopped is ended, too.

Where systemd is process 1, it runs the programs of exec: and ocf: services, for root:
what they start is in units of the slice mxcluster-limN.slice, for which 'systemctl
set-property' sets limits of memory and processors. Other settings for all of them, such
as LimitNOFILE=, go into a file /etc/systemd/system/mxcluster-limN-.service.d/NAME.conf.
'systemctl status mxcluster-limN.slice' shows what runs.

Programs that other users than root and who runs the command may change, by the mode of
the file or of a folder on the way, are not run. --force passes over it.`, `
  mxcluster service status 1
  mxcluster service stop 1`,
		newServiceStartCommand(a), newServiceStopCommand(a), newServiceStatusCommand(a))
}

// newServiceStartCommand returns `service start`.
func newServiceStartCommand(a *app) *cobra.Command {
	return newServiceChange(a, "start N", "Start the software of a LIM on this server", `
Service start starts the services of LIM N on this server, in order. One that
runs is left as it is. When one fails, those started before it are stopped again.
The alias is not touched: see 'mxcluster alias up'. What the agent here knows to be
active on the other server is not started a second time, but for a preloaded
cluster's.`, serviceChange{
		want: services.Running, doing: "starting", done: "runs", would: "would be started",
		call: services.Set.Start,
	})
}

// newServiceStopCommand returns `service stop`.
func newServiceStopCommand(a *app) *cobra.Command {
	return newServiceChange(a, "stop N", "Stop the software of a LIM on this server", `
Service stop stops the services of LIM N on this server, in reverse order. It goes
on after a failure, and tells all of them.`, serviceChange{
		want: services.Stopped, doing: "stopping", done: "is stopped", would: "would be stopped",
		call: services.Set.Stop,
	})
}

const forceHelp = "run programs, and go by settings, that other users may change"

// serviceChange is what start and stop differ in.
type serviceChange struct {
	want               services.State
	doing, done, would string
	call               func(services.Set, context.Context, services.Env) error
}

func newServiceChange(a *app, use, short, long string, change serviceChange) *cobra.Command {
	var dryRun, force bool
	c := &cobra.Command{
		Use: use, Short: short, Long: long[1:], Example: "  mxcluster service " + use[:len(use)-1] + "1",
		Annotations: exits(fault.Refused, fault.NotFound, fault.Unreachable, fault.NotPermitted, fault.Invalid),
		Args:        arguments("N"),
		RunE: func(c *cobra.Command, args []string) error {
			return runServiceChange(c.Context(), a, args[0], change, dryRun, force)
		},
	}
	a.addReason(c.Flags())
	c.Flags().BoolVarP(&dryRun, "dry-run", "n", false, "say what would change, change nothing")
	c.Flags().BoolVar(&force, "force", false, forceHelp)
	return c
}

func runServiceChange(ctx context.Context, a *app, arg string, change serviceChange, dryRun, force bool) error {
	lim, err := parseLIM(arg)
	if err != nil {
		return err
	}
	doing := fmt.Sprintf("%s the software of LIM %d", change.doing, lim)
	s, err := a.software(lim, force)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if len(s.set) == 0 {
		return fault.New(fault.Refused, fmt.Sprintf("name it: mxcluster lim set %d --service SPEC", lim), "%s: LIM %d has no software on %s", doing, lim, s.env.Server)
	}
	r := result{Changed: !s.all(ctx, change.want), DryRun: dryRun}
	what, elsewhere := fmt.Sprintf("the software of LIM %d ", lim), ""
	if r.Changed && change.want == services.Running {
		elsewhere = a.activeElsewhere(ctx, s)
	}
	switch {
	case !r.Changed:
		r.Text = what + change.done + " already"
	case elsewhere != "":
		return fault.New(fault.Refused, s.moveHere(), "%s: LIM %d is active on %s, and would run twice", doing, lim, elsewhere)
	case dryRun:
		r.Text = what + change.would
	default:
		if err := change.call(s.set, ctx, s.env); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		r.Text = what + change.done
		if change.want == services.Running {
			a.noteStart(s, lim)
		}
		a.warnOfAgent(ctx, lim, "starts and stops its software as it sees fit")
	}
	return a.done(r)
}

// noteStart remembers on which data version a LIM was started: what is backed up here next
// follows that.
func (a *app) noteStart(s *softwareHere, lim int) {
	if s.env.XData == "" || s.env.Role != "active" {
		return
	}
	if err := s.versions.Started(lim, filepath.Base(s.env.XData)); err != nil {
		a.out.Warn("the software runs, but which data version it was started on is not remembered: %v", err)
	}
}

// softwareHere is the software of a LIM on this server.
type softwareHere struct {
	lim *clusterconf.LIM
	set services.Set
	env services.Env

	versions  *xdata.Store
	preloaded bool // it may be loaded on both sides
	standby   bool // this is the standby
}

// moveHere is the command that has a LIM run on this server.
func (s *softwareHere) moveHere() string {
	if s.standby {
		return fmt.Sprintf("to move it here: mxcluster failover %d", s.lim.Number)
	}
	return fmt.Sprintf("to move it here: mxcluster fallback %d", s.lim.Number)
}

// activeElsewhere names the other server where a LIM is active, as far as the agent here knows
// it; "": none, or both may have its software loaded.
func (a *app) activeElsewhere(ctx context.Context, s *softwareHere) string {
	if s.preloaded {
		return ""
	}
	client, err := a.agent()
	if err != nil {
		return ""
	}
	st, err := client.Status(ctx)
	if err != nil {
		return ""
	}
	if l := st.LIM(s.lim.Number); l != nil && l.ActiveOn != nil && *l.ActiveOn != s.env.Server {
		return *l.ActiveOn
	}
	return ""
}

// software finds a LIM's software on this server, which must be one of the two
// that may run it.
func (a *app) software(lim int, force bool) (*softwareHere, error) {
	s, err := a.serverBy(force)
	if err != nil {
		return nil, err
	}
	doc, err := s.read()
	if err != nil {
		return nil, err
	}
	me, regular, cluster := doc.Server(s.settings.Server), doc.RegularOf(lim), doc.ClusterOfLIM(lim)
	switch {
	case regular == nil:
		return nil, fault.New(fault.NotFound, "mxcluster lim list", "there is no LIM %d", lim)
	case me == nil:
		return nil, fault.New(fault.NotFound, "set 'server' in "+s.dirs.Settings()+"; 'mxcluster server list' shows the names",
			"the system has no server %q", s.settings.Server)
	case me.Name != regular.Name && (cluster == nil || cluster.Standby != me.Name):
		return nil, fault.New(fault.Refused, "run it on "+regular.Name, "%s is neither the regular server nor the standby of LIM %d", me.Name, lim)
	}
	here := &softwareHere{lim: &clusterconf.LIM{Number: lim}, env: services.Env{LIM: lim, Alias: regular.Base.Addr(), Server: me.Name, Role: "active", Tell: func(text string) { a.out.Warn("%s", text) }}}
	if cluster != nil {
		here.env.Alias = cluster.Member(lim).Alias.Addr()
		here.env.Role = a.role(me.Interface, here.env)
		here.preloaded, here.standby = cluster.Failover == clusterconf.FailoverPreloaded, cluster.Standby == me.Name
	}
	here.versions = s.versions()
	if here.env.XData, err = a.newestData(here.versions, lim); err != nil {
		return nil, err
	}
	side := clusterconf.SideRegular
	if me.Standby {
		side = clusterconf.SideStandby
	}
	if entry := doc.LIM(lim); entry != nil {
		here.lim = entry
		here.env.Gateways, here.env.Media = entry.Gateways, entry.MediaServer
	}
	here.set, err = services.ForLIM(here.lim, side, services.Options{Instance: s.dirs.State, RunDir: s.dirs.Run, Untrusted: force, OwnUser: a.env.OwnUser,
		StartTimeout: s.settings.ServiceStartLimit, StopTimeout: s.settings.ServiceStopLimit, CheckTimeout: s.settings.ServiceCheckLimit})
	return here, err
}

// newestData is the folder of a LIM's newest complete version here, "" without any. Damaged
// ones that are newer are told.
func (a *app) newestData(store *xdata.Store, lim int) (string, error) {
	versions, err := store.List(lim)
	if err != nil {
		return "", err
	}
	for _, v := range versions {
		if v.Complete {
			return v.Path, nil
		}
		if v.Damage != "" {
			a.out.Warn("version %s is passed over, for it is damaged: %s", v.Name, v.Damage)
		}
	}
	return "", nil
}

// role is passive where the alias is kept off the wire (spec ch. 4).
func (a *app) role(ifname string, env services.Env) string {
	k, err := a.env.Kernel()
	if err != nil {
		return env.Role
	}
	defer k.Close()
	blocked, err := k.Blocked(ifname)
	if err != nil {
		return env.Role
	}
	for _, addr := range blocked {
		if addr == env.Alias {
			return "passive"
		}
	}
	return env.Role
}

// all reports whether every service is in a state.
func (s *softwareHere) all(ctx context.Context, want services.State) bool {
	for _, service := range s.set {
		if state, err := service.Check(ctx, s.env); state != want || err != nil {
			return false
		}
	}
	return true
}
