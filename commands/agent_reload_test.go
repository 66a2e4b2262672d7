package commands

import (
	"strings"
	"testing"

	"mxcluster/internal/fault"
)

func TestAgentReload(t *testing.T) {
	w := newWorld(t.TempDir())
	if got := w.run(t.Context(), "agent", "reload"); got.code != fault.Unreachable {
		t.Errorf("without an agent: %+v", got)
	}
	w.agent.running = true
	if got := w.must(t, "agent", "reload"); w.agent.reloads != 2 || !strings.Contains(got.err, "revision 7") {
		t.Errorf("%d reloads, %+v", w.agent.reloads, got)
	}
	w.agent.err = fault.New(fault.Invalid, "mend it", "line 3 is wrong")
	if got := w.run(t.Context(), "agent", "reload"); got.code != fault.Invalid || !strings.Contains(got.err, "line 3 is wrong") {
		t.Errorf("of a document that is not valid: %+v", got)
	}
	if got := w.run(t.Context(), "agent", "reload", "now"); got.code != fault.Usage {
		t.Errorf("with an argument: %+v", got)
	}
}
