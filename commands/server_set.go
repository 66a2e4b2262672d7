package commands

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"mxcluster/clusterconf"
)

type serverSetOptions struct {
	change
	ifname, base string
}

// newServerSetCommand returns `server set`.
func newServerSetCommand(a *app) *cobra.Command {
	var o serverSetOptions
	c := &cobra.Command{
		Use:   "set SRV",
		Short: "Change the base address or the interface of a server",
		Long: `Server set changes where a server is reached: of any server the name of its
interface, of one in no cluster its base address, too.

With agents running, the server adds its new base beside the former one, after
making sure that nobody has it. The former one goes when every server knows the
new one. A server that is not heard takes the change up when its agent starts.

On the server itself, an interface may be given by any of its names; the kernel's
own is stored.`,
		Example:     "  mxcluster server set sb1 --base 10.0.0.19/24 --wait\n  mxcluster server set srv1 --interface br0",
		Annotations: exits(editCodes()...),
		Args:        arguments("SRV"),
		RunE: func(c *cobra.Command, args []string) error {
			return runServerSet(c.Context(), a, args[0], o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.ifname, "interface", "", "network `interface` that has the base from now on, e.g. eth0")
	f.StringVar(&o.base, "base", "", "new base `address`; without a length it has that of the present one")
	o.addEditFlags(f)
	return c
}

func runServerSet(ctx context.Context, a *app, name string, o serverSetOptions) error {
	s, err := a.server()
	if err != nil {
		return err
	}
	if o.ifname != "" && name == s.settings.Server {
		if o.ifname, err = a.env.kernelName(o.ifname); err != nil {
			return doing(err, "changing server %s", name)
		}
	}
	return s.perform(ctx, edit{
		change: o.change, command: "server set " + name, doing: "changing server " + name,
		done: "server " + name + " changed", would: "server " + name + " would be changed", already: "server " + name + " is so already",
		left:  func(after *clusterconf.Document) []string { return s.setLeft(ctx, after.Server(name), o) },
		apply: func(d *clusterconf.Document) error { return d.SetServer(name, o.ifname, o.base) },
	})
}

// setLeft says what a change of a server leaves to do there.
func (s *server) setLeft(ctx context.Context, now *clusterconf.Server, o serverSetOptions) []string {
	switch {
	case o.ifname == "" || now == nil || !s.agent.Running(ctx):
		return nil
	case aliveCheck(ctx, s)(now.Name):
		return []string{fmt.Sprintf("on %s: make sure that the network configuration gives %s to %s, so that a reboot keeps it", now.Name, now.Base, now.Interface)}
	}
	return []string{fmt.Sprintf("%s is not heard, so that it could not be seen whether it has an interface %s", now.Name, now.Interface)}
}
