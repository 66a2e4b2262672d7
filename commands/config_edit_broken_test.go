package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"os"
	"strings"
	"testing"

	"mxcluster/internal/fault"
)

// A broken document is opened as it lies there. Put right it is what it was; with more
// it is the next revision, where edits are made.
func TestEditOfABrokenDocument(t *testing.T) {
	broken := strings.Replace(clusterconftest.OneCluster, "priority: 50", "priority: high", 1)
	for _, tc := range []struct {
		name, editor string
		server       string
		last         bool
		code         fault.Code
		stored, told string
	}{
		{"put right", `sub "priority: high" "priority: 50"`, "srv1", true, fault.OK, "revision: 6\n", "as it was before it was broken"},
		{"put right elsewhere", `sub "priority: high" "priority: 50"`, "sb1", true, fault.OK, "revision: 6\n", "as it was before it was broken"},
		{"changed besides", `sub "priority: high" "priority: 51"`, "srv1", true, fault.OK, "revision: 7\n", "in the place of the broken one"},
		{"changed besides elsewhere", `sub "priority: high" "priority: 51"`, "sb1", true, fault.Refused, "priority: high", "srv1"},
		{"never in force", `sub "priority: high" "priority: 50"`, "srv1", false, fault.OK, "revision: 7\n", "in the place of the broken one"},
		{"still broken", `look`, "srv1", true, fault.Invalid, "priority: high", "priority"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t.TempDir())
			w.document(t, broken)
			w.environ["MXCLUSTER_SERVER"] = tc.server
			w.environ["EDITOR"] = tc.editor
			if tc.last {
				w.folder(t, "var/history")
				if err := os.WriteFile(w.path("var/history/last.yaml"), []byte(clusterconftest.OneCluster), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			a := w.run(t.Context(), "config", "edit")
			if a.code != tc.code || !strings.Contains(a.out+a.err, tc.told) {
				t.Errorf("code %d: %s%s", a.code, a.out, a.err)
			}
			if text := w.stored(t); !strings.Contains(text, tc.stored) {
				t.Errorf("the document is\n%s", text)
			}
		})
	}
}

// One that is cut short and makes sense as it is counts as broken for every command, and
// who only looks at it in an editor has not accepted it.
func TestDocumentThatIsCutShort(t *testing.T) {
	cut := clusterconftest.OneCluster[:strings.Index(clusterconftest.OneCluster, "clusters:")]
	for _, argv := range [][]string{{"list"}, {"lim", "set", "1", "--service", "systemd:a.service"}, {"config", "validate"}, {"config", "edit"}} {
		w := newWorld(t.TempDir())
		w.document(t, cut)
		w.environ["EDITOR"] = "look"
		w.folder(t, "var/history")
		if err := os.WriteFile(w.path("var/history/last.yaml"), []byte(clusterconftest.OneCluster), 0o644); err != nil {
			t.Fatal(err)
		}
		if a := w.run(t.Context(), argv...); a.code != fault.Invalid || !strings.Contains(a.out+a.err, "cut short") {
			t.Errorf("%v: code %d: %s%s", argv, a.code, a.out, a.err)
		}
		if text := w.stored(t); text != cut {
			t.Errorf("%v: the document is\n%s", argv, text)
		}
	}
}
