package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mxcluster/internal/fault"
)

// completions returns what __complete offers at the end of a command line, and
// its directive. "_" at the end stands for the beginning of a new word.
func (w *world) completions(t *testing.T, line string) (offered []string, directive cobra.ShellCompDirective) {
	t.Helper()
	words := strings.Fields(line)
	if last := len(words) - 1; words[last] == "_" {
		words[last] = ""
	}
	a := w.must(t, append([]string{cobra.ShellCompRequestCmd}, words...)...)
	lines := strings.Split(strings.TrimSuffix(a.out, "\n"), "\n")
	last := lines[len(lines)-1]
	if _, err := fmt.Sscanf(last, ":%d", &directive); err != nil {
		t.Fatalf("%s: no directive in %q", line, a.out)
	}
	return lines[:len(lines)-1], directive
}

const (
	noFiles = cobra.ShellCompDirectiveNoFileComp
	typeOn  = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
)

// The words that a line may go on with come from the document alone: no agent
// runs here, and there are no settings.
func TestCompleteFromDocument(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, strings.Replace(clusterconftest.OneCluster, "priority: 100\n",
		"priority: 100\n        lock:\n          to: regular\n          since: 2026-03-01T00:00:00Z\n          by: ann\n", 1))
	const lim1, lim2, lim3 = "1\tsrv1, cluster c1, locked to regular", "2\tsrv2, cluster c1", "3\tsrv3, in no cluster"
	for _, tc := range []struct {
		line      string
		want      []string
		directive cobra.ShellCompDirective
	}{
		{"list _", []string{"c1\tLIM 1, 2; standby sb1"}, noFiles},
		{"list c", []string{"c1\tLIM 1, 2; standby sb1"}, noFiles},
		{"list x", nil, noFiles},
		{"list c1 _", nil, noFiles},
		{"status --lim _", []string{lim1, lim2}, noFiles},
		{"status c9 --lim _", nil, noFiles},
		{"fallback _", []string{lim1, lim2}, noFiles},
		{"failover 2", []string{lim2}, noFiles},
		{"lim set _", []string{lim1, lim2, lim3}, noFiles},
		{"alias down _", []string{lim1, lim2}, noFiles},
		{"create _", nil, noFiles},
		{"create c2 --standby _", []string{"sb2\tstandby"}, noFiles},
		{"create c2 --standby=s", []string{"sb2\tstandby"}, noFiles},
		{"create c2 --lim _", []string{"3=\tsrv3, in no cluster"}, typeOn},
		{"create c2 --fallback _", []string{"manual\tby order", "automatic\tas soon as the regular server is ready"}, noFiles},
		{"create c2 --failover-after _", nil, noFiles},
		{"server show s", []string{"sb1\tstandby, cluster c1", "sb2\tstandby", "srv1\tregular, LIM 1, cluster c1",
			"srv2\tregular, LIM 2, cluster c1", "srv3\tregular, LIM 3"}, noFiles},
		{"server add _", nil, noFiles},
		{"server to-standby _", []string{"free1\tfree"}, noFiles},
		{"sync c1 --lim _", []string{lim1, lim2}, noFiles},
		{"sync --direction to-s", []string{"to-standby"}, noFiles},
		{"xdata list --lim 3", []string{lim3}, noFiles},
		{"xdata backup --from _", nil, cobra.ShellCompDirectiveFilterDirs},
		{"join 10.0.0.11 --key-file _", nil, cobra.ShellCompDirectiveDefault},
		{"list -o j", []string{"json"}, noFiles},
		{"list --color a", []string{"auto\ton a terminal", "always"}, noFiles},
		{"--config-dir _", nil, cobra.ShellCompDirectiveFilterDirs},
		{"help server to-s", []string{"to-standby\tMake a standby server of a free one"}, noFiles},
		{"help nothing _", nil, noFiles},
	} {
		t.Run(tc.line, func(t *testing.T) {
			got, directive := w.completions(t, tc.line)
			if strings.Join(got, "\n") != strings.Join(tc.want, "\n") || directive != tc.directive {
				t.Errorf("%q, directive %d; want %q, %d", got, directive, tc.want, tc.directive)
			}
		})
	}
	if len(w.agent.orders)+w.agent.reloads > 0 {
		t.Error("completion spoke to the agent")
	}
}

