package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mxcluster/internal/fault"
)

// One cluster whose standby is gone does not keep the others from being synchronised,
// and is told.
func TestSyncAllGoesOn(t *testing.T) {
	two := strings.Replace(clusterconftest.OneCluster, "clusters:\n", `clusters:
  - name: c0
    standby: sb0
    fallback: manual
    failover: normal
    splitBrainStop: regular
    lims:
      - lim: 3
        alias: 10.0.0.43/24
        priority: 100
`, 1)
	two = strings.Replace(two, "servers:\n", `servers:
  - name: sb0
    base: 10.0.0.40/24
    interface: eth0
    standby: true
`, 1)
	s := newServers(t, two, "srv1", "srv2", "srv3", "sb1") // sb0 has no document: mxcluster there ends at once
	s.backup(t, "srv1", "1", "data of LIM 1")
	s.backup(t, "srv2", "2", "data of LIM 2")
	got := s.report(t, "srv1", fault.Unreachable, "sync", "--all")
	if diff := cmp.Diff([]string{"3 failed none", "1 copied to-standby", "2 copied to-standby"}, outcomes(got)); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	if got[0].Error == nil || !strings.Contains(*got[0].Error, "sb0") {
		t.Errorf("error %v", got[0].Error)
	}
}

// The report is found in whatever a login printed around it.
func TestFindReport(t *testing.T) {
	const report = `{"kind":"SyncReport","results":[{"lim":4}]}`
	for _, text := range []string{
		report, "  " + report + "\n", "Welcome {user}\r\n " + report, `{"kind":"Motd"}` + report + "logout\n", "{{" + report, "Welcome" + report,
	} {
		if got, ok := findReport([]byte(text)); !ok || len(got.Results) != 1 || got.Results[0].LIM != 4 {
			t.Errorf("%q: %+v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "Welcome\n", report[:len(report)-1], `{"kind":"Motd"}`, "null", strings.Repeat("{", 1000)} {
		if got, ok := findReport([]byte(text)); ok {
			t.Errorf("%q: %+v", text, got)
		}
	}
}
