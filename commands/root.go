package commands

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"mxcluster/internal/fault"
)

// New returns the mxcluster command with all its subcommands. It reads, opens and starts nothing.
func New(env Env) *cobra.Command {
	return newRoot(newApp(env))
}

// Run executes the command line and returns the exit code. Errors go to standard error (contract,
// section 2). It closes standard output.
func Run(ctx context.Context, env Env, args []string) fault.Code {
	a := newApp(env)
	a.stdout.last = true
	return a.run(ctx, args)
}

// run executes one of possibly several command lines.
func (a *app) run(ctx context.Context, args []string) fault.Code {
	defer a.close()
	root := newRoot(a)
	if len(args) == 0 || !strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) { // completion parses one line several times
		singleValues(root)
	}
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	switch err = a.stdout.end(err); {
	case err == nil:
		return fault.OK
	case readerGone(err):
		return fault.Failed // the reader has gone
	}
	var exit exitError
	if errors.As(err, &exit) {
		return exit.code
	}
	// A signal or the time limit is the cause, whatever the error; the error's own remedy would be
	// misleading.
	switch {
	case ctx.Err() != nil:
		err = fault.New(fault.Interrupted, "", "interrupted: %s", interrupted(err))
	case a.expired != nil && a.expired():
		err = fault.New(fault.Unknown, "give it more with --timeout", "gave up after %s: %s", a.globals.timeout, interrupted(err))
	}
	report(a.env.Stderr, err, wantsJSON(a.env, args))
	return fault.CodeOf(err)
}

// interrupted is what an error says was being done when its context ended, without the words for that.
func interrupted(err error) string {
	text := err.Error()
	for _, end := range []error{context.DeadlineExceeded, context.Canceled} {
		text = strings.TrimSuffix(text, ": "+end.Error())
	}
	return text
}

// newRoot returns the command tree. Arguments and flags are checked by this package, so that every
// invalid command line ends with code 64 and a remedy.
func newRoot(a *app) *cobra.Command {
	root := newGroup("mxcluster", "Keep telephone exchange servers reachable when one of them fails", `
A cluster is up to ten regular servers, each running one LIM, and one standby
server. Every regular server has a base address that never moves, and an alias
address that clients use. When a regular server fails, the standby takes its
alias over and starts that LIM's software on data copied to it beforehand.

Commands edit the cluster document, work on this server's addresses and copy
data versions. An agent on every server ('mxcluster agent run') supervises,
fails over and falls back.`, `
  mxcluster init --server srv1 --base 10.0.0.11/24 --interface eth0 --lim 1
  mxcluster status
  mxcluster lab demo`,
		newInitCommand(a), newJoinCommand(a), newServerCommand(a), newLIMCommand(a),
		newListCommand(a), newStatusCommand(a), newCheckCommand(a), newExplainCommand(a), newSimulateCommand(a), newEventsCommand(a), newAlarmsCommand(a), newCreateCommand(a), newChangeCommand(a), newPreloadCommand(a),
		newAddLIMCommand(a), newRemoveLIMCommand(a), newDeleteCommand(a), newFallbackCommand(a), newFailoverCommand(a),
		newLockCommand(a), newUnlockCommand(a), newFreezeCommand(a), newUnfreezeCommand(a), newRehearseCommand(a), newSyncCommand(a), newConfigCommand(a), newKeyCommand(a), newMenuCommand(a),
		newAgentCommand(a), newAliasCommand(a), newARPCommand(a), newServiceCommand(a), newXdataCommand(a),
		newManagerCommand(a), newLabCommand(a), newUpgradeCommand(a), newSupportBundleCommand(a), newVersionCommand(a), newCompletionCommand(a), newManagementProcessCommand(a), newRehearsalProcessCommand(a), newSNMPPassCommand(a),
	)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.DisableDefaultCmd = true
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	root.SetIn(a.env.Stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.env.Stderr)
	root.SetHelpFunc(showHelp)
	root.SetHelpCommand(newHelpCommand())
	root.InitDefaultHelpCmd()
	addHeadings(root)
	root.Version = a.env.Version.Version
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	a.globals.addFlags(root.PersistentFlags())
	root.PersistentPreRunE = a.start
	root.Args, root.RunE = rootArgs, a.runRoot
	completer{a}.wireCompletion(root)
	return root
}
