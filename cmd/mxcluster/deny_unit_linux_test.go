package main

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mxcluster/internal/netns"
	"mxcluster/internal/netns/netnstest"
	"mxcluster/internal/services/systemdtest"
	"mxcluster/netops"
)

// The unit of the package denies the aliases of the system at the boot, in its sandbox,
// before the network comes up; with its drop-in also where the settings are another user's.
func TestDenialsOfTheBoot(t *testing.T) {
	t.Parallel()
	t.Run("root", func(t *testing.T) {
		t.Parallel()
		deniesAtBoot(t, packaged(t, "mxcluster-deny.service"), 0)
	})
	t.Run("own user", func(t *testing.T) {
		t.Parallel()
		const user, uid = "daemon", 1 // is on every Debian
		deniesAtBoot(t, strings.ReplaceAll(packaged(t, "mxcluster-deny.service", "own-user-deny.conf"), "=mxcluster\n", "="+user+"\n"), uid)
	})
}

// deniesAtBoot boots a systemd with a unit; the settings are a user's alone.
func deniesAtBoot(t *testing.T, unit string, uid int) {
	t.Helper()
	d := system(2, 2)
	s := newSite(t, t.TempDir(), d)
	settings := s.path("etc/mxcluster.yaml")
	err := errors.Join(os.Chmod(filepath.Dir(s.dir), 0o755), os.Chmod(settings, 0o600), os.Chown(s.path("etc"), uid, uid), os.Chown(settings, uid, uid))
	if err != nil {
		t.Fatal(err)
	}
	unit = strings.NewReplacer("/usr/bin/mxcluster", s.program, "alias deny", "alias deny --config-dir "+s.path("etc"), "/etc/mxcluster", s.path("etc")).Replace(unit)
	m := systemdtest.New(t, map[string]string{
		"mxcluster-deny.service": unit,
		"network":                "Type=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'nft list ruleset >DIR/rules'\n[Unit]\nAfter=network-pre.target",
		"network-pre.target":     "[Unit]",
		"sysinit.target":         "[Unit]\nDefaultDependencies=no\nWants=mxcluster-deny.service network.service",
	})
	c, err := m.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, name := range []string{"network.service", "mxcluster-deny.service"} {
		eventually(t, name+" to have been started", func() bool {
			active, err := c.GetUnitPropertyContext(t.Context(), name, "ActiveState")
			return err == nil && active.Value.Value() == "active"
		})
	}

	var want, denied []netip.Addr
	for _, cluster := range d.Clusters {
		for _, member := range cluster.LIMs {
			want = append(want, member.Alias.Addr())
		}
	}
	own, err := netns.FromPID(m.PID)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	netnstest.Do(t, own, func() error {
		k, err := netops.NewKernel()
		if err != nil {
			return err
		}
		defer k.Close()
		denied, err = k.Denied()
		return err
	})
	slices.SortFunc(denied, netip.Addr.Compare)
	if !slices.Equal(denied, want) {
		t.Errorf("denied are %v, want %v", denied, want)
	}
	rules := read(t, m.Dir+"/rules")
	for _, alias := range want {
		if !strings.Contains(rules, alias.String()) {
			t.Errorf("when the network came up, %s was not denied:\n%s", alias, rules)
		}
	}
}
