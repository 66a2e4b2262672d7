package commands

import (
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// errTwice is the error for setting a flag with a single value twice.
var errTwice = errors.New("it takes one value")

// repeatable is implemented by the values of flags that may be repeated.
type repeatable interface{ repeatable() }

// onceFlag is the value of a flag that may be given once. pflag would silently use the last of two
// values.
type onceFlag struct {
	pflag.Value
	given bool
}

// Set refuses a second value.
func (v *onceFlag) Set(text string) error {
	if v.given {
		return errTwice
	}
	v.given = true
	return v.Value.Set(text)
}

// singleValues makes every flag with a single value, of a command and its subcommands, refuse a
// second one. Flags without a value may be repeated.
func singleValues(c *cobra.Command) {
	wrap := func(f *pflag.Flag) {
		_, slice := f.Value.(pflag.SliceValue)
		_, list := f.Value.(repeatable)
		if !slice && !list && f.Value.Type() != "bool" {
			f.Value = &onceFlag{Value: f.Value}
		}
	}
	c.LocalNonPersistentFlags().VisitAll(wrap)
	c.PersistentFlags().VisitAll(wrap)
	for _, sub := range c.Commands() {
		singleValues(sub)
	}
}

// usages describes flags. pflag must see their values without onceFlag, as it omits zero defaults
// only for types that it knows.
func usages(flags *pflag.FlagSet) string {
	flags.VisitAll(func(f *pflag.Flag) {
		if v, wrapped := f.Value.(*onceFlag); wrapped {
			f.Value = v.Value
		}
	})
	return flags.FlagUsages()
}
