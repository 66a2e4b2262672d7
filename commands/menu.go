package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
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
		Long: `Menu offers the twelve actions of "Cluster handling", and some more, and asks for
what each one needs. What cannot be done now is listed with the reason. It offers
what there is to choose from, and checks every answer as it is given. Under manager
are the set-up of the management system's redundancy and, once it is set up, its five
utilities. Before
anything changes it says what would, shows the command that does it, and asks.
'mxcluster' alone on a terminal does the same.

At every question ? explains the action, and < goes back to the question before.
After an action its answer stays in view; ? lists the actions again.

Ctrl-D ends it, Ctrl-C ends it with exit code 130.`,
		Example:     "  mxcluster menu\n  mxcluster",
		Annotations: exits(fault.NotPermitted, fault.Interrupted),
		Args:        arguments(),
		RunE:        func(c *cobra.Command, _ []string) error { return runMenu(c, a) },
	}
}

// action is one choice of the menu: a command, how its command line comes about,
// whether it loses something (then no is the answer offered), and why it cannot be
// done now ("": it can).
type action struct {
	command string
	ask     func(*guide) []string
	loses   bool
	not     func(*guide) string
}

// actions are those of the specification's menu (ch. 10), in the contract's order, and
// then what a technician needs besides.
func actions() []action {
	return []action{
		{"list", (*guide).list, false, (*guide).noDocument},
		{"status", (*guide).statusOf, false, (*guide).noDocument},
		{"create", (*guide).create, false, (*guide).notCreate},
		{"change", (*guide).change, false, (*guide).noCluster},
		{"preload", (*guide).preload, true, noneOf("every cluster is preloaded", offerClusters(notPreloaded))},
		{"add-lim", (*guide).addLIM, false, noneOf("every LIM is in a cluster", offerLIMs(inNoCluster))},
		{"remove-lim", (*guide).removeLIM, true, (*guide).noCluster},
		{"delete", (*guide).remove, true, (*guide).noCluster},
		{"fallback", (*guide).fallback, false, (*guide).noAgent},
		{"lock", (*guide).lock, false, (*guide).noCluster},
		{"unlock", (*guide).unlock, false, noneOf("no LIM is locked", offerLIMs(isLocked))},
		{"sync", (*guide).sync, false, (*guide).noDocument},
		{"failover", (*guide).failover, false, (*guide).noAgent},
		{"rehearse", (*guide).rehearsal, false, (*guide).noAgent},
		{"explain", (*guide).explain, false, (*guide).noCluster},
		{"server drain", (*guide).drain, false, noneOf("every server is drained", offerServers(inService))},
		{"server undrain", (*guide).undrain, false, noneOf("no server is drained", offerServers(isDrained))},
		{"init", (*guide).init, false, (*guide).hasDocument},
		{"join", (*guide).join, false, (*guide).hasDocument},
		{"manager", (*guide).manager, false, (*guide).noManager},
	}
}

