package commands

import (
	"reflect"
	"slices"

	"github.com/spf13/cobra"
)

// Answer is the form of what commands print with -o json.
type Answer struct {
	Kind     string   // the value of the key "kind"; "": it has none
	Commands []string // that print it; none: each that fails, on standard error
	Of       reflect.Type
}

// Answers lists the form of every answer of the commands below root.
func Answers(root *cobra.Command) []Answer {
	var out []Answer
	for _, k := range answerKinds() {
		by := k.commands
		if len(by) == 0 {
			by = slices.Sorted(slices.Values(changing(root)))
		}
		if slices.Equal(by, []string{schemaLevels}) {
			by = []string{"config show --levels"}
		}
		out = append(out, Answer{k.kind, by, k.of})
	}
	return append(out, Answer{Of: reflect.TypeFor[failure]()})
}
