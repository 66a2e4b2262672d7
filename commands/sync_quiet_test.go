package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/fault"
	"mxcluster/xdata"
)

// For cron: silence and 0 when all is well; one line and the right code when not.
func TestSyncQuiet(t *testing.T) {
	s := newServers(t, clusterconftest.OneCluster, "srv1", "srv2", "srv3", "sb1")
	s.backup(t, "srv1", "1", "data of LIM 1")
	v2 := s.backup(t, "srv2", "2", "data of LIM 2")
	for _, here := range []string{"sb1", "sb1", "srv1", "srv3"} { // copied, in sync, and elsewhere
		a := s.world(here).run(t.Context(), "sync", "--quiet")
		if a.code != fault.OK || a.out+a.err != "" {
			t.Errorf("on %s: code %d, %q, %q", here, a.code, a.out, a.err)
		}
	}
	if a := s.world("sb1").must(t, "sync", "-q", "-o", "json"); !strings.Contains(a.out, "SyncReport") {
		t.Errorf("what was asked for is not there: %q", a.out)
	}
	// The standby's newest version of LIM 2 gets other content of the same time.
	file := filepath.Join(s.dir, "sb1/var/xdata", v2, "extensions")
	if err := os.WriteFile(file, []byte("DATA of LIM 2"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, testNow(), testNow()); err != nil {
		t.Fatal(err)
	}
	for _, here := range []string{"sb1", "srv3"} {
		a := s.world(here).run(t.Context(), "sync", "--quiet", "--lim", "2", "--lim", "1")
		if here == "srv3" { // by then the good version has come back
			if a.code != fault.OK || a.out+a.err != "" {
				t.Errorf("on %s: code %d, %q, %q", here, a.code, a.out, a.err)
			}
			continue
		}
		if a.code != fault.Conflict || a.out != "" || strings.Count(a.err, "\n") != 1 || !strings.Contains(a.err, "LIM 2") {
			t.Errorf("on %s: code %d, %q, %q", here, a.code, a.out, a.err)
		}
	}
	// Nobody there at all: still one line.
	w := s.world("sb1")
	w.environ["MXCLUSTER_SYNC_RSH"] = "/nonexistent/rsh"
	if a := w.run(t.Context(), "sync", "-q"); a.code != fault.Unreachable || a.out != "" || strings.Count(a.err, "\n") != 1 {
		t.Errorf("code %d, %q, %q", a.code, a.out, a.err)
	}
}

// What became of a sync is remembered on both sides, for the alarm.
func TestSyncIsRemembered(t *testing.T) {
	s := newServers(t, clusterconftest.OneCluster, "srv1", "sb1")
	record := func(name string) xdata.Record {
		t.Helper()
		r, err := xdata.Records{Dir: s.world(name).path("var/sync")}.Read(1)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	w := s.world("sb1")
	w.run(t.Context(), "sync", "--lim", "1", "--dry-run")
	if r := record("sb1"); !r.Since.IsZero() {
		t.Errorf("a dry run is remembered: %+v", r)
	}
	w.environ["MXCLUSTER_SYNC_RSH"] = "/nonexistent/rsh"
	w.run(t.Context(), "sync", "--lim", "1")
	if r := record("sb1"); r.Failure == nil || r.Failure.Code != fault.Unreachable || r.LastGood != nil {
		t.Errorf("after a failure: %+v", r)
	}
	s.backup(t, "srv1", "1", "data")
	s.world("srv1").must(t, "sync")
	for _, name := range []string{"srv1", "sb1"} {
		if r := record(name); r.Failure != nil || r.LastGood == nil || !r.LastGood.Equal(testNow()) {
			t.Errorf("%s after a good one: %+v", name, r)
		}
	}
}

// A limit holds, also where the work is passed on.
func TestSyncBandwidth(t *testing.T) {
	s := newServers(t, clusterconftest.OneCluster, "srv1", "srv3", "sb1")
	const size, rate = 300_000, 1 << 20
	for i, here := range []string{"srv1", "sb1", "srv3"} {
		from := t.TempDir()
		file := filepath.Join(from, "extensions")
		if err := os.WriteFile(file, []byte(randomText(size, i)), 0o600); err != nil {
			t.Fatal(err)
		}
		at := testNow().Add(time.Duration(i-5) * time.Minute)
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
		s.world("srv1").must(t, "xdata", "backup", "--lim", "1", "--from", from, "--no-sync")
		got := s.report(t, here, fault.OK, "sync", "--lim", "1", "--bwlimit", "1M")
		least := size*time.Second/rate - 200*time.Millisecond
		if len(got) != 1 || got[0].Result != xdata.Copied || got[0].SentBytes < size || time.Duration(got[0].TookMs)*time.Millisecond < least {
			t.Errorf("on %s: %+v, want %s at least", here, got, least)
		}
	}
}

// randomText is text that nothing compresses much, another for each seed.
func randomText(size, seed int) string {
	x := uint64(seed)*2654435761 + 88172645463325252
	b := make([]byte, size)
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return string(b)
}

// Progress is for a person at a terminal, and for nobody else.
func TestSyncProgress(t *testing.T) {
	s := newServers(t, clusterconftest.OneCluster, "srv1", "sb1")
	s.backup(t, "srv1", "1", randomText(100_000, 1))
	w := s.world("sb1")
	w.term = true
	if a := w.must(t, "sync", "--lim", "1"); !strings.Contains(a.err, "\rLIM 1") && !strings.Contains(a.err, "LIM 1  ") {
		t.Errorf("%q", a.err)
	}
	for _, args := range [][]string{{"sync", "--lim", "1", "-q"}, {"sync", "--lim", "1", "-o", "json"}} {
		if a := w.must(t, args...); strings.Contains(a.err, "\r") {
			t.Errorf("%s: %q", args, a.err)
		}
	}
	w.term = false
	if a := w.must(t, "sync", "--lim", "1"); strings.Contains(a.err, "\r") {
		t.Errorf("in a pipe: %q", a.err)
	}
}

func TestWorst(t *testing.T) {
	e := func(code fault.Code) error { return fault.New(code, "hint", "error %d", code) }
	for _, tc := range []struct {
		errs []error
		want fault.Code
		text string
	}{
		{nil, fault.OK, ""},
		{[]error{nil, e(fault.Busy)}, fault.Busy, "error 6"},
		{[]error{e(fault.Busy), e(fault.Unreachable)}, fault.Unreachable, "what: error 6; error 5"},
		{[]error{e(fault.Unreachable), e(fault.Conflict), e(fault.Failed)}, fault.Conflict, "what: error 5; error 7; error 1"},
		{[]error{e(fault.NotFound), e(fault.Refused)}, fault.Refused, "what: error 4; error 3"},
	} {
		err := joinErrors(errors.Join(tc.errs...), "what")
		if fault.CodeOf(err) != tc.want || err != nil && err.Error() != tc.text {
			t.Errorf("%v: %d, %v", tc.errs, fault.CodeOf(err), err)
		}
	}
}
