package commands

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/internal/manager"
	"mxcluster/internal/ui"
	"mxcluster/netops"
)

// managerCheck is the answer of `manager check -o json`.
type managerCheck struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"` // ManagerCheck
	Result     manager.Result    `json:"result"`
	Findings   []manager.Finding `json:"findings"`
}

type managerCheckOptions struct {
	vip             string
	install, dryRun bool
}

// newManagerCheckCommand returns `manager check`.
func newManagerCheckCommand(a *app) *cobra.Command {
	var o managerCheckOptions
	c := &cobra.Command{
		Use:   "check",
		Short: "Check whether the management system can be made redundant",
		Long: `Manager check looks at all that the redundancy of the management system needs: LIM 1
in a cluster, a PostgreSQL on both servers, of one version, no data on the standby that
would be lost, and room there for a copy. With --vip it also looks whether the address
is nobody's: no base, no alias, and answered by no station. It names what stands in the
way, with the remedy, and changes nothing.

Packages that the management system consists of are named by the setting
manager.packages, the same on both servers. With --install, and not without it,
apt-get installs those that are missing on this server, and PostgreSQL of the version
that the other server has, where this one has none; then all is looked at.

The exit code is 0 when nothing stands in the way, 3 when something does, and 8 when
something could not be seen.`,
		Example:     "  mxcluster manager check\n  mxcluster manager check --vip 10.0.0.20\n  mxcluster manager check --install",
		Annotations: exits(fault.Refused, fault.Unknown, fault.NotPermitted, fault.Invalid),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := runManagerCheck(c.Context(), a, o); err != nil {
				return fmt.Errorf("checking the management system: %w", err)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&o.install, "install", false, "install the packages that are missing on this server")
	c.Flags().BoolVarP(&o.dryRun, "dry-run", "n", false, "with --install, say what would be installed, change nothing")
	c.Flags().StringVar(&o.vip, "vip", "", "virtual `address` wanted for the management system, e.g. 10.0.0.20")
	asRoot(c)
	return c
}

func runManagerCheck(ctx context.Context, a *app, o managerCheckOptions) error {
	v, err := a.viewManager(ctx)
	if err == nil && o.install {
		v, err = v.install(ctx, a, o.dryRun)
	}
	if err != nil {
		return err
	}
	q := manager.Question{Pair: v.pair, Sights: v.sights}
	if o.vip != "" {
		if q.Address, err = v.address(ctx, o.vip); err != nil {
			return err
		}
	}
	found := manager.Check(v.doc, q)
	r := managerCheck{APIVersion: clusterconf.APIVersion, Kind: "ManagerCheck", Result: manager.Worst(found), Findings: found}
	view := ui.View{Object: r, Columns: []ui.Column{{Head: "CHECK"}, {Head: "SERVER"}, {Head: "RESULT"}, {Head: "FOUND"}, {Head: "REMEDY"}}}
	for _, f := range found {
		view.Rows = append(view.Rows, []string{f.Check, f.Server, string(f.Result), f.Found, f.Remedy})
		view.Names = append(view.Names, f.Check)
	}
	if err := a.out.Show(view); err != nil {
		return err
	}
	switch i := slices.IndexFunc(found, func(f manager.Finding) bool { return f.Result == r.Result }); r.Result {
	case manager.Refused:
		return fault.New(fault.Refused, found[i].Remedy, "%s: %s", found[i].Check, found[i].Found)
	case manager.Unknown:
		return fault.New(fault.Unknown, found[i].Remedy, "%s: %s", found[i].Check, found[i].Found)
	}
	return nil
}

// install installs what is missing on this server, and looks again.
func (v *managerView) install(ctx context.Context, a *app, dryRun bool) (*managerView, error) {
	role, here := v.pair.RoleOf(v.server.settings.Server)
	if !here {
		return nil, fault.New(fault.Refused, fmt.Sprintf("run it on %s or %s", v.pair.Master.Name, v.pair.Standby.Name), "this is %s, none of the two servers", v.server.settings.Server)
	}
	missing := manager.Missing(v.sights, role)
	switch {
	case len(missing) == 0:
		a.out.Note("no package is missing on %s", v.server.settings.Server)
		return v, nil
	case dryRun:
		a.out.Note("would be installed on %s: %s", v.server.settings.Server, strings.Join(missing, " "))
		return v, nil
	}
	a.out.Note("installing on %s: %s", v.server.settings.Server, strings.Join(missing, " "))
	if err := a.env.Install(ctx, missing); err != nil {
		return nil, err
	}
	return a.viewManager(ctx)
}

// address asks who has the virtual address that is wanted.
func (v *managerView) address(ctx context.Context, text string) (*manager.Address, error) {
	prefix, err := clusterconf.ParseAddress(text, v.pair.Master.Base)
	if err != nil {
		return nil, fault.Wrap(err, fault.CodeOf(err), "", "--vip")
	}
	wanted := &manager.Address{Prefix: prefix}
	role, here := v.pair.RoleOf(v.server.settings.Server)
	if !here {
		wanted.Unasked = "this server is none of the two"
		return wanted, nil
	}
	ifname := v.pair.Server(role).Interface
	if own, err := v.server.env.has(ifname, prefix); err != nil || own {
		if wanted.Answered = "this server"; err != nil {
			wanted.Answered, wanted.Unasked = "", err.Error()
		}
		return wanted, nil
	}
	mac, err := v.server.env.probe(ctx, ifname, prefix.Addr())
	switch {
	case err != nil:
		wanted.Unasked = err.Error()
	case mac != nil:
		wanted.Answered = mac.String()
	}
	return wanted, nil
}

// has tells whether an interface of this server has an address, with whatever prefix length: it
// would not answer a probe of its own.
func (e Env) has(ifname string, p netip.Prefix) (bool, error) {
	k, err := e.Kernel()
	if err != nil {
		return false, err
	}
	defer k.Close()
	all, err := k.Addresses(ifname)
	return slices.ContainsFunc(all, func(o netops.Address) bool { return o.Prefix.Addr() == p.Addr() }), err
}
