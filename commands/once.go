package commands

import (
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// errTwice is what setting a flag of one value a second time comes to.
var errTwice = errors.New("it takes one value")

// repeatable is a flag's value that may be given more than once.
type repeatable interface{ repeatable() }

// onceFlag is the value of a flag that may be given once. The last of two values would win,
// and the first be lost without a word.
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

// singleValues has every flag of a command and of those below it that takes one value
// refuse a second one. A flag without a value may be repeated: that changes nothing.
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

// usages describes flags; their values are seen as they were before singleValues, since
// pflag leaves out the default that says nothing for types that it knows.
func usages(flags *pflag.FlagSet) string {
	flags.VisitAll(func(f *pflag.Flag) {
		if v, wrapped := f.Value.(*onceFlag); wrapped {
			f.Value = v.Value
		}
	})
	return flags.FlagUsages()
}
