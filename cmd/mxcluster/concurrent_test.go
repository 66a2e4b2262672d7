package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"sync"
	"testing"

	"mxcluster/clusterconf"
	"mxcluster/clusterconf/clusterconftest"
)

// Two hundred processes at once: everything arrives, in some order, and history
// tells of each.
func TestTwoHundredAtOnce(t *testing.T) {
	const clusters, limsEach, added = 10, 10, 100
	start := system(clusters, limsEach)
	s := newSite(t, t.TempDir(), start)
	var lines []string
	for i := range clusters * limsEach {
		lim := i + 1
		lines = append(lines, fmt.Sprintf("change c%d --priority %d=%d", i/limsEach+1, lim, 1000+lim))
	}
	for i := range added {
		lines = append(lines, fmt.Sprintf("server add new%d --base %s --interface eth0", i+1, clusterconftest.Host(5, i+1)))
	}
	s.runAll(t, lines)

	history := s.wholeHistory(t, start.Revision)
	if got, want := len(history), 1+len(lines); got != want {
		t.Fatalf("%d revisions, want %d", got, want)
	}
	for i, after := range history[1:] {
		if changes := clusterconf.Diff(history[i], after); len(changes) != 1 {
			t.Errorf("revision %d makes %d changes: %q", after.Revision, len(changes), changes)
		}
	}
	last := s.document(t)
	for lim := 1; lim <= clusters*limsEach; lim++ {
		if got := last.ClusterOfLIM(lim).Member(lim).Priority; got != 1000+lim {
			t.Errorf("LIM %d has priority %d", lim, got)
		}
	}
	for i := 1; i <= added; i++ {
		if last.Server(fmt.Sprintf("new%d", i)) == nil {
			t.Errorf("server new%d did not arrive", i)
		}
	}
	if found := s.leftovers(t); found != nil {
		t.Errorf("left behind: %v", found)
	}
}

// runAll starts every command before it waits for the first.
func (s *site) runAll(t *testing.T, lines []string) {
	t.Helper()
	var running sync.WaitGroup
	for _, line := range lines {
		cmd := s.command(line)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		running.Go(func() { report(t, cmd, line, &out) })
	}
	running.Wait()
}

func report(t *testing.T, cmd *exec.Cmd, line string, out *bytes.Buffer) {
	if err := cmd.Wait(); err != nil {
		t.Errorf("mxcluster %s: %v\n%s", line, err, out)
	}
}
