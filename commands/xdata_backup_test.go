package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"os"
	"path/filepath"
	"strings"
	"testing"

	"mxcluster/internal/fault"
)

// dataFolder is one to make versions of.
func dataFolder(t *testing.T) string {
	t.Helper()
	from := t.TempDir()
	if err := os.WriteFile(filepath.Join(from, "extensions"), []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(from, "extensions"), testNow(), testNow()); err != nil {
		t.Fatal(err)
	}
	return from
}

// versionsOf lists the versions on a server.
func (s *servers) versionsOf(t *testing.T, name string) string {
	t.Helper()
	return strings.TrimSpace(s.world(name).must(t, "xdata", "list", "-o", "name").out)
}

// A backup goes to the other side at once (spec ch. 3), from both sides.
func TestBackupIsSynchronised(t *testing.T) {
	for _, here := range []string{"srv1", "sb1"} {
		s := newServers(t, clusterconftest.OneCluster, "srv1", "sb1")
		a := s.world(here).must(t, "xdata", "backup", "--lim", "1", "--from", dataFolder(t))
		v := strings.TrimSpace(a.out)
		if !strings.Contains(a.err, "LIM 1: "+v+" copied") {
			t.Errorf("on %s: told %q", here, a.err)
		}
		for _, name := range []string{"srv1", "sb1"} {
			if got := s.versionsOf(t, name); got != v {
				t.Errorf("made on %s, %s has %q, want %q", here, name, got, v)
			}
		}
	}
}

// The agents of both servers are told what a command did with the data.
func TestAgentIsToldOfData(t *testing.T) {
	s := newServers(t, clusterconftest.OneCluster, "srv1", "sb1")
	w := s.world("srv1")
	w.agent.running = true
	w.must(t, "xdata", "backup", "--lim", "1", "--force", "--no-sync", "--from", dataFolder(t))
	if w.agent.looks != 1 {
		t.Errorf("the agent was told of a backup %d times", w.agent.looks)
	}
	for line, want := range map[string]bool{"sync --lim 1": true, "xdata verify --lim 1": true, "xdata serve": true, "xdata prune": false, "xdata list": false} {
		before := w.agent.looks
		w.run(t.Context(), strings.Fields(line)...)
		if told := w.agent.looks > before; told != want {
			t.Errorf("%s: the agent was told: %v, want %v", line, told, want)
		}
	}
}

// When the other side cannot be reached the version stays, its name is printed,
// and the exit code is the sync's.
func TestBackupStaysWithoutSync(t *testing.T) {
	s := newServers(t, clusterconftest.OneCluster, "srv1", "sb1")
	w := s.world("srv1")
	w.environ["MXCLUSTER_SYNC_RSH"] = "/nonexistent/rsh"
	a := w.run(t.Context(), "xdata", "backup", "--lim", "1", "--from", dataFolder(t))
	v := strings.TrimSpace(a.out)
	if a.code != fault.Unreachable || v == "" || !strings.Contains(a.err, v+" is made, but not copied to the other side") || !strings.Contains(a.err, "sync.rsh") {
		t.Errorf("code %d, %q, %q", a.code, a.out, a.err)
	}
	if got := s.versionsOf(t, "srv1"); got != v {
		t.Errorf("srv1 has %q, want %q", got, v)
	}
}

// Where there is nothing to copy to, or it is not wanted, nothing is reached for.
func TestBackupAlone(t *testing.T) {
	s := newServers(t, clusterconftest.OneCluster, "srv1", "srv3", "sb1")
	for _, tc := range []struct{ server, args string }{
		{"srv1", "--lim 1 --no-sync"},
		{"srv3", "--lim 3"}, // in no cluster
	} {
		w := s.world(tc.server)
		w.environ["MXCLUSTER_SYNC_RSH"] = "/nonexistent/rsh"
		w.must(t, append(strings.Fields("xdata backup "+tc.args), "--from", dataFolder(t))...)
	}
}

// A version of a LIM that never runs here would stay here, whatever a sync between its
// own servers says.
func TestBackupWhereTheLIMNeverRuns(t *testing.T) {
	s := newServers(t, clusterconftest.OneCluster, "srv2", "sb2", "free1")
	for _, name := range []string{"srv2", "sb2", "free1"} {
		w := s.world(name)
		for _, dry := range []string{"", "--dry-run"} {
			a := w.run(t.Context(), append(strings.Fields("xdata backup --lim 1 "+dry), "--from", dataFolder(t))...)
			if a.code != fault.Refused || !strings.Contains(a.err, "LIM 1 runs on srv1 or on sb1, not on "+name) || !strings.Contains(a.err, "run it on srv1") {
				t.Errorf("on %s %s: code %d: %s", name, dry, a.code, a.err)
			}
		}
		if got := s.versionsOf(t, name); got != "" {
			t.Errorf("%s has %q", name, got)
		}
		w.must(t, append(strings.Fields("xdata backup --lim 1 --no-sync"), "--from", dataFolder(t))...)
	}
}

func TestBackupDryRun(t *testing.T) {
	s := newServers(t, clusterconftest.OneCluster, "srv1", "sb1")
	w := s.world("srv1")
	before, err := w.fingerprint()
	if err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"":          " and synchronised with sb1\n",
		"--no-sync": "\n",
	} {
		from := dataFolder(t)
		a := w.must(t, append(strings.Fields("xdata backup --lim 1 --dry-run "+args), "--from", from)...)
		if a.out != "a data version of LIM 1 would be made of "+from+want {
			t.Errorf("%s: %q", args, a.out)
		}
	}
	if after, err := w.fingerprint(); err != nil || after != before {
		t.Errorf("something was written (%v)", err)
	}
}

// A dry run of a sync says what it would copy, here and where it is passed on to.
func TestSyncDryRun(t *testing.T) {
	s := newServers(t, clusterconftest.OneCluster, "srv1", "srv2", "srv3", "sb1")
	v := s.backup(t, "srv1", "1", "data of LIM 1")
	for _, here := range []string{"srv1", "sb1", "srv3"} {
		got := s.report(t, here, fault.OK, "sync", "--lim", "1", "--dry-run")
		if len(got) != 1 || got[0].Result != "would-copy" || got[0].Direction != "to-standby" || got[0].Version != v {
			t.Errorf("on %s: %+v", here, got)
		}
	}
	if got := s.versionsOf(t, "sb1"); got != "" {
		t.Errorf("sb1 has %q", got)
	}
}
