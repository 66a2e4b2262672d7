package clusterconf

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/fault"
)

// twoLIMs is a system with one cluster of two LIMs, and a free server.
const twoLIMs = `apiVersion: mxcluster/v1
kind: ClusterDocument
system: 5k2j9x
revision: 7
changed:
  at: 2026-03-01T02:00:00.125Z
  by: root
  server: srv1
  command: mxcluster create c1
servers:
  - name: free1
    base: 10.0.0.14/24
    interface: eth0
  - name: sb1
    base: 10.0.0.13/24
    interface: eth0
    standby: true
  - name: srv1
    base: 10.0.0.21/24
    interface: eth0
    lim: 1
  - name: srv2
    base: 10.0.0.22/24
    interface: eth1
    lim: 2
lims:
  - lim: 1
    services:
      - run: exec:/opt/lim/service
      - run: systemd:manager.service
        regularOnly: true
clusters:
  - name: c1
    standby: sb1
    fallback: manual
    failover: normal
    failoverAfter: 300ms
    splitBrainStop: regular
    lims:
      - lim: 1
        alias: 10.0.0.11/24
        priority: 100
      - lim: 2
        alias: 10.0.0.12/24
        priority: 0
`

// full is twoLIMs with every key that may be left out.
var full = strings.NewReplacer(`        regularOnly: true
`, `        regularOnly: true
    mediaServer:
      kind: colocated
      media: 10.0.0.11
      control: 10.0.0.11
    gateways:
      - 1A
      - 1B
  - lim: 2
    mediaServer:
      kind: standalone
      media: 10.0.9.1
      control: 10.0.9.2
`, `        priority: 100
`, `        priority: 100
        lock:
          to: regular
          since: 2026-03-01T02:00:00.5Z
          by: ann
          reason: reboot
          expires: 2026-03-01T04:00:00Z
        leaving: true
        serverIsDead: sb1
`, `    base: 10.0.0.21/24
`, `    base: 10.0.0.21/24
    reachedAt: 10.0.0.41/24
`, `  command: mxcluster create c1
`, `  command: mxcluster create c1
  reason: growth
`).Replace(twoLIMs)

var testTime = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

func mustParse(t testing.TB, text string) *Document {
	t.Helper()
	d, err := Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatalf("fixture: %v", err)
	}
	return d
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// uncreated is a system with two regular servers, a standby and no cluster.
func uncreated() *Document {
	d := New("5k2j9x", Server{Name: "srv1", Base: prefix("10.0.0.11/24"), Interface: "eth0", LIM: 1})
	d.Changed.At = testTime
	d.Servers = append(d.Servers,
		Server{Name: "srv2", Base: prefix("10.0.0.12/24"), Interface: "eth0", LIM: 2},
		Server{Name: "sb1", Base: prefix("10.0.0.13/24"), Interface: "eth0", Standby: true},
		Server{Name: "free1", Base: prefix("10.0.0.14/24"), Interface: "eth0"},
	)
	return d
}

// large is a system of n clusters, each of one LIM and a standby.
func large(n int) *Document {
	d := New("large", Server{})
	d.Servers = nil
	d.Changed.At = testTime
	address := func(third, fourth int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(third), byte(fourth)}), 16)
	}
	for i := 1; i <= n; i++ {
		d.Servers = append(d.Servers,
			Server{Name: fmt.Sprintf("srv%03d", i), Base: address(1, i), Interface: "bond0", LIM: i},
			Server{Name: fmt.Sprintf("sb%03d", i), Base: address(2, i), Interface: "bond0", Standby: true})
		d.LIMs = append(d.LIMs, LIM{Number: i, Services: []Service{{Run: "exec:/opt/lim/service"}}})
		d.Clusters = append(d.Clusters, Cluster{
			Name: fmt.Sprintf("c%03d", i), Standby: fmt.Sprintf("sb%03d", i), Fallback: FallbackManual,
			Failover: FailoverPreloaded, SplitBrainStop: SideRegular,
			LIMs: []Member{{LIM: i, Alias: address(3, i), Priority: DefaultPriority}},
		})
	}
	return d
}

// wantFault checks code, message and hint of an error; hint may be a part.
func wantFault(t *testing.T, err error, code fault.Code, message, hint string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want code %d: %s", code, message)
	}
	if got := fault.CodeOf(err); got != code {
		t.Errorf("code %d, want %d (%v)", got, code, err)
	}
	if got := err.Error(); !strings.Contains(got, message) {
		t.Errorf("message %q\n   want %q", got, message)
	}
	if got := fault.HintOf(err); !strings.Contains(got, hint) {
		t.Errorf("hint %q\nwant %q", got, hint)
	}
}

func violationsOf(t *testing.T, err error) []Violation {
	t.Helper()
	var v *ValidationError
	if !errors.As(err, &v) {
		t.Fatalf("%v (%T) is no ValidationError", err, err)
	}
	return v.Violations
}
