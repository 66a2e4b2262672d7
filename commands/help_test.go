package commands

import (
	"os"
	"strings"
	"testing"
)

// Whoever adds a command says where in the list of all it stands.
func TestEveryCommandHasAHeading(t *testing.T) {
	w := newWorld(t.TempDir())
	root := newRoot(newApp(w.env(os.Stdout, os.Stderr)))
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() && c.GroupID == "" {
			t.Errorf("%s is under no heading", c.Name())
		}
	}
}

func TestHelpHasItsOrder(t *testing.T) {
	w := newWorld(t.TempDir())
	for line, parts := range map[string][]string{
		"--help":        {"USAGE", "\nLOOK\n", "  status", "\nCLUSTERS\n", "\nLIMS\n", "\nSERVERS\n", "\nDATA\n", "\nTHIS SERVER\n", "\nFLAGS\n", "\nEXAMPLES\n", "\nEXIT STATUS\n"},
		"create --help": {"USAGE", "\nFLAGS\n", "\nEXAMPLES\n", "\nGLOBAL FLAGS\n", "\nEXIT STATUS\n"},
		"config --help": {"USAGE", "\nCOMMANDS\n", "  show"},
	} {
		out, from := w.must(t, strings.Fields(line)...).out, 0
		for _, p := range parts {
			i := strings.Index(out[from:], p)
			if i < 0 {
				t.Errorf("%s does not have %q after %q:\n%s", line, p, out[:from], out)
				break
			}
			from += i
		}
	}
	if out := w.must(t, "--version").out; out != "mxcluster 1.2.3\n" {
		t.Errorf("--version says %q", out)
	}
}
