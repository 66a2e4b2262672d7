package main

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"mxcluster/internal/netns"
	"mxcluster/internal/netns/netnstest"
	"mxcluster/internal/services/systemdtest"
	"mxcluster/netops"
)

// The unit of the package denies the aliases of the system at the boot, in its sandbox,
// before the network comes up.
func TestDenialsOfTheBoot(t *testing.T) {
	t.Parallel()
	d := system(2, 2)
	s := newSite(t, t.TempDir(), d)
	unit := strings.NewReplacer("/usr/bin/mxcluster", s.program, "alias deny", "alias deny --config-dir "+s.path("etc"), "/etc/mxcluster", s.path("etc")).Replace(packaged(t, "mxcluster-deny.service"))
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
