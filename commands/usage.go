package commands

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mxcluster/internal/fault"
	"mxcluster/internal/nearest"
)

// newGroup returns a command that only has subcommands. Calling it alone is a usage error, so that
// a script without a verb does not seem to succeed.
func newGroup(use, short, long, example string, children ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Long: strings.TrimSpace(long), Example: strings.Trim(example, "\n"),
		Annotations: exits(fault.Usage),
		Args:        groupArgs,
		RunE:        func(*cobra.Command, []string) error { return nil }, // groupArgs has refused it
	}
	c.AddCommand(children...)
	return c
}

// groupArgs refuses all arguments: a known subcommand would have been called.
func groupArgs(c *cobra.Command, args []string) error {
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	all := fmt.Sprintf("'%s --help' lists the commands", c.CommandPath())
	if c.HasParent() {
		all = "use one of " + strings.Join(names, ", ")
	}
	if len(args) == 0 {
		return fault.New(fault.Usage, all, "%sa command is missing", about(c))
	}
	hint := all
	if near := nearest.To(args[0], names); near != "" {
		hint = fmt.Sprintf("did you mean '%s %s'?", c.CommandPath(), near)
	}
	return fault.New(fault.Usage, hint, "unknown command %q for %s", args[0], c.CommandPath())
}

// arguments returns a check for exactly the named arguments, as in arguments("C", "N"). A name in
// brackets, "[C]", is optional.
func arguments(names ...string) cobra.PositionalArgs {
	needed := 0
	for _, n := range names {
		if !strings.HasPrefix(n, "[") {
			needed++
		}
	}
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < needed:
			return fault.New(fault.Usage, usageHint(c), "%sargument %s is missing", about(c), names[len(args)])
		case len(args) > len(names):
			return fault.New(fault.Usage, usageHint(c), "%sunexpected argument %q", about(c), args[len(names)])
		}
		return nil
	}
}

// about is the beginning of an error about a command. It is empty for the root, as the line starts
// with the program's name.
func about(c *cobra.Command) string {
	if !c.HasParent() {
		return ""
	}
	return strings.TrimPrefix(c.CommandPath(), c.Root().Name()+" ") + ": "
}

// usageHint is the remedy for a wrong number of arguments.
func usageHint(c *cobra.Command) string { return "usage: " + c.UseLine() }

// flagError turns errors of pflag into usage errors with a remedy.
func flagError(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var noValue *pflag.ValueRequiredError
	var badValue *pflag.InvalidValueError
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return err
	case errors.As(err, &unknown):
		return unknownFlag(c, unknown)
	case errors.As(err, &noValue):
		return fault.New(fault.Usage, usageHint(c), "%sflag %s needs a value", about(c), flagName(noValue.GetFlag()))
	case errors.As(err, &badValue):
		f := badValue.GetFlag()
		if errors.Is(err, errTwice) {
			return fault.New(fault.Usage, usageHint(c), "%s%s is given twice, and takes one value", about(c), flagName(f))
		}
		return fault.New(fault.Usage, valueHint(f, badValue.Unwrap()), "%s%s: bad value %q",
			about(c), flagName(f), badValue.GetValue())
	}
	return fault.New(fault.Usage, usageHint(c), "%s%v", about(c), err)
}

// unknownFlag names the nearest existing flag.
func unknownFlag(c *cobra.Command, e *pflag.NotExistError) error {
	hint := fmt.Sprintf("'%s --help' lists the flags", c.CommandPath())
	if e.GetSpecifiedShortnames() != "" {
		return fault.New(fault.Usage, hint, "%sunknown flag -%s", about(c), e.GetSpecifiedName())
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if near := nearest.To(e.GetSpecifiedName(), names); near != "" {
		hint = "did you mean --" + near + "?"
	}
	return fault.New(fault.Usage, hint, "%sunknown flag --%s", about(c), e.GetSpecifiedName())
}

// flagName returns a flag in both its forms.
func flagName(f *pflag.Flag) string {
	if f.Shorthand != "" {
		return "-" + f.Shorthand + ", --" + f.Name
	}
	return "--" + f.Name
}

// valueHint describes a flag's value; types of this program have descriptions of their own.
func valueHint(f *pflag.Flag, cause error) string {
	switch f.Value.Type() {
	case "int", "uint", "uint64":
		return "give a whole number"
	case "bool":
		return "give true or false"
	case "duration":
		return "give a duration such as 300ms, 10s or 5m"
	}
	if hint := fault.HintOf(cause); hint != "" {
		return hint
	}
	return cause.Error()
}

// oneOrMore takes any number of arguments of one name, but not none.
func oneOrMore(name string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return arguments(name)(c, args)
		}
		return nil
	}
}
