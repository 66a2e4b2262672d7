package commands

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"mxcluster/internal/fault"
)

// exitStatus is the annotation that holds the codes a command may end with.
const exitStatus = "exit-status"

// meanings are the contract's words for the exit codes.
func meanings() map[fault.Code]string {
	return map[fault.Code]string{
		fault.OK:           "done, or already so",
		fault.Failed:       "failed",
		fault.Refused:      "refused: a rule or precondition does not hold; nothing was changed",
		fault.NotFound:     "no such cluster, LIM, server or version",
		fault.Unreachable:  "agent or peer unreachable",
		fault.Busy:         "busy: locked by another, or changed meanwhile; try again",
		fault.Conflict:     "data conflict, or content does not match its hash",
		fault.Unknown:      "outcome unknown, or the wait ran out",
		fault.Usage:        "wrong command line",
		fault.NotPermitted: "not permitted",
		fault.Invalid:      "cluster document or settings invalid",
		fault.Interrupted:  "interrupted",
	}
}

// exits annotates a command with its exit codes. Success, failure and a wrong
// command line are possible everywhere.
func exits(codes ...fault.Code) map[string]string {
	codes = append(codes, fault.OK, fault.Failed, fault.Usage)
	slices.Sort(codes)
	var words []string
	for _, c := range slices.Compact(codes) {
		words = append(words, strconv.Itoa(int(c)))
	}
	return map[string]string{exitStatus: strings.Join(words, " ")}
}

// showHelp writes a command's help: what it does, how it is called, its flags,
// examples, and what its exit codes mean.
func showHelp(c *cobra.Command, _ []string) {
	w := c.OutOrStdout()
	text := c.Long
	if text == "" {
		text = c.Short
	}
	fmt.Fprintf(w, "%s\n\nUSAGE\n  %s\n", text, useLine(c))
	helpCommands(w, c)
	if c.HasAvailableLocalFlags() {
		fmt.Fprintf(w, "\nFLAGS\n%s", c.LocalFlags().FlagUsages())
	}
	if c.HasAvailableInheritedFlags() {
		fmt.Fprintf(w, "\nGLOBAL FLAGS\n%s", c.InheritedFlags().FlagUsages())
	}
	if c.Example != "" {
		fmt.Fprintf(w, "\nEXAMPLES\n%s\n", c.Example)
	}
	helpExits(w, c)
}

// useLine is how a command is called.
func useLine(c *cobra.Command) string {
	if c.HasAvailableSubCommands() {
		return c.CommandPath() + " COMMAND [flags]"
	}
	return c.UseLine()
}

// helpCommands lists the commands of a group; hidden ones are left out.
func helpCommands(w io.Writer, c *cobra.Command) {
	if !c.HasAvailableSubCommands() {
		return
	}
	fmt.Fprint(w, "\nCOMMANDS\n")
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			fmt.Fprintf(w, "  %-12s %s\n", sub.Name(), sub.Short)
		}
	}
}

// helpExits explains the exit codes that a command is annotated with.
func helpExits(w io.Writer, c *cobra.Command) {
	words := strings.Fields(c.Annotations[exitStatus])
	if len(words) == 0 {
		return
	}
	fmt.Fprint(w, "\nEXIT STATUS\n")
	texts := meanings()
	for _, code := range slices.Sorted(maps.Keys(texts)) {
		if slices.Contains(words, strconv.Itoa(int(code))) {
			fmt.Fprintf(w, "  %3d  %s\n", code, texts[code])
		}
	}
}

// newHelpCommand replaces cobra's, which ends with 0 for a command that does
// not exist.
func newHelpCommand() *cobra.Command {
	return &cobra.Command{
		Use:         "help [COMMAND]...",
		Short:       "Show the help of a command",
		Long:        "Help shows what a command does, its flags, examples and exit codes.",
		Example:     "  mxcluster help create",
		Annotations: exits(),
		Args:        cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			target, rest, err := c.Root().Find(args)
			if err != nil || len(rest) > 0 {
				if target == nil {
					target = c.Root()
				}
				return groupArgs(target, rest)
			}
			target.InitDefaultHelpFlag()
			return target.Help()
		},
	}
}
