package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"os"
	"path/filepath"
	"strings"
	"testing"

	"mxcluster/internal/fault"
)

// A host's name may come with a domain or without, and in any case; one that is not in
// the document is told, by a nightly job, too.
func TestHostNames(t *testing.T) {
	s := newServers(t, clusterconftest.OneCluster, "srv1", "sb1")
	s.backup(t, "srv1", "1", "data")
	w, from := s.world("srv1"), t.TempDir()
	if err := os.WriteFile(filepath.Join(from, "extensions"), []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"srv1.example.com", "SRV1", "Srv1.Example.com"} {
		w.environ["MXCLUSTER_SERVER"] = name
		if got := w.must(t, "sync", "--here", "-o", "json"); !strings.Contains(got.out, `"lim": 1`) {
			t.Errorf("%s: sync: %s", name, got.out)
		}
		if got := w.must(t, "status", "-o", "json"); !strings.Contains(got.out, `"observer": "srv1"`) || got.err != "" {
			t.Errorf("%s: status: %s %s", name, got.out, got.err)
		}
		w.must(t, "xdata", "backup", "--lim", "1", "--from", from, "--dry-run")
	}
	w.environ["MXCLUSTER_SERVER"] = "host9.example.com"
	for _, line := range []string{"sync", "sync --here --quiet --no-input", "xdata backup --lim 1 --dry-run --from " + from, "xdata serve"} {
		got := w.run(t.Context(), strings.Fields(line)...)
		if got.code != fault.NotFound || !strings.Contains(got.err, `there is no server "host9.example.com"`) || got.out != "" {
			t.Errorf("%s: code %d: %s", line, got.code, got.err)
		}
	}
	if got := w.must(t, "status"); !strings.Contains(got.err, "host9.example.com") {
		t.Errorf("status: %q", got.err)
	}
	w.must(t, "sync", "--all", "--lim", "1") // it needs no name of its own
}

func TestHostNameOfTwo(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, strings.ReplaceAll(strings.ReplaceAll(clusterconftest.OneCluster, "srv1", "srv1.a"), "srv2", "srv1.b"))
	w.environ["MXCLUSTER_SERVER"] = "srv1"
	got := w.run(t.Context(), "sync", "--here", "-q")
	if got.code != fault.NotFound || !strings.Contains(got.err, "may be srv1.a or srv1.b") {
		t.Errorf("code %d: %s", got.code, got.err)
	}
}
