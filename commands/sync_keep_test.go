package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"os"
	"path/filepath"
	"strings"
	"testing"

	"mxcluster/internal/fault"
	"mxcluster/internal/status"
)

// conflicted returns servers whose data of LIM 1 are in conflict.
func conflicted(t *testing.T) (s *servers, regular, standby string) {
	t.Helper()
	s = newServers(t, clusterconftest.OneCluster, "srv1", "srv3", "sb1")
	s.backup(t, "srv1", "1", "before")
	s.world("srv1").must(t, "sync")
	return s, s.backup(t, "srv1", "1", "on the regular side"), s.backup(t, "sb1", "1", "on the standby")
}

// A conflict is told by sync, its dry run and status, and ended from anywhere.
func TestSyncKeep(t *testing.T) {
	for _, here := range []string{"srv1", "sb1", "srv3"} {
		s, regular, standby := conflicted(t)
		w := s.world(here)
		if regular == standby {
			t.Errorf("%s stands for two contents", regular)
		}
		for _, args := range [][]string{{"sync", "--lim", "1", "-n"}, {"sync", "--lim", "1"}} {
			a := w.run(t.Context(), args...)
			if a.code != fault.Conflict || !strings.Contains(a.err, regular) || here != "srv3" && !strings.Contains(a.err, "mxcluster sync --lim 1 --keep regular") {
				t.Errorf("%v on %s: code %d: %s", args, here, a.code, a.err)
			}
		}
		for _, name := range []string{"srv1", "sb1"} {
			if a := s.world(name).must(t, "status"); !strings.Contains(a.out, "conflict") {
				t.Errorf("status of %s: %s", name, a.out)
			}
		}
		got := s.report(t, here, fault.OK, "sync", "--lim", "1", "--keep", "standby", "-n")
		if len(got) != 1 || got[0].Result != "would-copy" || got[0].Direction != "to-regular" || got[0].Version != standby {
			t.Errorf("dry: %+v", got)
		}
		a := w.must(t, "sync", "--lim", "1", "--keep", "standby")
		aside := filepath.Join(s.world("srv1").path("var/xdata"), "set-aside", regular)
		if !strings.Contains(a.err, aside) {
			t.Errorf("told %q, want %s", a.err, aside)
		}
		if _, err := os.Stat(aside); err != nil {
			t.Error(err)
		}
		var lists []string
		for _, name := range []string{"srv1", "sb1"} {
			lists = append(lists, strings.Fields(s.versionsOf(t, name))[0])
			if a := s.world(name).must(t, "status"); strings.Contains(a.out, "conflict") {
				t.Errorf("status of %s afterwards: %s", name, a.out)
			}
		}
		if lists[0] != lists[1] || lists[0] == regular || lists[0] == standby {
			t.Errorf("newest are %v", lists)
		}
		if a := w.run(t.Context(), "sync", "--lim", "1", "--keep", "standby"); a.code != fault.Refused {
			t.Errorf("where there is none: code %d: %s", a.code, a.err)
		}
	}
}

func TestSyncKeepUsage(t *testing.T) {
	s := newServers(t, clusterconftest.OneCluster, "sb1")
	for _, args := range []string{"--keep regular", "--keep both --lim 1", "--keep regular --lim 1 --direction to-standby"} {
		if a := s.world("sb1").run(t.Context(), append([]string{"sync"}, strings.Fields(args)...)...); a.code != fault.Usage {
			t.Errorf("%s: code %d: %s", args, a.code, a.err)
		}
	}
}

// A dry run says which versions would go.
func TestSyncDryRunTellsWhatGoes(t *testing.T) {
	s := newServers(t, clusterconftest.OneCluster, "srv1", "sb1")
	first := s.backup(t, "srv1", "1", "1")
	for _, content := range []string{"2", "3", "4"} {
		s.backup(t, "srv1", "1", content)
	}
	before := s.versionsOf(t, "srv1")
	a := s.world("srv1").must(t, "sync", "-n")
	if !strings.Contains(a.err, first+" would be removed on the regular side") {
		t.Errorf("told %q", a.err)
	}
	if after := s.versionsOf(t, "srv1"); after != before {
		t.Errorf("from %s to %s", before, after)
	}
	s.world("srv1").must(t, "sync")
	if after := s.versionsOf(t, "srv1"); strings.Contains(after, first) || len(strings.Fields(after)) != 3 {
		t.Errorf("left: %s", after)
	}
}

// A LIM without data is no failure, and is said.
func TestSyncOfNothing(t *testing.T) {
	s := newServers(t, clusterconftest.OneCluster, "srv1", "sb1")
	a := s.world("srv1").must(t, "sync", "--lim", "1")
	if !strings.Contains(a.err, "LIM 1 has no data yet") {
		t.Errorf("told %q", a.err)
	}
}

// Where the LIM is not active its data are old: they are not backed up unless that is
// wanted. Without an agent that can tell they are.
func TestBackupWhereTheLIMIsNotActive(t *testing.T) {
	on := func(server, side string) *status.ClusterStatus {
		l := status.StatusLIM{LIM: 1, Side: side}
		if server != "" {
			l.ActiveOn = &server
		}
		return &status.ClusterStatus{Clusters: []status.StatusCluster{{Name: "c1", LIMs: []status.StatusLIM{l}}}}
	}
	for _, tc := range []struct {
		status *status.ClusterStatus
		args   string
		want   fault.Code
		said   string
	}{
		{on("srv1", "regular"), "", fault.OK, ""},
		{on("sb1", "standby"), "", fault.Refused, "LIM 1 is active on sb1, not here"},
		{on("sb1", "standby"), "--dry-run", fault.Refused, "LIM 1 is active on sb1, not here"},
		{on("sb1", "standby"), "--force", fault.OK, ""},
		{on("", "none"), "", fault.Refused, "active nowhere"},
		{on("", "unknown"), "", fault.OK, ""},
		{nil, "", fault.OK, ""},
	} {
		w := newWorld(t.TempDir())
		w.document(t, clusterconftest.OneCluster)
		w.agent.running, w.agent.statuses = tc.status != nil, []*status.ClusterStatus{tc.status}
		a := w.run(t.Context(), append(strings.Fields("xdata backup --lim 1 --no-sync "+tc.args), "--from", dataFolder(t))...)
		if a.code != tc.want || !strings.Contains(a.err, tc.said) {
			t.Errorf("%+v %s: code %d: %s", tc.status, tc.args, a.code, a.err)
		}
	}
}
