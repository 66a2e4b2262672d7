package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mxcluster/internal/fault"
)

// kept returns the files with text that could not be stored.
func (w *world) kept(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(w.path("tmp/mxcluster-edit-*/*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// On a terminal a text that breaks a rule can be edited again.
func TestEditAgain(t *testing.T) {
	for _, tc := range []struct {
		name, editor, answers string
		code                  fault.Code
		err                   string
		kept                  int
	}{
		{"given up", `write nonsense`, "no\n", fault.Invalid, `Edit again, yes or no [no]: `, 1},
		{"again and then given up", `write nonsense`, "yes\n\n", fault.Invalid, `Edit again`, 1},
		{"no answer", `write nonsense`, "", fault.Invalid, `Edit again`, 1},
		{"well", `sub "priority: 50" "priority: 51"`, "", fault.OK, `is stored (revision 7)`, 0},
		{"as it was", `look`, "", fault.OK, `nothing was changed`, 0},
		{"editor fails", `fail`, "", fault.Failed, `exit status 1`, 0},
		{"another revision", `sub "revision: 6" "revision: 7"`, "", fault.Refused, `leave the revision as it was`, 1},
		{"an older one", `sub "revision: 6" "revision: 5"`, "", fault.Busy, `was changed meanwhile`, 1},
		{"another system", `sub TESTSYSTEM OTHER`, "", fault.Refused, `belongs to TESTSYSTEM`, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t.TempDir())
			w.document(t, clusterconftest.OneCluster)
			w.term, w.stdin = true, strings.NewReader(tc.answers)
			w.environ["EDITOR"] = tc.editor
			a := w.run(t.Context(), "config", "edit")
			if a.code != tc.code || !strings.Contains(a.err, tc.err) {
				t.Errorf("code %d: %s", a.code, a.err)
			}
			files := w.kept(t)
			if len(files) != tc.kept {
				t.Errorf("kept %v", files)
			}
			for _, f := range files {
				if !strings.Contains(a.err, "config edit --from "+f) {
					t.Errorf("%s is not named: %s", f, a.err)
				}
			}
			if asked := strings.Count(a.err, "Edit again"); tc.answers != "" && asked != strings.Count(tc.answers, "\n") {
				t.Errorf("asked %d times", asked)
			}
			if done := w.stored(t) != clusterconftest.OneCluster; done != (tc.name == "well") {
				t.Errorf("the document changed: %v", done)
			}
		})
	}
}

// A fault is told once: by the error if it is the only one, else by the list, which
// the error counts; in JSON by the error alone.
func TestEditTellsAFaultOnce(t *testing.T) {
	const two = "sub 'interface: eth0\n    standby: true' 'interface: e:th\n    standby: perhaps'"
	for _, tc := range []struct {
		name, editor, output string
		term                 bool
		once                 []string
	}{
		{"one", `sub "priority: 50" "priority: -1"`, "", false, []string{"editing the cluster document: ", "LIM 2 is -1"}},
		{"several", two, "", false, []string{"editing the cluster document: ", "is not valid: 2 faults", "\"e:th\" is not"}},
		{"one in JSON", `sub "priority: 50" "priority: -1"`, "json", false, []string{"LIM 2 is -1"}},
		{"several in JSON", two, "json", false, []string{"(and 1 more)", "e:th"}},
		{"one on a terminal", `sub "priority: 50" "priority: -1"`, "", true, []string{"LIM 2 is -1", "is not valid: 1 fault"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t.TempDir())
			w.document(t, clusterconftest.OneCluster)
			w.term, w.stdin = tc.term, strings.NewReader("no\n")
			w.environ["EDITOR"], w.environ["MXCLUSTER_OUTPUT"] = tc.editor, tc.output
			a := w.run(t.Context(), "config", "edit")
			if a.code != fault.Invalid || len(w.kept(t)) != 1 {
				t.Errorf("code %d, kept %v", a.code, w.kept(t))
			}
			for _, what := range tc.once {
				if n := strings.Count(a.err, what); n != 1 {
					t.Errorf("%q is told %d times:\n%s", what, n, a.err)
				}
			}
			if tc.output == "json" && (strings.Count(a.err, "\n") != 1 || !strings.HasPrefix(a.err, `{"error"`)) {
				t.Errorf("not one error in JSON: %s", a.err)
			}
		})
	}
}

