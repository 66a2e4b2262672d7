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

// exitCodeMeanings are the contract's words for the exit codes.
func exitCodeMeanings() map[fault.Code]string {
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
		fmt.Fprintf(w, "\nFLAGS\n%s", usages(c.LocalFlags()))
	}
	if c.Example != "" {
		fmt.Fprintf(w, "\nEXAMPLES\n%s\n", c.Example)
	}
	if c.HasAvailableInheritedFlags() {
		fmt.Fprintf(w, "\nGLOBAL FLAGS\n%s", usages(c.InheritedFlags()))
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

// helpCommands lists the commands of a group, under their headings where it has some; hidden ones
// are left out.
func helpCommands(w io.Writer, c *cobra.Command) {
	if !c.HasAvailableSubCommands() {
		return
	}
	for _, h := range append(c.Groups(), &cobra.Group{Title: "COMMANDS"}) {
		title := "\n" + h.Title + "\n"
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() && sub.GroupID == h.ID {
				fmt.Fprintf(w, "%s  %-14s %s\n", title, sub.Name(), sub.Short)
				title = ""
			}
		}
	}
}

// heading is a part of the list of all commands.
type heading struct{ title, commands string }

// headings are the parts of the list of all commands, in their order.
func headings() []heading {
	return []heading{
		{"LOOK", "list status explain simulate events alarms check"},
		{"CLUSTERS", "create change preload delete freeze unfreeze rehearse"},
		{"LIMS", "lim add-lim remove-lim failover fallback lock unlock"},
		{"SERVERS", "init join server key upgrade"},
		{"DATA", "sync xdata"},
		{"CLUSTER DOCUMENT AND SETTINGS", "config"},
		{"MANAGEMENT SYSTEM", "manager"},
		{"THIS SERVER", "agent alias arp service support-bundle"},
		{"HELP AND TRIALS", "menu lab help completion version"},
	}
}

// addHeadings puts every command under its heading.
func addHeadings(root *cobra.Command) {
	for _, h := range headings() {
		root.AddGroup(&cobra.Group{ID: h.title, Title: h.title})
		for _, name := range strings.Fields(h.commands) {
			if c, _, err := root.Find([]string{name}); err == nil && c != root {
				c.GroupID = h.title
			}
		}
	}
}

// Exit is an exit code and what it means.
type Exit struct {
	Code    fault.Code
	Meaning string
}

// ExitStatus returns the codes that a command may end with, in their order.
func ExitStatus(c *cobra.Command) []Exit {
	words := strings.Fields(c.Annotations[exitStatus])
	texts := exitCodeMeanings()
	var list []Exit
	for _, code := range slices.Sorted(maps.Keys(texts)) {
		if slices.Contains(words, strconv.Itoa(int(code))) {
			list = append(list, Exit{code, texts[code]})
		}
	}
	return list
}

// helpExits explains the exit codes of a command.
func helpExits(w io.Writer, c *cobra.Command) {
	list := ExitStatus(c)
	if len(list) == 0 {
		return
	}
	fmt.Fprint(w, "\nEXIT STATUS\n")
	for _, e := range list {
		fmt.Fprintf(w, "  %3d  %s\n", e.Code, e.Meaning)
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
		ValidArgsFunction: func(c *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
			target, rest, err := c.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return subcommands(target, begun), cobra.ShellCompDirectiveNoFileComp
		},
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