// Where something is wrong the shell's prompt stays clean.
func TestCompleteIsSilent(t *testing.T) {
	for name, spoil := range map[string]func(*testing.T, *world){
		"no configuration":  func(*testing.T, *world) {},
		"a broken document": func(t *testing.T, w *world) { w.document(t, "servers: [") },
		"a rule is broken": func(t *testing.T, w *world) {
			w.document(t, strings.ReplaceAll(clusterconftest.OneCluster, "standby: sb1", "standby: sb9"))
		},
		"a folder in place": func(t *testing.T, w *world) { w.folder(t, "etc/cluster.yaml") },
		"broken settings":   func(t *testing.T, w *world) { w.folder(t, "etc/mxcluster.yaml") },
		"a bad output":      func(_ *testing.T, w *world) { w.environ[envOutput] = "jsno" },
		"an agent that errs": func(_ *testing.T, w *world) {
			w.agent.running, w.agent.err = true, fault.New(fault.Failed, "", "broken")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t.TempDir())
			spoil(t, w)
			for _, line := range []string{"list _", "server show _", "create c2 --lim _", "sync --lim _", "fallback _"} {
				a := w.run(t.Context(), append([]string{cobra.ShellCompRequestCmd}, strings.Fields(strings.ReplaceAll(line, " _", " x"))...)...)
				if a.code != fault.OK || !strings.HasPrefix(a.out, ":") || strings.Count(a.err, "\n") > 1 {
					t.Errorf("%s: code %d, %q, %q", line, a.code, a.out, a.err)
				}
			}
		})
	}
}

func (w *world) folder(t *testing.T, name string) {
	t.Helper()
	if err := os.MkdirAll(w.path(name), 0o755); err != nil {
		t.Fatal(err)
	}
}

// Revisions are offered with what made them, and most of all where the document
// is broken.
func TestCompleteRevisions(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.TwoLIMs)
	w.must(t, "server", "add", "srv3", "--base", "10.0.0.16/24", "--interface", "eth0", "--lim", "3")
	w.must(t, "server", "to-standby", "free1")
	w.document(t, "broken")
	for _, line := range []string{"config rollback _", "config diff _", "config diff 5 _"} {
		got, directive := w.completions(t, line)
		want := []string{"6\t2026-03-01 02:00 tester: server add srv3", "5\t2026-03-01 01:00 :"}
		if strings.Join(got, "\n") != strings.Join(want, "\n") || directive != noFiles {
			t.Errorf("%s: %q, directive %d", line, got, directive)
		}
	}
}

// Every argument and flag knows its completion, so that a shell never offers the
// files of the present folder for what is none.
func TestEveryCommandCompletes(t *testing.T) {
	w := newWorld(t.TempDir())
	root := New(w.env(&bytes.Buffer{}, &bytes.Buffer{}))
	paths := map[string]bool{}
	everyCommand(root, func(c *cobra.Command) {
		path := strings.TrimPrefix(c.CommandPath(), "mxcluster ")
		for _, word := range strings.Fields(c.Use)[1:] {
			paths[path+" "+strings.Trim(word, "[]")] = true
		}
		if !c.HasSubCommands() && c.ValidArgs == nil && c.ValidArgsFunction == nil {
			t.Errorf("%s: arguments are not completed", path)
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			paths[path+" --"+f.Name], paths["--"+f.Name] = true, true
			if _, ok := c.GetFlagCompletionFunc(f.Name); !ok && f.Name != "help" {
				t.Errorf("%s: --%s is not completed", path, f.Name)
			}
		})
	})
	for name := range narrowerArguments() {
		if !paths[name] {
			t.Errorf("completion of %q: there is no such argument", name)
		}
	}
	for name := range (completer{&app{}}).flagValues() {
		if !paths[name] {
			t.Errorf("completion of %q: there is no such flag", name)
		}
	}
}

// The versions that can be restored are those of the LIM, where it was named already.
func TestCompleteVersions(t *testing.T) {
	s := newServers(t, clusterconftest.OneCluster, "srv1")
	w := s.world("srv1")
	one := s.backup(t, "srv1", "1", "data of LIM 1") + "\tLIM 1, newest file of 2026-03-01 01:00"
	two := s.backup(t, "srv1", "2", "data of LIM 2") + "\tLIM 2, newest file of 2026-03-01 01:00"
	for line, want := range map[string][]string{
		"xdata remove _": {one, two}, "xdata remove --lim 2 _": {two}, "xdata restore _": {one, two}, "xdata restore --lim 2 _": {two}, "xdata restore --lim 3 _": nil,
		"xdata restore xdata_1": {one}, "xdata restore xdata_1_x _": nil,
	} {
		if got, _ := w.completions(t, line); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}