// What was kept is put right, and stored.
func TestEditGoesOn(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	w.environ["VISUAL"] = `sub "priority: 50" "priority: high"`
	a := w.run(t.Context(), "config", "edit")
	from := regexp.MustCompile(`--from (\S+)`).FindStringSubmatch(a.err)
	if a.code != fault.Invalid || from == nil {
		t.Fatalf("code %d: %s", a.code, a.err)
	}
	if info, err := os.Stat(filepath.Dir(from[1])); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("its folder: %v, %v", info, err)
	}
	w.environ["VISUAL"] = `sub "priority: high" "priority: 51"`
	w.must(t, "config", "edit", "--from", from[1], "--reason", "at last")
	if text := w.stored(t); !strings.Contains(text, "priority: 51") || !strings.Contains(text, "reason: at last") || !strings.Contains(text, "command: config edit") {
		t.Errorf("the document is\n%s", text)
	}
}

// Another edit between the copy and the storing is not written over.
func TestEditMeanwhile(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	w.environ["EDITOR"] = `sub "priority: 50" "priority: 51"`
	w.onEdit = func() { w.must(t, "server", "to-standby", "free1") }
	a := w.run(t.Context(), "config", "edit")
	if a.code != fault.Busy || !strings.Contains(a.err, "was changed meanwhile") || len(w.kept(t)) != 1 {
		t.Errorf("code %d: %s", a.code, a.err)
	}
	if text := w.stored(t); !strings.Contains(text, "priority: 50") || !strings.Contains(text, "to-standby free1") {
		t.Errorf("the document is\n%s", text)
	}
}

// The words of an editor are those that a shell would make of them.
func TestEditor(t *testing.T) {
	for _, tc := range []struct {
		visual, editor string
		term           bool
		want           string
		code           fault.Code
	}{
		{"", "nano", false, "nano", fault.OK},
		{"emacs -nw", "nano", false, "emacs|-nw", fault.OK},
		{"", `'/opt/my editor' --title "a 'b' $HOME"`, false, "/opt/my editor|--title|a 'b' ", fault.OK},
		{"", "", true, "vi", fault.OK},
		{"", "", false, "", fault.Usage},
		{"", "'", true, "", fault.Usage},
		{"  ", "nano", true, "", fault.Usage},
	} {
		w := newWorld(t.TempDir())
		w.environ["VISUAL"], w.environ["EDITOR"] = tc.visual, tc.editor
		a := newApp(w.env(nil, nil))
		a.ask.Terminal = tc.term
		words, err := a.editor()
		if strings.Join(words, "|") != tc.want || fault.CodeOf(err) != tc.code {
			t.Errorf("VISUAL=%q EDITOR=%q: %q, %v", tc.visual, tc.editor, words, err)
		}
	}
}

// A document comes from standard input as well as from a file.
func TestValidateInput(t *testing.T) {
	for _, tc := range []struct {
		in, said string
		code     fault.Code
	}{
		{clusterconftest.OneCluster, "standard input is valid, revision 6", fault.OK},
		{"nonsense", "validating standard input: it is not valid: ", fault.Invalid},
		{"", "validating standard input: it is not valid: ", fault.Invalid},
		{strings.Repeat("# long\n", 1<<18), "validating standard input: it is not valid: ", fault.Invalid},
	} {
		w := newWorld(t.TempDir())
		w.stdin = strings.NewReader(tc.in)
		a := w.run(t.Context(), "config", "validate", "-")
		if a.code != tc.code || !strings.Contains(a.err, tc.said) || (a.out == "") != (tc.code == fault.OK) {
			t.Errorf("code %d: %s%s", a.code, a.out, a.err)
		}
	}
}
