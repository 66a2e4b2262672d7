package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"encoding/json"
	"strings"
	"testing"

	"mxcluster/internal/control"
	"mxcluster/internal/fault"
	"mxcluster/internal/levels"
)

// levelOne is a world whose document every version reads, with an agent that knows sb1 to be of
// these levels.
func levelOne(t *testing.T, sb1 levels.Levels) *world {
	t.Helper()
	w := newWorld(t.TempDir())
	w.document(t, strings.Replace(clusterconftest.OneCluster, "level: 2\n", "", 1))
	info := agentInfo(6, 6)
	info.Members[0].Program = &levels.Program{Version: "1.1.0", Levels: sb1}
	w.agent.running, w.agent.infos = true, []*control.AgentInfo{info}
	return w
}

// An edit that a server cannot read is refused with its name, and is done once that is left behind
// or upgraded.
func TestEditThatAServerCannotRead(t *testing.T) {
	w := levelOne(t, levels.Oldest())
	a := w.run(t.Context(), "freeze", "c1", "--yes")
	if a.code != fault.Refused || !strings.Contains(a.err, "the change needs level 2 of the cluster document (frozen), which sb1 (version 1.1.0) cannot read") ||
		!strings.Contains(a.err, "leave-behind sb1") {
		t.Errorf("code %d: %s", a.code, a.err)
	}
	if a = w.run(t.Context(), "server", "leave-behind", "sb1", "--yes"); a.code != fault.OK {
		t.Fatalf("leaving sb1 behind: code %d: %s", a.code, a.err)
	}
	if a = w.run(t.Context(), "freeze", "c1"); a.code != fault.OK {
		t.Errorf("once sb1 is left behind: code %d: %s", a.code, a.err)
	}
	if a = w.run(t.Context(), "server", "leave-behind", "sb1", "--undo"); a.code != fault.Refused {
		t.Errorf("having it count again, which cannot read the document: code %d: %s", a.code, a.err)
	}
}

// The level rises by the first edit that needs it, which says so, and not again.
func TestRiseOfTheLevelIsTold(t *testing.T) {
	w := levelOne(t, levels.Known())
	if a := w.must(t, "freeze", "c1", "-n"); !strings.Contains(a.out, "rises to level 2 (frozen)") {
		t.Errorf("the dry run said %q", a.out)
	}
	if a := w.must(t, "freeze", "c1"); !strings.Contains(a.err, "rises to level 2 (frozen)") {
		t.Errorf("said %q", a.err)
	}
	w.must(t, "unfreeze", "c1")
	if a := w.must(t, "freeze", "c1"); strings.Contains(a.err, "level") {
		t.Errorf("said again %q", a.err)
	}
}

// On a terminal it is asked about first.
func TestRiseOfTheLevelIsAskedAbout(t *testing.T) {
	w := levelOne(t, levels.Known())
	w.term = true
	w.stdin = strings.NewReader("no\n")
	if a := w.run(t.Context(), "freeze", "c1"); a.code != fault.Refused || !strings.Contains(a.err, "rises to level 2 (frozen)") {
		t.Errorf("code %d: %s", a.code, a.err)
	}
}

func TestLevelsAreShown(t *testing.T) {
	w := levelOne(t, levels.Oldest())
	a := w.run(t.Context(), "config", "show", "--levels", "-o", "json")
	var got Levels
	if err := json.Unmarshal([]byte(a.out), &got); a.code != fault.OK || err != nil {
		t.Fatalf("code %d, %v: %s", a.code, err, a.out)
	}
	if got.Level != 1 || got.Known != 2 || got.Lowest != 1 || len(got.HeldBackBy) != 1 || got.HeldBackBy[0] != "sb1" || len(got.Servers) == 0 {
		t.Errorf("%+v", got)
	}
	for _, s := range got.Servers {
		if known := s.Levels != nil; known != (s.Name == "srv1" || s.Name == "sb1") {
			t.Errorf("levels of %s: %+v", s.Name, s.Levels)
		}
	}
	a = w.run(t.Context(), "config", "show", "--levels")
	if a.code != fault.OK || !strings.Contains(a.out, "1.1.0") || !strings.Contains(a.err, "held back by sb1") {
		t.Errorf("code %d: %s%s", a.code, a.out, a.err)
	}
}
