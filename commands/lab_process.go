package commands

import (
	"github.com/spf13/cobra"

	"mxcluster/internal/lab"
)

// The processes of a lab run this program, too. These commands are not for users.

func newLabHostCommand(a *app) *cobra.Command {
	var o labUpOptions
	var manager bool
	c := &cobra.Command{
		Use:         "host",
		Short:       "Be the machine on which a lab runs",
		Long:        "Lab host is the first process of a lab's namespaces. With --lims it runs a lab that\nstays up, else the demonstration.",
		Hidden:      true,
		Annotations: exits(),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			host := lab.Host{Dir: o.dir, Err: asFile(a.env.Stderr)}
			if manager {
				return host.Run(c.Context(), lab.ManagementScenario(a.stdout, a.globals.quiet))
			}
			if !c.Flags().Changed("lims") {
				return host.Run(c.Context(), lab.DemoScenario(a.stdout, a.globals.quiet))
			}
			up, err := o.options(true)
			if err != nil {
				return err
			}
			host.KeepProgram = true
			return host.Run(c.Context(), lab.PlayScenario(a.stdout, up))
		},
	}
	c.Flags().BoolVar(&manager, "manager", false, "show the redundancy of the management system")
	o.addFlags(c.Flags())
	return c
}

func newLabServerCommand(*app) *cobra.Command {
	var o labOptions
	c := &cobra.Command{
		Use:         "server SRV",
		Short:       "Be a server of a lab",
		Long:        "Lab server is the first process of a server's namespaces.",
		Hidden:      true,
		Annotations: exits(),
		Args:        arguments("SRV"),
		RunE: func(c *cobra.Command, args []string) error {
			return lab.RunServer(c.Context(), o.dir, args[0])
		},
	}
	o.addFlags(c.Flags())
	return c
}

func newLabExchangeCommand(a *app) *cobra.Command {
	var o labOptions
	c := &cobra.Command{
		Use:         "exchange",
		Short:       "Be the software of a LIM in a lab",
		Long:        "Lab exchange is the daemon behind the service that the LIMs of a lab have.",
		Hidden:      true,
		Annotations: exits(),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			return lab.NewExchange(o.dir, a.env.lookup, asFile(a.env.Stdout)).Run(c.Context())
		},
	}
	o.addFlags(c.Flags())
	return c
}
