package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"strings"
	"testing"

	"mxcluster/internal/fault"
)

// Who types it must not get binary frames, and no wait for an answer that no person
// can give.
func TestXdataServeRefusesATerminal(t *testing.T) {
	for _, document := range []string{"", clusterconftest.OneCluster} {
		w := newWorld(t.TempDir())
		if document != "" {
			w.document(t, document)
		}
		w.term = true
		a := w.run(t.Context(), "xdata", "serve")
		if a.code != fault.Usage || a.out != "" || !strings.Contains(a.err, "not to a terminal") || !strings.Contains(a.err, "mxcluster sync") {
			t.Errorf("%d: %q, %q", a.code, a.out, a.err)
		}
	}
}
