package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"strings"
	"testing"
)

// Commands that have nowhere to keep a reason tell it with their result.
func TestReasonIsTold(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	for _, line := range []string{"alias down 1", "alias block 1 --dry-run", "alias unblock 1", "agent stop"} {
		a := w.must(t, append(strings.Fields(line), "--reason", "new disk")...)
		if !strings.Contains(a.out+a.err, ": new disk\n") {
			t.Errorf("%s: %q", line, a.out+a.err)
		}
		if a := w.must(t, append(strings.Fields(line), "-o", "json", "--reason", "new disk")...); !strings.Contains(a.out, ": new disk\"") {
			t.Errorf("%s in JSON: %q", line, a.out)
		}
	}
}
