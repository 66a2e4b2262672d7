package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mxcluster/internal/control"
	"mxcluster/internal/fault"
	"mxcluster/internal/status"
)

// Whatever throws another LIM off the standby asks first, with its name, and orders
// no more than what was agreed to.
func TestMoveAsksBeforeItStopsAnother(t *testing.T) {
	for _, tc := range []struct {
		args  string
		term  bool
		input string
		code  fault.Code
		evict int // of the last order; -1: only a trial was ordered
		says  string
	}{
		{"failover 2", false, "", fault.Usage, -1, "LIM 1 would be stopped on sb1 for it: --yes is missing"},
		{"failover 2 --yes", false, "", fault.OK, 1, ""},
		{"failover 2", true, "no\n", fault.Refused, -1, "not confirmed"},
		{"failover 2", true, "yes\n", fault.OK, 1, ""},
		{"lock 1 --to standby --move", false, "", fault.Usage, -1, "LIM 1 would be stopped"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			w := newWorld(t.TempDir())
			w.document(t, clusterconftest.OneCluster)
			w.agent.running, w.term, w.stdin = true, tc.term, strings.NewReader(tc.input)
			w.agent.statuses = []*status.ClusterStatus{limStatus("srv1", "running")}
			w.agent.answer = control.OrderResult{Accepted: true, Target: "sb1", Evicts: 1, Text: "LIM 2 moves to sb1"}
			a := w.run(t.Context(), strings.Fields(tc.args)...)
			last := w.agent.orders[len(w.agent.orders)-1]
			if a.code != tc.code || !strings.Contains(a.err, tc.says) {
				t.Errorf("code %d, want %d: %q", a.code, tc.code, a.err)
			}
			if tried := last.DryRun; tried != (tc.evict < 0) || !tried && last.Evict != tc.evict {
				t.Errorf("last order %+v, want one that stops %d", last, tc.evict)
			}
		})
	}
}

// A wait ends when the start has failed, with the reason.
func TestWaitEndsWhenTheStartFails(t *testing.T) {
	at := testNow()
	seen := func(server, state string, term uint64, since time.Time, reason string) *status.ClusterStatus {
		st := limStatus(server, state)
		l := &st.Clusters[0].LIMs[0]
		l.Term, l.Reason = term, reason
		if server != "" {
			l.Since = &since
		}
		return st
	}
	there := seen("sb1", "running", 2, at, "")
	for name, statuses := range map[string][]*status.ClusterStatus{
		"it is down":      {there, there, seen("", "stopped", 2, at, ""), seen("", "failed", 3, at, "the program ended with 7")},
		"it is back":      {there, there, seen("srv1", "starting", 3, at, ""), seen("sb1", "running", 4, at.Add(time.Minute), "the program ended with 7")},
		"it is long back": {there, seen("sb1", "running", 4, at.Add(time.Minute), "the program ended with 7")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t.TempDir())
				w.agent.running, w.agent.statuses = true, statuses
				w.agent.answer = control.OrderResult{Target: "srv1"}
				begun := time.Now()
				a := w.run(t.Context(), "fallback", "1", "--wait")
				if a.code != fault.Failed || !strings.Contains(a.err, "did not start on srv1") || !strings.Contains(a.err, "ended with 7") {
					t.Errorf("code %d: %q", a.code, a.err)
				}
				if time.Since(begun) > time.Second {
					t.Errorf("it went on waiting for %s", time.Since(begun))
				}
			})
		})
	}
}

// An edit by which a waiting LIM gets the standby asks as well.
func TestEditAsksBeforeItStopsAnother(t *testing.T) {
	standby := "sb1"
	st := &status.ClusterStatus{Clusters: []status.StatusCluster{{Name: "c1", LIMs: []status.StatusLIM{
		{LIM: 1, ActiveOn: &standby, Side: "standby", State: "running"}, {LIM: 2, Side: "none", State: "waiting", Waiting: true}}}}}
	w := newWorld(t.TempDir())
	w.document(t, strings.Replace(clusterconftest.OneCluster, "priority: 100", "priority: 10", 1))
	w.agent.running, w.agent.statuses = true, []*status.ClusterStatus{st}
	const args = "change c1 --priority 2=5 --force"
	if a := w.run(t.Context(), strings.Fields(args)...); a.code != fault.Usage || !strings.Contains(a.err, "LIM 1 would be stopped on sb1") {
		t.Errorf("code %d: %q", a.code, a.err)
	}
	if a := w.run(t.Context(), strings.Fields(args+" --dry-run")...); a.code != fault.OK || !strings.Contains(a.out, "LIM 1 would be stopped on sb1") {
		t.Errorf("code %d: %q", a.code, a.out)
	}
	w.must(t, strings.Fields(args+" --yes")...)
}
