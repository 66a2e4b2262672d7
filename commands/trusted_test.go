package commands

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mxcluster/internal/fault"
)

// opened lets everybody write to what a path names, for the time of do.
func opened(t *testing.T, path string, do func()) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, info.Mode().Perm()|0o002); err != nil {
		t.Fatal(err)
	}
	do()
	if err := os.Chmod(path, info.Mode().Perm()); err != nil {
		t.Fatal(err)
	}
}

// What others may change decides nothing, unless that is asked for.
func TestWhatOthersMayChangeIsRefused(t *testing.T) {
	w := newWorld(t.TempDir())
	w.must(t, "init", "--server", "srv1", "--base", "10.0.0.11/24", "--interface", "eth0", "--lim", "1")
	program := w.path("program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexit 0\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.must(t, "lim", "set", "1", "--service", "exec:"+program)
	if err := os.WriteFile(w.path("etc/mxcluster.yaml"), []byte("server: srv1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ open, command, says string }{
		{"etc/mxcluster.yaml", "agent run", "the settings " + w.path("etc/mxcluster.yaml") + " may be written by every user (mode 0646)"},
		{"etc/mxcluster.yaml", "service status 1", "the settings "},
		{"etc", "agent run", "the settings "},
		{"etc/cluster.yaml", "agent run", "the cluster document "},
		{"var", "agent run", "the state folder "},
		{"program", "service start 1", program + " may be written by every user (mode 0757)"},
		{".", "service stop 1", "may be written by every user"},
	} {
		t.Run(tc.command+" with "+tc.open, func(t *testing.T) {
			w.setup = nil
			opened(t, filepath.Join(w.dir, tc.open), func() {
				a := w.run(t.Context(), strings.Fields(tc.command)...)
				if a.code != fault.NotPermitted || !strings.Contains(a.err, tc.says) || !strings.Contains(a.err, "--force") {
					t.Errorf("code %d\n%s, want 77 and %q", a.code, a.err, tc.says)
				}
				w.must(t, append(strings.Fields(tc.command), "--force")...)
			})
			if forced := w.setup != nil && w.setup.Force; forced != (tc.command == "agent run") {
				t.Errorf("the agent is forced: %t", forced)
			}
		})
	}
	// Who only reads is told, too: settings name the remote shell that a sync runs.
	opened(t, w.path("etc/mxcluster.yaml"), func() {
		if a := w.run(t.Context(), "sync", "--lim", "1"); a.code != fault.NotPermitted {
			t.Errorf("sync: code %d\n%s", a.code, a.err)
		}
	})
}
