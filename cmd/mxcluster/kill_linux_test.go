package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mxcluster/clusterconf"
	"mxcluster/internal/settings"
)

// allKills has edits killed at each of their system calls. Without it they are killed
// at those that may change a file or that others learn of: between two of these all
// that a killed process leaves is the same.
const allKills = "MXCLUSTER_TEST_ALL_KILLS"

// edits are those that are killed. None of them concerns the addresses of srv1,
// where they run.
var edits = []string{
	"server add new1 --base 10.1.5.1/16 --interface eth0 --reason growth",
	"server to-standby free1",
	"server remove free1",
	"lim set 2 --service exec:/opt/lim/service --service systemd:manager.service",
	"create c3 --standby sb3 --lim 5=10.1.6.5,priority=50",
	"change c1 --priority 1=7 --fallback automatic",
	"lock 1 --to regular --reason reboot",
	"delete c2 --yes",
	"config rollback 6 --yes",
}

// An edit that is killed at any system call leaves the old document or the new one,
// and the next edit needs no help.
func TestKilledAtEverySystemCall(t *testing.T) {
	for _, line := range edits {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			killEverywhere(t, line, func(s *site, wanted [2]string) {
				got := s.document(t)
				if c := content(got); c != wanted[0] && c != wanted[1] {
					t.Errorf("neither the old document nor the new one:\n%s", c)
				}
				s.goesOn(t, got)
			})
		})
	}
	t.Run("init", func(t *testing.T) {
		t.Parallel()
		killInit(t)
	})
}

// killEverywhere kills an edit at one system call after the other, each time on a
// server of its own, until it gets through. wanted is what the document may be.
func killEverywhere(t *testing.T, line string, check func(s *site, wanted [2]string)) {
	root := t.TempDir()
	reference := readySite(t, filepath.Join(root, "reference"))
	wanted := [2]string{content(reference.document(t))}
	reference.mustRun(t, line)
	if wanted[1] = content(reference.document(t)); wanted[1] == wanted[0] {
		t.Fatal("the edit changes nothing")
	}
	early, late := 0, 0 // kills that found the old and the new document
	everyCall(t, func(n int) bool {
		s := readySite(t, filepath.Join(root, "killed"))
		killed := s.kill(t, line, n)
		switch {
		case !killed:
		case content(s.document(t)) == wanted[0]:
			early++
		default:
			late++
		}
		check(s, wanted)
		return killed
	}, filepath.Join(root, "killed"))
	t.Logf("%d kills, %d of them after the document was replaced", early+late, late)
	if early == 0 || late == 0 {
		t.Error("no kill came early, or none late")
	}
}

// everyCall kills at one system call after the other until the command got through
// several times: how many calls it makes varies a little. dir is removed each time.
func everyCall(t *testing.T, kill func(n int) bool, dir string) {
	t.Helper()
	through := 0
	for n := 1; through < 4; n++ {
		if !kill(n) {
			through++
		}
		if t.Failed() {
			t.Fatalf("killed at system call %d", n)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// kill runs a command until its n-th system call that counts and tells whether it got so far.
func (s *site) kill(t *testing.T, line string, n int) bool {
	t.Helper()
	counts := changing
	if os.Getenv(allKills) != "" {
		counts = anyCall
	}
	end, calls, err := killAt(s.command(line), n, syscall.SIGKILL, counts)
	switch {
	case err != nil:
		t.Fatal(err)
	case end.Signaled():
		return true
	case end.ExitStatus() != 0:
		t.Fatalf("mxcluster %s: exit code %d after %d system calls", line, end.ExitStatus(), calls)
	}
	return false
}

// readySite makes a server whose history has revision 6.
func readySite(t *testing.T, dir string) *site {
	t.Helper()
	d := system(2, 2)
	s := newSite(t, dir, d)
	if err := os.MkdirAll(s.store.HistoryDir, 0o755); err != nil {
		t.Fatal(err)
	}
	d.Revision--
	d.Clusters[0].LIMs[0].Priority = 42
	write(t, filepath.Join(s.store.HistoryDir, "00000006.yaml"), string(clusterconf.Encode(d)))
	return s
}

// goesOn checks that the next edit works after a kill, that no revision is missing
// and that it cleans up.
func (s *site) goesOn(t *testing.T, d *clusterconf.Document) {
	t.Helper()
	s.mustRun(t, "lim set 1 --service exec:/opt/next")
	after := s.document(t)
	if after.Revision != d.Revision+1 || after.LIM(1) == nil || len(after.LIM(1).Services) != 1 {
		t.Errorf("revision %d came after %d: %+v", after.Revision, d.Revision, after.LIM(1))
	}
	s.wholeHistory(t, 6)
	if found := s.leftovers(t); found != nil {
		t.Errorf("left behind: %v", found)
	}
}

// killInit kills the making of a system: after that there is none or a whole one,
// and the same command completes it.
func killInit(t *testing.T) {
	const line = "init --server srv1 --base 10.1.1.1/16 --interface eth0 --lim 1 --force"
	root, kills := t.TempDir(), 0
	everyCall(t, func(n int) bool {
		s := newSite(t, filepath.Join(root, "init"), nil)
		killed := s.kill(t, line, n)
		if killed {
			kills++
		}
		if _, err := s.store.Read(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("half a document: %v", err)
		}
		s.mustRun(t, line)
		if d := s.document(t); d.Revision != 1 || d.RegularOf(1) == nil {
			t.Errorf("not the system that was to be made: %+v", d)
		}
		if _, err := settings.LoadKeys(s.path("etc/gossip.key")); err != nil {
			t.Error(err)
		}
		s.mustRun(t, "lim set 1 --service exec:/opt/next")
		s.onlyPending(t)
		return killed
	}, filepath.Join(root, "init"))
	t.Logf("%d kills", kills)
}

// onlyPending allows what a killed init leaves for good: the hidden files that were
// to become the key and the settings. Nothing reads them, and nobody but the owner
// may read a key.
func (s *site) onlyPending(t *testing.T) {
	t.Helper()
	for _, name := range s.leftovers(t) {
		info, err := os.Stat(s.path(name))
		switch {
		case err != nil:
			t.Error(err)
		case strings.HasPrefix(name, "etc/.gossip.key") && info.Mode() == 0o600, strings.HasPrefix(name, "etc/.mxcluster.yaml"):
		default:
			t.Errorf("left behind: %s, mode %v", name, info.Mode())
		}
	}
}
