package commands

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mxcluster/internal/fault"
	"mxcluster/internal/lab"
)

func newLabCommand(a *app) *cobra.Command {
	c := newGroup("lab", "Try a whole cluster on this one machine", `
The lab is a cluster in network namespaces: servers, a switch and a client, with
real agents as real processes. It needs no other program, touches nothing of this
machine's network, and leaves nothing behind. Root runs it, and so does any user
where the kernel allows user namespaces. 'lab demo' shows a failure and ends by
itself; 'lab up' leaves a cluster to try things on.`, `
  mxcluster lab demo
  mxcluster lab up
  mxcluster lab exec srv1 -- mxcluster status
  mxcluster lab fail srv1 --how power
  mxcluster lab down`,
		newLabDemoCommand(a), newLabUpCommand(a), newLabStatusCommand(a), newLabExecCommand(a), newLabFailCommand(a), newLabHealCommand(a), newLabDownCommand(a),
		newLabKeepCommand(a), newLabHostCommand(a), newLabServerCommand(a), newLabExchangeCommand(a))
	for _, sub := range c.Commands() {
		asRoot(sub) // it has folders of its own
	}
	return c
}

// labOptions are options of every process of a lab.
type labOptions struct{ dir string }

func (o *labOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.dir, "lab", lab.DefaultDir(), "lab `folder`")
}

func newLabDemoCommand(a *app) *cobra.Command {
	var o labOptions
	var manager bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Watch a failover and a fallback, with measurements",
		Long: `Lab demo makes a cluster of two LIMs and a standby with the commands that
an administrator would use, calls a LIM every few milliseconds, cuts the power of its
server, and shows the takeover, the repair, the fallback and the synchronisation.
Where kamailio is installed, LIM 1 is a SIP server, too.
It ends with a table of what the client saw, and with 0 if all was as it should be.
It takes less than a minute; Ctrl-C ends it at any time and cleans up.

With --manager it is about the management system: its redundancy is set up on two
PostgreSQL, goes over and comes back with LIM 1, and is taken down again. That runs
as root, and needs Debian's package postgresql.`,
		Example:     "  mxcluster lab demo\n  mxcluster lab demo --quiet\n  mxcluster lab demo --manager",
		Annotations: exits(fault.Refused, fault.Busy, fault.NotPermitted, fault.Interrupted),
		Args:        arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			return lab.Demo(c.Context(), lab.Options{
				Out: a.env.Stdout, Err: a.env.Stderr, Dir: o.dir,
			}, manager, a.globals.quiet)
		},
	}
	c.Flags().BoolVar(&manager, "manager", false, "show the redundancy of the management system")
	o.addFlags(c.Flags())
	return c
}

func newLabExecCommand(a *app) *cobra.Command {
	var o labOptions
	c := &cobra.Command{
		Use:   "exec SRV [--] [CMD [ARG]...]",
		Short: "Run a command on a server of the lab",
		Long: `Lab exec runs a command on a server of the running lab, with this
terminal, and ends with the command's exit code. Without a command it is a shell,
whose prompt names the server; it reads commands where its input is no terminal. On
the servers mxcluster is found and works on the server's own folders.`,
		Example:     "  mxcluster lab exec srv1 -- mxcluster status\n  mxcluster lab exec sb1 -- ip address\n  mxcluster lab exec sb1",
		Annotations: exits(fault.NotFound, fault.Unreachable),
		Args:        labExecArgs,
		RunE: func(c *cobra.Command, args []string) error {
			return runLabExec(c.Context(), a, o, args)
		},
	}
	c.Flags().SetInterspersed(false) // the command's own flags follow SRV
	o.addFlags(c.Flags())
	return c
}

// labExecArgs checks for SRV, after which a command may follow, with or without dashes between them.
func labExecArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 || args[0] == "--" {
		return fault.New(fault.Usage, usageHint(c), "%sargument SRV is missing", about(c))
	}
	if len(args) == 2 && args[1] == "--" { // a script's variable was empty
		return fault.New(fault.Usage, usageHint(c), "%sargument CMD is missing after the dashes", about(c))
	}
	return nil
}

func runLabExec(ctx context.Context, a *app, o labOptions, args []string) error {
	argv := args[1:]
	if len(argv) > 0 && argv[0] == "--" {
		argv = argv[1:] // not empty, see labExecArgs
	}
	streams := lab.Stdio{
		In: asFile(a.env.Stdin), Out: asFile(a.env.Stdout), Err: asFile(a.env.Stderr),
		Terminal: a.env.Terminal(a.env.Stdin) && a.env.Terminal(a.env.Stdout), Env: terminalEnv(a.env.Environ),
	}
	if len(argv) == 0 {
		argv = lab.Shell(args[0], streams.Terminal)
	}
	code, err := lab.Exec(ctx, o.dir, args[0], argv, streams)
	if err != nil || code == 0 {
		return err
	}
	return exitError{fault.Code(code)}
}

// terminalEnv are the variables that say what a terminal can show.
func terminalEnv(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return !slices.Contains([]string{"TERM", "COLORTERM", "NO_COLOR", "LANG", "LC_ALL", "LC_CTYPE"}, name)
	})
}

// asFile returns a stream that can be passed to another process; nil for others.
func asFile(stream any) *os.File {
	f, _ := stream.(*os.File)
	return f
}

// exitError ends this process with the exit code of another one, which has reported its error
// already.
type exitError struct{ code fault.Code }

func (exitError) Error() string { return "command failed" }
