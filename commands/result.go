package commands

import (
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"mxcluster/clusterconf"
	"mxcluster/internal/ui"
)

// result is the answer of a command that changes something.
type result struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"` // ChangeResult
	Changed    bool     `json:"changed"`
	DryRun     bool     `json:"dryRun"`
	Revision   uint64   `json:"revision,omitempty"` // of the document, where that was edited
	Text       string   `json:"text"`
	Changes    []string `json:"changes,omitempty"`
	Left       []string `json:"left,omitempty"` // what is left to do, and where
}

// done shows a result. For people it is a note on standard error; only the answer of a dry run goes
// to standard output.
func (a *app) done(r result) error {
	if a.reason != "" {
		r.Text += ": " + a.reason
	}
	r.APIVersion, r.Kind = clusterconf.APIVersion, "ChangeResult"
	switch {
	case a.out.Machine():
		return a.out.Show(ui.View{Object: r})
	case r.DryRun:
		lines := []string{r.Text}
		for _, c := range r.Changes {
			lines = append(lines, "  "+c)
		}
		return a.out.Lines(lines...)
	}
	a.out.Note("%s", r.Text)
	for _, c := range r.Changes {
		a.out.Detail("%s", c)
	}
	for _, l := range r.Left {
		a.out.Note("to do: %s", l)
	}
	return nil
}

// addReason adds --reason to a command that does not store it (contract, section 1).
func (a *app) addReason(f *pflag.FlagSet) {
	f.StringVar(&a.reason, "reason", "", "`text` that says why, told with the result")
}

// joinInts lists numbers in words.
func joinInts(numbers []int) string {
	words := make([]string, len(numbers))
	for i, n := range numbers {
		words[i] = strconv.Itoa(n)
	}
	return strings.Join(words, ", ")
}
