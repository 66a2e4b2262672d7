package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sshKills is how many transfers over ssh are killed: four, or 500, or as many as
// the variable says.
func sshKills() int {
	switch n, err := strconv.Atoi(os.Getenv("MXCLUSTER_TEST_ALL_KILLS")); {
	case err != nil || n < 1:
		return 4
	case n == 1:
		return 500
	default:
		return n
	}
}

// Whatever is killed in the middle of a transfer over a real ssh - who asks, who
// answers, ssh itself or sshd's session -, nothing half-done is visible, and the
// next sync ends well.
func TestCutOffOverSSH(t *testing.T) {
	s := newSSHSite(t)
	s.setup("srv1", 0)
	at := time.Now().Add(-time.Hour)
	for generation, size := range []int{10_000, 4 << 20} {
		from := t.TempDir()
		r := rand.New(rand.NewPCG(uint64(generation), 1)) //nolint:gosec // content
		for i := range 40 {
			content := make([]byte, size/40)
			for j := range content {
				content[j] = byte(r.Uint32())
			}
			name := filepath.Join(from, fmt.Sprintf("f%d", i))
			write(t, name, string(content))
			if err := os.Chtimes(name, at, at.Add(time.Duration(generation)*time.Minute)); err != nil {
				t.Fatal(err)
			}
		}
		s.mx("srv1", 0, "xdata backup --lim 1 --no-sync --from "+from)
		if generation == 0 {
			s.mx("srv1", 0, "sync -q")
		}
	}
	old := s.versions("sb1")
	if len(old) != 1 {
		t.Fatalf("on the standby: %q", old)
	}
	r := rand.New(rand.NewPCG(uint64(os.Getpid()), 2)) //nolint:gosec // moments
	hits := map[string]int{}
	for hit := 0; hit < sshKills(); {
		victim := []string{"who asks", "who answers", "ssh", "sshd"}[hit%4]
		killed := s.killTransfer(victim, time.Duration(r.Int64N(int64(100*time.Millisecond))))
		now := s.versions("sb1")
		if len(now) == 1 && now[0] == old[0] { // else only the word that all is done was lost
			if !killed {
				t.Fatal("the sync ended well and copied nothing")
			}
			hit++
			hits[victim]++
			s.mx("sb1", 0, "xdata verify")
			s.mx("srv1", 0, "sync -q")
		}
		now = s.versions("sb1")
		if len(now) != 2 {
			t.Fatalf("%s killed, then synchronised: %q", victim, now)
		}
		s.mx("sb1", 0, "xdata verify")
		for _, name := range now {
			if name != old[0] {
				s.remove("sb1", name)
			}
		}
	}
	t.Logf("killed in the middle of a transfer: %v", hits)
}

// versions are the names of the versions on a server, newest first.
func (s *sshSite) versions(name string) []string {
	s.t.Helper()
	return strings.Fields(s.mx(name, 0, "xdata list -o name"))
}

// remove takes a version away, with all that was kept of it.
func (s *sshSite) remove(server, name string) {
	s.t.Helper()
	dir := s.path(server, "var/xdata")
	for _, what := range []string{name, ".mark-" + name + ".json", ".index-" + name} {
		if err := os.RemoveAll(filepath.Join(dir, what)); err != nil {
			s.t.Fatal(err)
		}
	}
}

// killTransfer starts a sync of srv1, and kills one of those who take part a while
// after the transfer began. It tells whether that came before the end.
func (s *sshSite) killTransfer(victim string, after time.Duration) (hit bool) {
	t := s.t
	t.Helper()
	cmd := s.command("srv1", "sync", "-q", "--bwlimit", "16M")
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	var began time.Time
	deadline := time.After(time.Minute)
	for killed := false; ; {
		select {
		case err := <-ended:
			s.untilFree()
			return killed && err != nil
		case <-deadline:
			t.Fatalf("the sync does not end: %s", said.String())
		case now := <-tick.C:
			partial, _ := filepath.Glob(s.path("sb1/var/xdata/.partial-*/f*")) // the pattern is right
			if began.IsZero() && len(partial) > 0 {
				began = now
			}
			if killed || began.IsZero() || now.Sub(began) < after {
				continue
			}
			if pid := s.process(victim, cmd.Process.Pid); pid > 1 {
				killed = unix.Kill(pid, unix.SIGKILL) == nil
			}
		}
	}
}

// process finds one of those who take part in a sync; 0: it is gone.
func (s *sshSite) process(victim string, asks int) int {
	var answers int
	_, text, _ := strings.Cut(read(s.t, s.path("sb1/var/xdata/.lock-1")), "(process ")
	_, _ = fmt.Sscan(strings.TrimSuffix(text, ")"), &answers) // nobody leaves 0
	switch victim {
	case "who asks":
		return asks
	case "who answers":
		return answers
	case "ssh":
		return childOf(asks)
	}
	for pid := answers; pid > 1; {
		var name string
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0
		}
		head, rest, _ := strings.Cut(string(data), ") ")
		_, name, _ = strings.Cut(head, "(")
		if strings.HasPrefix(name, "sshd") {
			return pid
		}
		var state string
		if _, err := fmt.Sscan(rest, &state, &pid); err != nil {
			return 0
		}
	}
	return 0
}

// childOf returns the child of a process, which any of its threads may have
// started; 0: none.
func childOf(pid int) (child int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // the pattern is right
	for _, list := range lists {
		if data, err := os.ReadFile(list); err == nil && child == 0 {
			_, _ = fmt.Sscan(string(data), &child) // none leaves 0
		}
	}
	return child
}

// untilFree waits until nobody is at the data of LIM 1 any more, on either side.
func (s *sshSite) untilFree() {
	s.t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for _, name := range []string{"srv1", "sb1"} {
		f, err := os.OpenFile(s.path(name, "var/xdata/.lock-1"), os.O_RDWR, 0)
		if err != nil {
			s.t.Fatal(err)
		}
		defer f.Close()
		for {
			err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
			if err == nil {
				break
			}
			if !errors.Is(err, unix.EWOULDBLOCK) {
				s.t.Fatal(err)
			}
			select {
			case <-tick.C:
			case <-deadline:
				s.t.Fatalf("somebody on %s still holds the lock", name)
			}
		}
	}
}