// runMenu offers the actions until the user has had enough of them. What an
// action comes to is told where it happens; the menu itself does not fail by it.
func runMenu(c *cobra.Command, a *app) error {
	if !a.ask.Terminal {
		return fault.New(fault.Usage, "run it there, or give the command itself: 'mxcluster --help' lists all",
			"%s asks its questions on a terminal only", c.CommandPath())
	}
	for listed := false; ; listed = true {
		chosen, err := a.chooseAction(c, !listed)
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

// chooseAction returns what is chosen, nil for nothing more. The list is shown at first and when it
// is asked for: after an action its answer is what is looked at.
func (a *app) chooseAction(c *cobra.Command, list bool) (*action, error) {
	all := actions()
	names := make([]string, len(all))
	for i, x := range all {
		names[i] = x.command
	}
	for {
		g, err := a.newGuide(c.Context())
		if err == nil && list {
			err = a.listActions(c.Root(), all, g)
		}
		if err != nil {
			return nil, err
		}
		var chosen *action
		if _, err := fmt.Fprintln(a.ask.Out); err != nil {
			return nil, err
		}
		answer, err := a.ask.AskUntil("Action, ? lists them, q ends", "", func(answer string) error {
			switch answer {
			case "q", "quit", "?":
				return nil
			}
			i := slices.Index(names, answer)
			if n, err := strconv.Atoi(answer); err == nil {
				i = n - 1
			}
			if i < 0 || i >= len(all) {
				return fault.New(fault.Usage, didYouMean(answer, names, fmt.Sprintf("give a number from 1 to %d, a name, or q", len(all))),
					"there is no action %q", answer)
			}
			if why := all[i].not(g); why != "" {
				return fault.New(fault.Refused, "", "%s cannot be done now: %s", all[i].command, why)
			}
			chosen = &all[i]
			return nil
		})
		if err != nil || answer != "?" {
			return chosen, err
		}
		list = true
	}
}

// listActions shows what can be done, and why the rest cannot.
func (a *app) listActions(root *cobra.Command, all []action, g *guide) error {
	var b strings.Builder
	b.WriteString("\nCluster handling\n")
	for i, x := range all {
		c, _, err := root.Find(strings.Fields(x.command))
		if err != nil {
			return err
		}
		number, about := strconv.Itoa(i+1), c.Short
		if why := x.not(g); why != "" {
			number, about = "-", "not now: "+why
		}
		fmt.Fprintf(&b, "  %2s  %-14s  %s\n", number, x.command, about)
	}
	if _, err := io.WriteString(a.ask.Out, b.String()); err != nil {
		return err
	}
	if g.unread != nil {
		report(a.ask.Out, g.unread, false)
	}
	return nil
}

// newGuide returns what questions are asked by: the document as it is now, if there is one.
func (a *app) newGuide(ctx context.Context) (*guide, error) {
	dirs, err := a.dirs()
	if err != nil {
		return nil, err
	}
	g := &guide{ask: &a.ask, store: a.store(dirs), now: a.env.Now()}
	if g.doc, err = g.store.Read(); err != nil {
		g.unread = err
		return g, nil
	}
	g.status, g.agentErr = a.agentOf(dirs).Status(ctx)
	return g, nil
}

// guide asks for what an action needs and carries it out. Who goes back is asked again from the
// question before on.
func (a *app) guide(c *cobra.Command, chosen *action) error {
	words := strings.Fields(chosen.command)
	target, _, err := c.Root().Find(words)
	if err != nil {
		return err
	}
	var given []string
	for {
		g, err := a.newGuide(c.Context())
		if err != nil {
			return err
		}
		g.help, g.replay, g.links = target.Long, given, a.linkNames()
		argv := chosen.ask(g)
		if err = g.err; err == nil {
			err = a.offerCommand(c, append(words[:len(words):len(words)], argv...), chosen.loses || g.loses, target.Long)
		}
		if !errors.Is(err, errBack) || len(g.given) == 0 {
			return stayed(err)
		}
		given = g.given[:len(g.given)-1]
	}
}

// stayed is nil for who went back from the first question: that leads to the menu.
func stayed(err error) error {
	if errors.Is(err, errBack) {
		return nil
	}
	return err
}

// linkNames lists this server's interfaces.
func (a *app) linkNames() (names []string) {
	k, err := a.env.Kernel()
	if err != nil {
		return nil
	}
	defer k.Close()
	links, _ := k.Links() // without them any name is taken
	for _, l := range links {
		if l.Name != "lo" {
			names = append(names, l.Name)
		}
	}
	return names
}

// offerCommand shows the command line that answers came to, and runs it. One that
// changes something is tried first, and needs a yes: then the command need not
// ask any more.
func (a *app) offerCommand(c *cobra.Command, argv []string, loses bool, help string) error {
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
		g := &guide{ask: &a.ask, help: help}
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
