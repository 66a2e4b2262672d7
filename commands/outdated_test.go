package commands

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/clusterconf/clusterconftest"
	"mxcluster/xdata"
)

func prefix(t *testing.T, text string) netip.Prefix {
	t.Helper()
	p, err := netip.ParsePrefix(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// backups makes data versions of a LIM, an hour apart; the other side has the newest.
func backups(t *testing.T, w *world, lim, n int) {
	t.Helper()
	from := t.TempDir()
	for i := range n {
		at := testNow().Add(time.Duration(i-n) * time.Hour)
		name := fmt.Sprintf("%s/data", from)
		if err := os.WriteFile(name, []byte{byte(i)}, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
		s := &xdata.Store{Dir: w.path("var/xdata"), Now: func() time.Time { return at }}
		if _, err := s.Backup(t.Context(), lim, from); err != nil {
			t.Fatal(err)
		}
		if i == n-1 {
			copied(t, w, s, lim)
		}
	}
}

// copied has the other side take the newest version.
func copied(t *testing.T, w *world, s *xdata.Store, lim int) {
	t.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() {
		defer theirs.Close()
		_ = xdata.Serve(t.Context(), &xdata.Store{Dir: w.path("other"), Now: s.Now}, theirs, theirs, xdata.ServeOptions{})
	}()
	if _, err := xdata.Sync(t.Context(), s, ours, xdata.Request{LIM: lim, Side: clusterconf.SideRegular}); err != nil {
		t.Fatal(err)
	}
}

func versionsOf(t *testing.T, w *world) string {
	t.Helper()
	return strings.Join(strings.Fields(w.must(t, "xdata", "list", "-o", "name").out), " ")
}

const (
	oldest = "xdata_1_20260228230000"
	middle = "xdata_1_20260301000000"
	newest = "xdata_1_20260301010000"
	other  = "xdata_3_20260301010000"
)

// After the six actions one data version of each LIM concerned is left; they say
// before which will go, and ask on a terminal.
func TestOutdatedVersions(t *testing.T) {
	for _, tc := range []struct {
		args, answer string
		term         bool
		asks         bool
		want         string
	}{
		{args: "change c1 --priority 2=7", want: newest + " " + other},
		{args: "change c1 --priority 2=7 --dry-run", want: newest + " " + middle + " " + oldest + " " + other},
		{args: "change c1 --priority 2=50", want: newest + " " + middle + " " + oldest + " " + other}, // is so already
		{args: "change c1 --priority 2=7", term: true, answer: "yes\n", asks: true, want: newest + " " + other},
		{args: "change c1 --priority 2=7", term: true, answer: "no\n", asks: true, want: newest + " " + middle + " " + oldest + " " + other},
		{args: "change c1 --priority 2=7 --yes", term: true, want: newest + " " + other},
		{args: "lock 1 --to regular", term: true, want: newest + " " + middle + " " + oldest + " " + other},
		{args: "server to-standby free1", term: true, want: newest + " " + middle + " " + oldest + " " + other},
		{args: "remove-lim c1 2 --yes", want: newest + " " + other},
		{args: "add-lim c1 3 --base 10.0.0.26 --yes", want: newest + " " + other},
		{args: "config rollback 5 --yes", want: newest + " " + other},
	} {
		t.Run(tc.args, func(t *testing.T) {
			w := newWorld(t.TempDir())
			w.document(t, clusterconftest.OneCluster)
			history := strings.NewReplacer("revision: 6", "revision: 5", "priority: 50", "priority: 51").Replace(clusterconftest.OneCluster)
			if err := os.MkdirAll(w.path("var/history"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(w.path("var/history/00000005.yaml"), []byte(history), 0o644); err != nil {
				t.Fatal(err)
			}
			backups(t, w, 1, 3)
			backups(t, w, 3, 1)
			w.term, w.stdin = tc.term, strings.NewReader(tc.answer)
			a := w.run(t.Context(), strings.Fields(tc.args)...)
			if asked := strings.Contains(a.err, "Go on, yes or no"); asked != tc.asks {
				t.Errorf("asked: %v\n%s", asked, a.err)
			}
			if said := strings.Contains(a.out+a.err, "data version "+oldest+" on srv1 removed: it no longer fits"); said != (tc.asks || strings.Contains(tc.args, "--dry-run")) {
				t.Errorf("said %v:\n%s%s", said, a.out, a.err)
			}
			w.term = false
			if got := versionsOf(t, w); got != tc.want {
				t.Errorf("versions are %s, want %s", got, tc.want)
			}
		})
	}
}

// What an agent runs here for is not done twice.
func TestOutdatedVersionsWithAgent(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	backups(t, w, 1, 3)
	before := versionsOf(t, w)
	w.agent.running = true
	w.must(t, "change", "c1", "--priority", "2=7")
	if got := versionsOf(t, w); got != before || w.agent.reloads != 1 {
		t.Errorf("versions are %s, were %s; the agent was told %d times", got, before, w.agent.reloads)
	}
}

// Versions that cannot be seen or removed are told of; the edit stands.
func TestOutdatedVersionsUnseen(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	if err := os.WriteFile(w.path("var"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	w.environ["MXCLUSTER_STATE_DIR"] = w.path("state")
	w.environ["MXCLUSTER_XDATA_DIR"] = w.path("var/xdata")
	a := w.must(t, "change", "c1", "--priority", "2=7")
	if !strings.Contains(a.err, "warning: looking for data versions that no longer fit: ") {
		t.Errorf("said %q", a.err)
	}
}

// What the edit cannot remove on other servers is named, with what to type there; the
// next sync brings it, whichever side it is started on.
func TestOutdatedVersionsElsewhere(t *testing.T) {
	for _, asks := range []string{"srv1", "sb1"} {
		s := newServers(t, clusterconftest.OneCluster, "srv1", "sb1")
		for _, content := range []string{"1", "2", "3"} {
			s.backup(t, "srv1", "1", content)
			s.world("srv1").must(t, "sync")
		}
		if n := len(strings.Fields(s.versionsOf(t, "sb1"))); n != 2 {
			t.Fatalf("sb1 has %d versions", n)
		}
		a := s.world("srv1").must(t, "change", "c1", "--priority", "1=7")
		if !strings.Contains(a.out+a.err, "on sb1: mxcluster xdata prune --lim 1 --keep 1") {
			t.Errorf("told %s%s", a.out, a.err)
		}
		if got := s.versionsOf(t, "srv1"); len(strings.Fields(got)) != 1 {
			t.Errorf("srv1 has %s", got)
		}
		s.world(asks).must(t, "sync", "--lim", "1")
		if got := s.versionsOf(t, "sb1"); len(strings.Fields(got)) != 1 {
			t.Errorf("sb1 has %s after a sync from %s", got, asks)
		}
	}
}
