package commands

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/netops"
)

// newAliasDenyCommand returns `alias deny`.
func newAliasDenyCommand(a *app) *cobra.Command {
	var off, dryRun bool
	c := &cobra.Command{
		Use:   "deny",
		Short: "Keep all aliases that this server does not have off the wire",
		Long: `Alias deny has this server's kernel keep the aliases of all LIMs off the wire of
all its interfaces, those included that come later: whatever brings one of them up,
such as an old network file, nobody is answered. What this server sends to whoever
has an alias passes. The virtual address of the management system is treated as an
alias. An alias that is here and not denied is left as it is: it
serves.

It is run at the boot, before the network comes up, by mxcluster-deny.service; then
the agent keeps the denials. 'alias up' takes that of its LIM off, and so does an agent
that takes the alias. With --off all are taken off, as before the program is removed.`,
		Example:     "  mxcluster alias deny\n  mxcluster alias deny --off",
		Annotations: exits(fault.Refused, fault.NotPermitted, fault.Invalid),
		Args:        arguments(),
		RunE:        func(*cobra.Command, []string) error { return runAliasDeny(a, off, dryRun) },
	}
	a.addReason(c.Flags())
	c.Flags().BoolVar(&off, "off", false, "take all denials off")
	c.Flags().BoolVarP(&dryRun, "dry-run", "n", false, "say what would change, change nothing")
	return c
}

func runAliasDeny(a *app, off, dryRun bool) error {
	k, err := a.env.Kernel()
	if err != nil {
		return err
	}
	defer k.Close()
	denied, err := k.Denied()
	if err != nil {
		return err
	}
	if off {
		r := result{Changed: len(denied) > 0, DryRun: dryRun, Text: "no alias is denied any more"}
		if dryRun {
			r.Text = fmt.Sprintf("the denials of %s would be taken off", orNothing(denied))
			return a.done(r)
		}
		if err := k.AllowAll(); err != nil { // what is damaged goes, too
			return err
		}
		return a.done(r)
	}
	s, err := a.server()
	if err != nil {
		return err
	}
	doc, err := s.store.Usable()
	if err != nil {
		return err
	}
	here, err := k.Addresses("")
	if err != nil {
		return err
	}
	deny, serve := splitDenied(doc, here, denied)
	for _, addr := range serve {
		a.out.Warn("%s is on this server and not denied; it is left so", addr)
	}
	missing := slices.DeleteFunc(slices.Clone(deny), func(x netip.Addr) bool { return slices.Contains(denied, x) })
	r := result{Changed: len(missing) > 0, DryRun: dryRun, Text: "denied: " + orNothing(deny)}
	if dryRun {
		r.Text = "would be denied besides: " + orNothing(missing)
		return a.done(r)
	}
	if len(deny) > 0 {
		if err := k.Deny(deny...); err != nil {
			return err
		}
	}
	return a.done(r)
}

// splitDenied sorts the aliases of a system into those that are denied on this server, or
// are to be, and those that serve here.
func splitDenied(doc *clusterconf.Document, here []netops.Address, denied []netip.Addr) (deny, serve []netip.Addr) {
	sort := func(addr netip.Addr) {
		present := slices.ContainsFunc(here, func(x netops.Address) bool { return x.Prefix.Addr() == addr })
		if present && !slices.Contains(denied, addr) {
			serve = append(serve, addr)
		} else {
			deny = append(deny, addr)
		}
	}
	for _, c := range doc.Clusters {
		for _, m := range c.LIMs {
			sort(m.Alias.Addr())
		}
	}
	if doc.Management != nil {
		sort(doc.Management.Address.Addr())
	}
	return deny, serve
}

func orNothing(addrs []netip.Addr) string {
	if len(addrs) == 0 {
		return "no alias"
	}
	var all []string
	for _, x := range addrs {
		all = append(all, x.String())
	}
	return strings.Join(all, ", ")
}
