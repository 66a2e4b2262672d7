package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/clusterconf/clusterconftest"
)

// A process that is stopped in the middle of an edit holds the others up, who say
// so and name it; readers are not concerned, and nothing is lost when it goes on.
func TestStoppedInTheMiddle(t *testing.T) {
	t.Parallel()
	s := newSite(t, t.TempDir(), system(2, 2))
	write(t, s.path("etc/cluster.lock"), "")
	stopped, done := s.stopHolder(t)
	held := s.document(t).Revision
	holder := "is being changed by process " + strconv.Itoa(stopped.Pid) + " "
	for _, line := range []string{"list", "status", "config validate", "lock 1 --to regular --dry-run"} {
		s.mustRun(t, line)
	}
	for _, tc := range []struct {
		line string
		code int
	}{
		{"lim set 1 --service exec:/opt/a", 6},
		{"lim set 1 --service exec:/opt/b --timeout 200ms", 8}, // as --timeout has it
	} {
		code, out := s.run(t, tc.line)
		if code != tc.code || !strings.Contains(out, holder) {
			t.Errorf("%s: exit code %d, want %d, and %q\n%s", tc.line, code, tc.code, holder, out)
		}
	}
	if now := s.document(t).Revision; now != held {
		t.Errorf("revision %d became %d while the lock was held", held, now)
	}
	if err := stopped.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("the stopped edit: %v", err)
	}
	s.mustRun(t, "lim set 1 --service exec:/opt/c")
	history := s.wholeHistory(t, 7)
	if last := history[len(history)-1]; last.Revision != held+2 && last.Revision != held+1 || last.Changed.Command != "mxcluster lim set 1" && last.Changed.Command != "lim set 1" {
		t.Errorf("revision %d by %q came after %d", last.Revision, last.Changed.Command, held)
	}
}

// stopHolder stops a process with SIGSTOP while it holds the lock. What done gets
// is how it ended.
func (s *site) stopHolder(t *testing.T) (stopped *os.Process, done <-chan error) {
	t.Helper()
	for i := range 200 {
		cmd := s.command(fmt.Sprintf("server add new%d --base %s --interface eth0", i, clusterconftest.Host(5, i+1)))
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() {
			err := cmd.Wait()
			if err != nil {
				err = fmt.Errorf("%w\n%s", err, &out)
			}
			ended <- err
		}()
		if s.stopLocked(t, cmd, ended) {
			t.Cleanup(func() { _ = cmd.Process.Kill() })
			return cmd.Process, ended
		}
	}
	t.Fatal("no edit could be stopped in the middle")
	return nil, nil
}

// stopLocked stops a process as soon as it has the lock. It is false if that came
// too late; the process has ended then.
func (s *site) stopLocked(t *testing.T, cmd *exec.Cmd, ended chan error) bool {
	t.Helper()
	pid := strconv.Itoa(cmd.Process.Pid)
	for read(t, s.path("etc/cluster.lock")) != pid {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
			return false
		default:
		}
	}
	_ = cmd.Process.Signal(syscall.SIGSTOP)
	if s.locked(t) {
		return true
	}
	_ = cmd.Process.Signal(syscall.SIGCONT)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return false
}

// locked tells whether somebody still holds the lock shortly after.
func (s *site) locked(t *testing.T) bool {
	t.Helper()
	<-time.After(50 * time.Millisecond) // a signal takes effect when a thread next leaves the kernel
	f, err := os.Open(s.path("etc/cluster.lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) == unix.EWOULDBLOCK
}
