package whatif

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mxcluster/internal/status"
)

// onStandby is the status of LIM 1 that the standby runs for a reason, with an alarm
// that ends in it.
func onStandby(reason string, change func(*status.StatusLIM)) *status.ClusterStatus {
	sb1 := "sb1"
	l := status.StatusLIM{LIM: 1, ActiveOn: &sb1, Side: "standby", State: "running", Reason: reason, Next: "stays until 'mxcluster fallback 1'",
		Fallback: status.StatusFallback{Type: "manual"}}
	change(&l)
	return &status.ClusterStatus{GeneratedAt: now, Clusters: []status.StatusCluster{{Name: "c1", LIMs: []status.StatusLIM{l}, Alarms: []status.Alarm{
		{Handle: 1, Name: "lim-on-standby", Severity: "warning", LIM: 1, RaisedAt: now, Text: "LIM 1 runs on the standby server sb1: " + reason},
	}}}}
}

// Of everything that explain could say twice it is said once.
func TestExplainSaysAReasonOnce(t *testing.T) {
	const alarm = "Alarm 1, warning, since 2026-03-01T02:00:00Z: LIM 1 runs on the standby server sb1."
	lock := &status.Lock{To: "standby", Since: now, By: "root"}
	for _, tt := range []struct {
		name   string
		reason string
		change func(*status.StatusLIM)
		want   []string // after the first sentence, without those of what would happen
	}{
		{"ready", "srv1 is ready; fallback is manual", func(*status.StatusLIM) {},
			[]string{"Why: srv1 is ready; fallback is manual.", "`mxcluster fallback 1` moves it.", alarm}},
		{"ready, here for another reason", "moved here by order", func(*status.StatusLIM) {},
			[]string{"Why: moved here by order.", "srv1 is ready; fallback is manual: `mxcluster fallback 1` moves it.", alarm}},
		{"not ready", "srv1 is down", func(l *status.StatusLIM) { l.Fallback.BlockedBy = []string{"srv1 is down"} },
			[]string{"Why: srv1 is down.", "That keeps it from falling back to srv1.", alarm, "As it stands, it stays until 'mxcluster fallback 1'."}},
		{"not ready for more than that", "srv1 is down", func(l *status.StatusLIM) { l.Fallback.BlockedBy = []string{"srv1 is down", "too old"} },
			[]string{"Why: srv1 is down.", "That keeps it from falling back to srv1, and so does: too old.", alarm, "As it stands, it stays until 'mxcluster fallback 1'."}},
		{"held back", "srv1 was down", func(l *status.StatusLIM) { l.Fallback.Type, l.Fallback.HeldForMs, l.Next = "automatic", 60000, "" },
			[]string{"Why: srv1 was down.", "srv1 is ready; automatic fallback is held back for 1m0s more, because srv1 failed again soon before.", alarm}},
		{"locked", lock.String(), func(l *status.StatusLIM) { l.Lock, l.Fallback.BlockedBy, l.Next = lock, []string{lock.String()}, "" },
			[]string{"Why: locked to the standby side by root.", "That keeps it from falling back to srv1.", alarm}},
		{"locked, here for another reason", "srv1 is down", func(l *status.StatusLIM) { l.Lock, l.Fallback.BlockedBy, l.Next = lock, []string{lock.String()}, "" },
			[]string{"Why: srv1 is down.", "It is locked to the standby side by root.", "What keeps it from falling back to srv1: locked to the standby side by root.", alarm}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := AllWell(system(nil), now)
			e, err := Explain(system(nil), onStandby(tt.reason, tt.change), 1, func(s Scenario) (*Result, error) { return Simulate(p, s), nil })
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range e.Sentences[1:] {
				if !strings.HasPrefix(s, "If ") && !strings.HasPrefix(s, "No agent") {
					got = append(got, s)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
