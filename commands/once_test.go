package commands

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mxcluster/internal/fault"
)

// Of a flag with one value a second one is refused, whatever the command: none is lost.
func TestFlagGivenTwice(t *testing.T) {
	w := newWorld(t.TempDir())
	values := map[string]string{"int": "1", "duration": "1s", "uint64": "1"}
	seen := 0
	root := New(w.env(&bytes.Buffer{}, &bytes.Buffer{}))
	singleValues(root)
	everyCommand(root, func(c *cobra.Command) {
		path := strings.Fields(c.CommandPath())[1:]
		if !c.Runnable() || c.Hidden || len(path) == 0 {
			return
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if _, single := f.Value.(*onceFlag); !single {
				return
			}
			value := values[f.Value.Type()]
			if value == "" {
				value = f.DefValue
			}
			if value == "" {
				value = "x"
			}
			seen++
			a := w.run(t.Context(), append(path, "--"+f.Name+"="+value, "--"+f.Name+"="+value)...)
			if a.code != fault.Usage || !strings.Contains(a.err, "--"+f.Name+" is given twice") && !strings.Contains(a.err, "bad value") {
				t.Errorf("%s --%s twice: code %d: %s", c.CommandPath(), f.Name, a.code, a.err)
			}
		})
	})
	if seen < 50 {
		t.Errorf("%d flags with one value were found", seen)
	}
	for line, want := range map[string]string{
		"change c1 --fallback manual --fallback automatic":  "change: --fallback is given twice, and takes one value",
		"list -o json -o yaml":                              "list: -o, --output is given twice, and takes one value",
		"create c1 --standby sb1 --standby sb2 --lim 1=a/8": "create: --standby is given twice, and takes one value",
	} {
		a := w.run(t.Context(), strings.Fields(line)...)
		if a.code != fault.Usage || !strings.Contains(a.err, want) {
			t.Errorf("%s: code %d: %s", line, a.code, a.err)
		}
	}
	for _, line := range []string{"list -q -q", "simulate --down a --down b --help", "lim set 1 --service exec:/a --service exec:/b --help"} {
		if a := w.run(t.Context(), strings.Fields(line)...); a.code == fault.Usage {
			t.Errorf("%s: code %d: %s", line, a.code, a.err)
		}
	}
}
