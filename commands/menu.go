package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"mvdan.cc/sh/v3/syntax"

	"mxcluster/internal/fault"
	"mxcluster/internal/ui"
)

// newMenuCommand returns `menu` (spec ch. 10, "Cluster Handling").
func newMenuCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "menu",
		Short: "Do the actions of cluster handling, guided by questions",
		Long: `Menu offers the twelve actions of "Cluster handling" and asks for what each one
needs. It offers what there is to choose from, and checks every answer as it is
given. Before anything changes it says what would, shows the command that does
it, and asks. 'mxcluster' alone on a terminal does the same.

Ctrl-D ends it, Ctrl-C ends it with exit code 130.`,
		Example:     "  mxcluster menu\n  mxcluster",
		Annotations: exits(fault.NotPermitted, fault.Interrupted),
		Args:        arguments(),
		RunE:        func(c *cobra.Command, _ []string) error { return runMenu(c, a) },
	}
}

// action is one choice of the menu: a command, how its command line comes about,
// and whether it loses something: then no is the answer offered.
type action struct {
	command string
	ask     func(*guide) []string
	loses   bool
}

// actions are those of the specification's menu (ch. 10), in the contract's order.
func actions() []action {
	return []action{
		{"list", (*guide).list, false},
		{"status", (*guide).status, false},
		{"create", (*guide).create, false},
		{"change", (*guide).change, false},
		{"preload", (*guide).preload, true},
		{"add-lim", (*guide).addLIM, false},
		{"remove-lim", (*guide).removeLIM, true},
		{"delete", (*guide).remove, true},
		{"fallback", (*guide).fallback, false},
		{"lock", (*guide).lock, false},
		{"unlock", (*guide).unlock, false},
		{"sync", (*guide).sync, false},
	}
}

// runMenu offers the actions until the user has had enough of them. What an
// action comes to is told where it happens; the menu itself does not fail by it.
func runMenu(c *cobra.Command, a *app) error {
	if !a.ask.Terminal {
		return fault.New(fault.Usage, "run it there, or give the command itself: 'mxcluster --help' lists all",
			"%s asks its questions on a terminal only", c.CommandPath())
	}
	for {
		chosen, err := a.chooseAction(c.Root())
		if err == nil && chosen == nil {
			return nil
		}
		if err == nil {
			err = a.guide(c, chosen)
		}
		switch {
		case errors.Is(c.Context().Err(), context.Canceled):
			return exitError{fault.Interrupted} // told by the command that ran, or of no interest
		case c.Context().Err() != nil:
			return c.Context().Err()
		case errors.Is(err, io.EOF):
			_, err = fmt.Fprintln(a.ask.Out)
			return err
		case err != nil:
			report(a.ask.Out, err, false)
		}
	}
}

// chooseAction shows the menu and returns what is chosen, nil for nothing more.
func (a *app) chooseAction(root *cobra.Command) (*action, error) {
	all := actions()
	var b strings.Builder
	b.WriteString("\nCluster handling\n")
	names := make([]string, len(all))
	for i, x := range all {
		c, _, err := root.Find([]string{x.command})
		if err != nil {
			return nil, err
		}
		names[i] = x.command
		fmt.Fprintf(&b, "  %2d  %-10s  %s\n", i+1, x.command, c.Short)
	}
	b.WriteString("   q  quit\n")
	if _, err := io.WriteString(a.ask.Out, b.String()); err != nil {
		return nil, err
	}
	var chosen *action
	_, err := a.ask.AskUntil("Action", "", func(answer string) error {
		chosen = nil
		if answer == "q" || answer == "quit" {
			return nil
		}
		for i := range all {
			if answer == all[i].command || answer == strconv.Itoa(i+1) {
				chosen = &all[i]
				return nil
			}
		}
		return fault.New(fault.Usage, didYouMean(answer, names, fmt.Sprintf("give a number from 1 to %d, a name, or q", len(all))),
			"there is no action %q", answer)
	})
	return chosen, err
}

// guide asks for what an action needs and carries it out.
func (a *app) guide(c *cobra.Command, chosen *action) error {
	dirs, err := a.dirs()
	if err != nil {
		return err
	}
	store := a.store(dirs)
	doc, err := store.Read()
	if err != nil {
		return err
	}
	g := &guide{ask: &a.ask, store: store, doc: doc, now: a.env.Now()}
	argv := chosen.ask(g)
	if g.err != nil {
		return g.err
	}
	return a.offerCommand(c, append([]string{chosen.command}, argv...), chosen.loses)
}

// offerCommand shows the command line that answers came to, and runs it. One that
// changes something is tried first, and needs a yes: then the command need not
// ask any more.
func (a *app) offerCommand(c *cobra.Command, argv []string, loses bool) error {
	target, _, err := c.Root().Find(argv)
	if err != nil {
		return err
	}
	argv = append(argv, changedGlobals(c)...)
	changes := target.Flags().Lookup("dry-run") != nil
	if changes {
		if code := newApp(a.env).run(c.Context(), append(argv[:len(argv):len(argv)], "--dry-run")); code != fault.OK {
			return nil // the command has told what is wrong
		}
		argv = append(argv, "--yes")
	}
	if _, err := fmt.Fprintf(a.ask.Out, "\n  %s\n\n", ui.Plain(commandLine(c.Root().Name(), argv))); err != nil {
		return err
	}
	if changes {
		g := &guide{ask: &a.ask}
		if !g.yes("Run it", !loses) || g.err != nil {
			return g.err
		}
	}
	newApp(a.env).run(c.Context(), argv) // it tells what it came to
	return nil
}

// changedGlobals are the global flags that the menu was given, for the commands
// that it runs.
func changedGlobals(c *cobra.Command) []string {
	var argv []string
	c.Root().PersistentFlags().VisitAll(func(f *pflag.Flag) {
		if f.Changed && f.Name != "yes" { // the menu asks in any case
			argv = append(argv, "--"+f.Name+"="+f.Value.String())
		}
	})
	return argv
}

// commandLine writes a command line as a shell reads it.
func commandLine(name string, argv []string) string {
	words := []string{name}
	for _, arg := range argv {
		words = append(words, shellWord(arg))
	}
	return strings.Join(words, " ")
}

// shellWord quotes what a shell would not take for one plain word. The library
// would quote every =, which only the first word of a line needs.
func shellWord(text string) string {
	special := func(r rune) bool {
		return r >= utf8.RuneSelf || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_=+:,./@%", r)
	}
	if text != "" && !strings.ContainsFunc(text, special) {
		return text
	}
	quoted, err := syntax.Quote(text, syntax.LangPOSIX)
	if err != nil {
		return strconv.Quote(text) // control characters, which no answer passes with
	}
	return quoted
}

// rootArgs lets the menu in where no command is named.
func rootArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return groupArgs(c, args)
}

// runRoot opens the menu where somebody sits at a terminal; a script that forgot
// the command must not wait for an answer.
func (a *app) runRoot(c *cobra.Command, args []string) error {
	if !a.ask.Terminal {
		return groupArgs(c, args)
	}
	return runMenu(c, a)
}
