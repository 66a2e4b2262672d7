package commands

import (
	"strings"
	"testing"
	"time"

	"mxcluster/internal/status"
)

// alarmed is a status with alarms: two that count, an expected one, and one about the
// whole system, which is in both clusters.
func alarmed() *status.ClusterStatus {
	st := mixed()
	system := status.Alarm{Handle: 4, Name: "key-rotation", Severity: "warning", RaisedAt: testNow(), Text: "the key waits"}
	st.Clusters[0].Alarms = []status.Alarm{
		{Handle: 1, Name: "lim-on-standby", Severity: "warning", LIM: 1, RaisedAt: testNow(), Text: "LIM 1 is on sb1"},
		{Handle: 2, Severity: "warning", LIM: 2, RaisedAt: testNow(), Text: "as it should be", Expected: true},
		{Handle: 3, Name: "lim-down", Severity: "critical", LIM: 3, RaisedAt: testNow().Add(time.Minute), Text: "LIM 3 is down"},
		system,
	}
	st.Clusters = append(st.Clusters, status.StatusCluster{Name: "c2", Alarms: []status.Alarm{system}})
	return st
}

// Each alarm has a line of its own below the tables, the gravest first.
func TestStatusTellsAlarms(t *testing.T) {
	w := newWorld(t.TempDir())
	w.agent.running = true
	const down, on, key = "critical  -1m ago  lim-down  LIM 3 is down [3]\n", "warning   0s ago  lim-on-standby  LIM 1 is on sb1 [1]\n", "warning   0s ago  key-rotation  the key waits [4]\n"
	for args, want := range map[string]string{
		"status":                 "\n" + strings.Replace(down, "-1m", "0s", 1) + on + key,
		"status -o wide":         "\n" + strings.Replace(down, "-1m", "0s", 1) + on + key,
		"status --lim 1":         "\n" + on + key,
		"status --lim 2 c1":      "\n" + key,
		"status --quiet --lim 2": "\n" + key,
	} {
		w.agent.statuses = []*status.ClusterStatus{alarmed()}
		if a := w.must(t, strings.Fields(args)...); !strings.HasSuffix(a.out, want) || a.err != "" {
			t.Errorf("%s: %q, %q; want %q", args, a.out, a.err, want)
		}
	}
	for _, args := range []string{"status -o name", "status -o csv", "status --no-headers"} {
		w.agent.statuses = []*status.ClusterStatus{alarmed()}
		if a := w.must(t, strings.Fields(args)...); strings.Contains(a.out+a.err, "lim-down") {
			t.Errorf("%s tells of alarms: %s%s", args, a.out, a.err)
		}
	}
}
