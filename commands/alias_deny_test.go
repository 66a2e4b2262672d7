package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// Aliases are denied from the boot on, until one is brought up by hand; what serves is
// not touched, and nothing is left in the end.
func TestAliasDeny(t *testing.T) {
	synctest.Test(t, testAliasDeny)
}

func testAliasDeny(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, strings.Replace(clusterconftest.OneCluster, "servers:\n", "management:\n  address: 10.0.0.18/24\n  replicationUser: replica\n  fallback: manual\nservers:\n", 1))
	if err := addAddresses(w.kernel, "eth0", "10.0.0.21/24"); err != nil {
		t.Fatal(err)
	}
	w.must(t, "alias", "deny", "-n")
	if denied, _ := w.kernel.Denied(); len(denied) > 0 {
		t.Fatalf("a dry run denies %v", denied)
	}
	w.must(t, "alias", "deny")
	all, _ := w.kernel.Denied()
	alias := netip.MustParseAddr("10.0.0.11")
	if !slices.Contains(all, alias) || len(all) < 2 || !slices.Contains(all, netip.MustParseAddr("10.0.0.18")) {
		t.Fatalf("denied: %v", all)
	}
	if a := w.must(t, "alias", "show", "--no-headers"); !strings.Contains(a.out, "denied") {
		t.Errorf("%q does not tell", a.out)
	}
	w.must(t, "alias", "up", "1", "--no-probe")
	if denied, _ := w.kernel.Denied(); slices.Contains(denied, alias) || len(denied) != len(all)-1 {
		t.Errorf("brought up, but denied: %v", denied)
	}
	if a := w.must(t, "alias", "deny"); !strings.Contains(a.err, "10.0.0.11 is on this server and not denied") {
		t.Errorf("%q does not say that it is left", a.err)
	}
	w.must(t, "alias", "down", "1")
	if denied, _ := w.kernel.Denied(); slices.Contains(denied, alias) {
		t.Error("taken down, it is denied though no agent runs")
	}
	if err := addAddresses(w.kernel, "eth0", "10.0.0.11/32"); err != nil {
		t.Fatal(err)
	}
	if a := w.must(t, "alias", "show", "-o", "json"); !strings.Contains(a.out, `"eth0 10.0.0.11/32"`) {
		t.Errorf("a copy with another length is not shown: %s", a.out)
	}
	w.must(t, "alias", "deny", "--off")
	w.must(t, "alias", "deny", "--off")
	if denied, _ := w.kernel.Denied(); len(denied) > 0 {
		t.Errorf("left: %v", denied)
	}
}
