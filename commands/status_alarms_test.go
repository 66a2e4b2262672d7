package commands

import (
	"context"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/status"
)

// alarmed is a status with alarms: two that count, an expected one, and one about the
// whole system, which is in both clusters.
func alarmed() *status.ClusterStatus {
	st := mixed()
	system := status.Alarm{Handle: 4, Severity: "warning", RaisedAt: testNow(), Text: "the key waits"}
	st.Clusters[0].Alarms = []status.Alarm{
		{Handle: 1, Severity: "warning", LIM: 1, RaisedAt: testNow(), Text: "LIM 1 is on sb1"},
		{Handle: 2, Severity: "warning", LIM: 2, RaisedAt: testNow(), Text: "as it should be", Expected: true},
		{Handle: 3, Severity: "critical", LIM: 3, RaisedAt: testNow().Add(time.Minute), Text: "LIM 3 is down"},
		system,
	}
	st.Clusters = append(st.Clusters, status.StatusCluster{Name: "c2", Alarms: []status.Alarm{system}})
	return st
}

// Alarms are told in one line, which is no part of the table.
func TestStatusTellsAlarms(t *testing.T) {
	w := newWorld(t.TempDir())
	w.agent.running = true
	const see = "; see 'mxcluster explain N', or 'mxcluster status -o yaml'\n"
	for args, want := range map[string]string{
		"status":                  "mxcluster: 3 alarms: LIM 3 is down; LIM 1 is on sb1; the key waits" + see,
		"status -o wide":          "mxcluster: 3 alarms: LIM 3 is down; LIM 1 is on sb1; the key waits" + see,
		"status --lim 1":          "mxcluster: 2 alarms: LIM 1 is on sb1; the key waits" + see,
		"status --lim 2 c1":       "mxcluster: 1 alarm: the key waits" + see,
		"status --quiet":          "",
		"status -o json":          "",
		"status -o name":          "",
		"status -o csv":           "",
		"status -o yaml --lim 1":  "",
		"status --no-headers c2 ": "mxcluster: 1 alarm: the key waits" + see,
	} {
		w.agent.statuses = []*status.ClusterStatus{alarmed()}
		if a := w.must(t, strings.Fields(args)...); strings.ReplaceAll(a.err, "mxcluster: there is no cluster yet; 'mxcluster create' makes one\n", "") != want {
			t.Errorf("%s: %q, want %q", args, a.err, want)
		} else if strings.Contains(a.out, "alarms:") && !strings.Contains(args, "-o") {
			t.Errorf("%s: an alarm in the table:\n%s", args, a.out)
		}
	}
	many := alarmed()
	many.Clusters[0].Alarms = append(many.Clusters[0].Alarms, status.Alarm{Handle: 5, Severity: "warning", LIM: 1, RaisedAt: testNow().Add(time.Hour), Text: "one more"})
	w.agent.statuses = []*status.ClusterStatus{many}
	if a := w.must(t, "status"); a.err != "mxcluster: 4 alarms: LIM 3 is down; LIM 1 is on sb1; the key waits; …"+see {
		t.Errorf("many: %q", a.err)
	}
}

// On a terminal a watch shows them in the page, which the next one clears.
func TestStatusWatchShowsAlarms(t *testing.T) {
	w := newWorld(t.TempDir())
	w.term, w.agent.running, w.agent.statuses = true, true, []*status.ClusterStatus{alarmed()}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, errs := &cancelAfter{left: 2, cancel: cancel}, &strings.Builder{}
	Run(ctx, w.env(out, errs), strings.Fields("status --watch=1ms"))
	if n := strings.Count(out.String(), "mxcluster: 3 alarms: "); n != 2 || errs.String() != "" {
		t.Errorf("told %d times, beside that %q", n, errs.String())
	}
}
