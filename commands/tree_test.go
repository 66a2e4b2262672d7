package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"mxcluster/internal/fault"
)

// everyCommand visits the whole tree.
func everyCommand(c *cobra.Command, visit func(*cobra.Command)) {
	visit(c)
	for _, sub := range c.Commands() {
		everyCommand(sub, visit)
	}
}

// Every command checks its arguments, explains itself, gives an example, and
// says what its exit codes mean.
func TestEveryCommandExplainsItself(t *testing.T) {
	w := newWorld(t.TempDir())
	everyCommand(New(w.env(&bytes.Buffer{}, &bytes.Buffer{})), func(c *cobra.Command) {
		if c.Args == nil {
			t.Errorf("%s: Args is not set", c.CommandPath())
		}
		if c.Short == "" || c.Long == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: short %q, long %q", c.CommandPath(), c.Short, c.Long)
		}
		for line := range strings.Lines(c.Long) {
			if len(line) > 90 {
				t.Errorf("%s: line of %d letters in its help: %s", c.CommandPath(), len(line), line)
			}
		}
		if c.Hidden {
			return
		}
		if c.Example == "" {
			t.Errorf("%s: no example", c.CommandPath())
		}
		if !strings.Contains(c.Annotations[exitStatus], "64") {
			t.Errorf("%s: exit codes %q", c.CommandPath(), c.Annotations[exitStatus])
		}
	})
}

func TestEveryHelp(t *testing.T) {
	w := newWorld(t.TempDir())
	var paths []string
	everyCommand(New(w.env(&bytes.Buffer{}, &bytes.Buffer{})), func(c *cobra.Command) {
		paths = append(paths, strings.TrimPrefix(c.CommandPath(), "mxcluster"))
	})
	for _, path := range paths {
		a := w.run(t.Context(), append(strings.Fields(path), "--help")...)
		if a.code != fault.OK || a.err != "" {
			t.Errorf("%s --help: code %d: %s", path, a.code, a.err)
		}
		for _, head := range []string{"\nUSAGE\n  mxcluster", "\nGLOBAL FLAGS\n", "\nEXIT STATUS\n    0  done"} {
			if !strings.Contains(a.out, head) && (path != "" || head != "\nGLOBAL FLAGS\n") {
				t.Errorf("%s --help lacks %q", path, head)
			}
		}
	}
}

// Completion knows commands and flags.
func TestComplete(t *testing.T) {
	w := newWorld(t.TempDir())
	for line, want := range map[string]string{
		"__complete serv":         "server",
		"__complete server to":    "to-standby",
		"__complete completion f": "fish",
		"__complete create --sta": "--standby",
	} {
		a := w.must(t, strings.Fields(line)...)
		if !strings.Contains(a.out, want) {
			t.Errorf("%s: %q", line, a.out)
		}
	}
}

func TestColor(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	for _, tc := range []struct {
		args, noColor string
		term, painted bool
	}{
		{"status", "", false, false},
		{"status", "", true, true},
		{"status", "1", true, false},
		{"status --color always", "1", false, true},
		{"status --color never", "", true, false},
		{"status --color always -o csv", "", false, false},
	} {
		w.term, w.environ["NO_COLOR"] = tc.term, tc.noColor
		a := w.must(t, strings.Fields(tc.args)...)
		if strings.Contains(a.out, "\x1b[") != tc.painted {
			t.Errorf("%s, NO_COLOR=%q, terminal %v: %q", tc.args, tc.noColor, tc.term, a.out)
		}
	}
}
