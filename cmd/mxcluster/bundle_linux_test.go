package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// On a full disk there is no bundle, nor a part of one; with room there is.
func TestASupportBundleOnAFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("this test must run as root")
		}
		t.Skip("needs root: it mounts disks")
	}
	dir := t.TempDir()
	onDisks(t, []string{filepath.Join(dir, "etc"), filepath.Join(dir, "var")}, func() error {
		s := newSite(t, dir, system(2, 2))
		write(t, s.path("etc/mxcluster.yaml"), "server: srv1\nsync:\n  rsh: /bin/false\n") // nobody is waited for
		if err := fill("etc")(s); err != nil {
			return err
		}
		before := names(t, s.path("etc"))
		line := "support-bundle " + s.path("etc/b.tar.gz")
		code, out := finish(t, s.command(line))
		if code != 1 || !regexp.MustCompile(`no space left on device\n.*make room`).MatchString(out) {
			t.Errorf("exit code %d\n%s", code, out)
		}
		if after := names(t, s.path("etc")); len(after) != len(before) {
			t.Errorf("there were %q, and are %q", before, after)
		}
		if err := empty("etc")(s); err != nil {
			return err
		}
		s.mustRun(t, line)
		return nil
	})
}
