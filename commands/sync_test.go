package commands

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mxcluster/clusterconf"
	"mxcluster/clusterconf/clusterconftest"
	"mxcluster/internal/fault"
	"mxcluster/xdata"
)

// servers are several servers, each with folders of its own below one. They
// reach each other by starting this program.
type servers struct{ dir string }

func newServers(t *testing.T, document string, names ...string) *servers {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &servers{dir: t.TempDir()}
	there := filepath.Join(s.dir, "{server}")
	for _, name := range names {
		w := s.world(name)
		w.document(t, document)
		text := fmt.Sprintf("server: %s\nsync.remote_command: %s\nsync.rsh: env %s=1 MXCLUSTER_CONFIG_DIR=%s MXCLUSTER_STATE_DIR=%s MXCLUSTER_RUN_DIR=%s\n",
			name, exe, asCommand, there+"/etc", there+"/var", there+"/run")
		if err := os.WriteFile(w.path("etc/mxcluster.yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// world is one of the servers.
func (s *servers) world(name string) *world {
	w := newWorld(filepath.Join(s.dir, name))
	w.environ["MXCLUSTER_SERVER"] = "" // the settings say it
	return w
}

// backup makes a version of a LIM on a server.
func (s *servers) backup(t *testing.T, name, lim, content string) string {
	t.Helper()
	from := t.TempDir()
	file := filepath.Join(from, "extensions")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	at := testNow().Add(-time.Hour)
	if err := os.Chtimes(file, at, at); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(s.world(name).must(t, "xdata", "backup", "--lim", lim, "--from", from, "--no-sync").out)
}

// report runs a sync and returns the outcomes: LIM, result, direction.
func (s *servers) report(t *testing.T, name string, code fault.Code, args ...string) []xdata.Result {
	t.Helper()
	a := s.world(name).run(t.Context(), append(args, "-o", "json")...)
	if a.code != code {
		t.Errorf("%s on %s: code %d, want %d: %s", args, name, a.code, code, a.err)
	}
	var r syncReport
	if err := json.Unmarshal([]byte(a.out), &r); err != nil || r.Kind != "SyncReport" || r.APIVersion != "mxcluster/v1" {
		t.Fatalf("%s on %s: %v: %s%s", args, name, err, a.out, a.err)
	}
	return r.Results
}

func outcomes(results []xdata.Result) []string {
	var words []string
	for _, r := range results {
		words = append(words, strings.Join([]string{string(rune('0' + r.LIM)), string(r.Result), string(r.Direction)}, " "))
	}
	return words
}

func TestSync(t *testing.T) {
	s := newServers(t, clusterconftest.OneCluster, "srv1", "srv2", "srv3", "sb1")
	v1 := s.backup(t, "srv1", "1", "data of LIM 1")
	s.backup(t, "srv2", "2", "data of LIM 2")

	// A regular server does its own LIM.
	if diff := cmp.Diff([]string{"1 copied to-standby"}, outcomes(s.report(t, "srv1", fault.OK, "sync"))); diff != "" {
		t.Errorf("on srv1 (-want +got):\n%s", diff)
	}
	// The standby does every one.
	if diff := cmp.Diff([]string{"1 in-sync none", "2 copied to-standby"}, outcomes(s.report(t, "sb1", fault.OK, "sync", "c1"))); diff != "" {
		t.Errorf("on sb1 (-want +got):\n%s", diff)
	}
	if a := s.world("sb1").must(t, "xdata", "list", "--lim", "1", "-o", "name"); a.out != v1+"\n" {
		t.Errorf("sb1 has %q, want %q", a.out, v1)
	}
	if diff := cmp.Diff([]string{"2 in-sync none"}, outcomes(s.report(t, "sb1", fault.OK, "sync", "--lim", "2"))); diff != "" {
		t.Errorf("one LIM (-want +got):\n%s", diff)
	}
}

// It goes on with the rest when one fails, and reports each.
func TestSyncGoesOn(t *testing.T) {
	s := newServers(t, clusterconftest.OneCluster, "srv1", "srv2", "sb1")
	s.backup(t, "srv2", "2", "data of LIM 2")
	s.backup(t, "srv1", "1", "data of LIM 1")
	s.backup(t, "sb1", "1", "other data of LIM 1")
	got := s.report(t, "sb1", fault.Conflict, "sync")
	if diff := cmp.Diff([]string{"1 conflict none", "2 copied to-standby"}, outcomes(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got[0].Error == nil || got[1].Error != nil {
		t.Errorf("errors %v, %v", got[0].Error, got[1].Error)
	}
}

func TestSyncUnreachable(t *testing.T) {
	s := newServers(t, clusterconftest.OneCluster, "sb1")
	w := s.world("sb1")
	w.environ["MXCLUSTER_SYNC_RSH"] = "/nonexistent/rsh"
	a := w.run(t.Context(), "sync")
	if a.code != fault.Unreachable || !strings.Contains(a.err, "2 of 2 LIMs were not synchronised") || !strings.Contains(a.err, "sync.rsh") {
		t.Errorf("code %d: %s", a.code, a.err)
	}
	if strings.Count(a.out, "failed") != 2 {
		t.Errorf("reported\n%s", a.out)
	}
}

// Where to do what.
func TestPlanSync(t *testing.T) {
	doc, err := clusterconf.Parse("test", []byte(clusterconftest.OneCluster))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		me, only string
		o        syncOptions
		want     []string
	}{
		{"sb1", "", syncOptions{}, []string{"1 with srv1 as standby", "2 with srv2 as standby"}},
		{"sb1", "", syncOptions{all: true}, []string{"1 with srv1 as standby", "2 with srv2 as standby"}},
		{"sb1", "c1", syncOptions{lims: []int{2}}, []string{"2 with srv2 as standby"}},
		{"srv1", "", syncOptions{}, []string{"1 with sb1 as regular"}},
		{"srv1", "c1", syncOptions{}, []string{"1 with sb1 as regular"}},
		{"srv1", "", syncOptions{all: true}, []string{"1,2 on sb1"}},
		{"srv1", "", syncOptions{lims: []int{1, 2}}, []string{"1 with sb1 as regular", "2 on sb1"}},
		{"srv1", "", syncOptions{here: true}, []string{"1 with sb1 as regular"}},
		{"sb1", "", syncOptions{here: true}, []string{"1 with srv1 as standby", "2 with srv2 as standby"}},
		{"srv3", "", syncOptions{here: true}, nil},
		{"stranger", "", syncOptions{here: true}, nil},
		{"srv3", "", syncOptions{}, []string{"1,2 on sb1"}},
		{"srv3", "c1", syncOptions{lims: []int{1}}, []string{"1 on sb1"}},
		{"sb2", "", syncOptions{}, []string{"1,2 on sb1"}},
		{"stranger", "", syncOptions{}, []string{"1,2 on sb1"}},
	} {
		jobs, err := planSync(doc, tc.me, tc.only, tc.o)
		if err != nil {
			t.Errorf("%s %+v: %v", tc.me, tc.o, err)
		}
		var got []string
		for _, j := range jobs {
			lims := strings.ReplaceAll(joinInts(j.lims), " ", "")
			if j.side == "" {
				got = append(got, lims+" on "+j.there.Name)
			} else {
				got = append(got, lims+" with "+j.there.Name+" as "+string(j.side))
			}
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("on %s, %q, %+v (-want +got):\n%s", tc.me, tc.only, tc.o, diff)
		}
	}
}

// From elsewhere the standby is told to do it, and its report is passed on.
func TestSyncElsewhere(t *testing.T) {
	s := newServers(t, clusterconftest.OneCluster, "srv1", "srv2", "srv3", "sb1")
	s.backup(t, "srv1", "1", "data of LIM 1")
	if diff := cmp.Diff([]string{"1 copied to-standby"}, outcomes(s.report(t, "srv3", fault.OK, "sync", "c1", "--lim", "1"))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// What goes wrong is reported from there, with its code; to have no data does not.
	if diff := cmp.Diff([]string{"1 in-sync none", "2 in-sync none"}, outcomes(s.report(t, "srv1", fault.OK, "sync", "--all"))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s.backup(t, "srv2", "2", "data of LIM 2")
	s.backup(t, "sb1", "2", "other data of LIM 2")
	got := s.report(t, "srv1", fault.Conflict, "sync", "--all")
	if diff := cmp.Diff([]string{"1 in-sync none", "2 conflict none"}, outcomes(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got[1].Error == nil {
		t.Error("no error is told")
	}
}

func TestSyncElsewhereUnreachable(t *testing.T) {
	s := newServers(t, clusterconftest.OneCluster, "srv3")
	w := s.world("srv3")
	w.environ["MXCLUSTER_SYNC_RSH"] = "false"
	a := w.run(t.Context(), "sync")
	if a.code != fault.Unreachable || strings.Count(a.out, "failed") != 2 {
		t.Errorf("code %d\n%s%s", a.code, a.out, a.err)
	}
}
