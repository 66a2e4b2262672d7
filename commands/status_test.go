package commands

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mxcluster/internal/status"
	"mxcluster/internal/ui"
)

func ptr[T any](v T) *T { return &v }

// mixed is a status of everything that the table has words for.
func mixed() *status.ClusterStatus {
	since := testNow().Add(-90 * time.Minute)
	lim := func(n int, on *string, side, state, reason string, ready *bool, data *status.StatusData) status.StatusLIM {
		return status.StatusLIM{
			LIM: n, ActiveOn: on, Side: side, State: state, Term: uint64(n), Since: &since, Reason: reason, RedundantWhy: "sb1 has not said whether it would take over",
			Fallback: status.StatusFallback{Type: "manual", Ready: ready, BlockedBy: []string{}},
			Alias:    status.StatusAlias{Address: "10.0.0.11/24", Holders: []status.Holder{}}, Data: data,
		}
	}
	return &status.ClusterStatus{
		APIVersion: "mxcluster/v1", Kind: "ClusterStatus", GeneratedAt: testNow(), Observer: "sb1", Agent: true, Revision: 7, Health: "warning",
		Clusters: []status.StatusCluster{{Name: "c1", Health: "warning", LIMs: []status.StatusLIM{
			lim(1, ptr("sb1"), "standby", "running", "srv1 is down", ptr(false), &status.StatusData{Newest: ptr("v"), InSync: ptr(false), AgeMs: ptr(int64(5400000))}),
			lim(2, ptr("srv2"), "regular", "running", "runs on its regular server", nil, &status.StatusData{Newest: ptr("v"), InSync: ptr(true), AgeMs: ptr(int64(42000)), NextSyncAt: &since}),
			lim(3, nil, "none", "waiting", "sb1 runs LIM 1", nil, &status.StatusData{}),
			lim(4, nil, "none", "failed", "its software did not start", nil, &status.StatusData{Newest: ptr("v"), Conflict: ptr(true)}),
			lim(5, ptr("sb1"), "standby", "running", "by order", ptr(true), nil),
		}, Servers: []status.StatusServer{}, Alarms: []status.Alarm{}}},
	}
}

func TestStatusWithAgent(t *testing.T) {
	w := newWorld(t.TempDir())
	w.agent.running, w.agent.statuses = true, []*status.ClusterStatus{mixed()}
	for args, want := range map[string]string{
		"": `REDUNDANT: unknown: LIM 1, 2, 3, 4, 5: sb1 has not said whether it would take over
CLUSTER  LIM  ACTIVE-ON  SIDE     STATE    SINCE                 DATA             REASON
c1         1  sb1        standby  running  2026-03-01T00:30:00Z  not in sync, 1h  srv1 is down
c1         2  srv2       regular  running  2026-03-01T00:30:00Z  in sync, 42s     runs on its regular server
c1         3  -          none     waiting  2026-03-01T00:30:00Z  none             sb1 runs LIM 1
c1         4  -          none     failed   2026-03-01T00:30:00Z  conflict         its software did not start
c1         5  sb1        standby  running  2026-03-01T00:30:00Z  unknown          by order
`,
		"wide": `REDUNDANT: unknown: LIM 1, 2, 3, 4, 5: sb1 has not said whether it would take over
CLUSTER  LIM  ACTIVE-ON  SIDE     STATE    SINCE                 TERM  ALIAS         FALLBACK           DATA             REASON                      NEXT-SYNC             REHEARSED
c1         1  sb1        standby  running  2026-03-01T00:30:00Z     1  10.0.0.11/24  manual, not ready  not in sync, 1h  srv1 is down                -                     -
c1         2  srv2       regular  running  2026-03-01T00:30:00Z     2  10.0.0.11/24  manual             in sync, 42s     runs on its regular server  2026-03-01T00:30:00Z  -
c1         3  -          none     waiting  2026-03-01T00:30:00Z     3  10.0.0.11/24  manual             none             sb1 runs LIM 1              -                     -
c1         4  -          none     failed   2026-03-01T00:30:00Z     4  10.0.0.11/24  manual             conflict         its software did not start  -                     -
c1         5  sb1        standby  running  2026-03-01T00:30:00Z     5  10.0.0.11/24  manual, ready      unknown          by order                    -                     -
`,
		"name": "1\n2\n3\n4\n5\n",
	} {
		w.environ["MXCLUSTER_OUTPUT"] = args
		a := w.must(t, "status")
		if diff := cmp.Diff(want, a.out); diff != "" {
			t.Errorf("%q (-want +got):\n%s", args, diff)
		}
	}
	w.environ["MXCLUSTER_OUTPUT"] = "json"
	var got status.ClusterStatus
	if err := json.Unmarshal([]byte(w.must(t, "status").out), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(mixed(), &got); diff != "" {
		t.Errorf("json is not what the agent said (-want +got):\n%s", diff)
	}
}

func TestStateStyle(t *testing.T) {
	for _, tc := range []struct {
		side, state string
		want        ui.Style
	}{
		{"regular", "running", ui.Good},
		{"standby", "running", ui.Fair},
		{"regular", "starting", ui.Fair},
		{"unknown", "unknown", ui.Fair},
		{"none", "failed", ui.Bad},
		{"none", "stopped", ui.Bad},
		{"none", "waiting", ui.Bad},
	} {
		if got := stateStyle(&status.StatusLIM{Side: tc.side, State: tc.state}); got != tc.want {
			t.Errorf("%s on %s: style %s, want %s", tc.state, tc.side, got, tc.want)
		}
	}
}

func TestAgeWords(t *testing.T) {
	for age, want := range map[time.Duration]string{
		0: "0s", 59 * time.Second: "59s", time.Minute: "1m", 59 * time.Minute: "59m", time.Hour: "1h", 47 * time.Hour: "47h", 48 * time.Hour: "2d",
	} {
		if got := ageWords(age); got != want {
			t.Errorf("ageWords(%s) = %s, want %s", age, got, want)
		}
	}
}

func TestParseCreateLIM(t *testing.T) {
	got, err := parseCreateLIM("3=10.0.0.21/24,priority=0")
	if err != nil || got.LIM != 3 || got.NewBase != "10.0.0.21/24" || got.Priority != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := parseCreateLIM("3=10.0.0.21"); err != nil || got.Priority != 100 {
		t.Errorf("%+v, %v", got, err)
	}
}

// A lock is said once: by the reason, where that is the lock.
func TestReasonWordsSayALockOnce(t *testing.T) {
	lock := &status.Lock{To: "standby", By: "root", Reason: "new disk"}
	const words = "locked to the standby side by root (new disk)"
	for reason, want := range map[string]string{
		"":                               words,
		"srv1 is down":                   "srv1 is down; " + words,
		words:                            words,
		words + "; not started here":     words + "; not started here",
		"locked to the standby side":     "locked to the standby side; " + words, // another lock
		"srv1 is down; not so; " + words: "srv1 is down; not so; " + words,
	} {
		if got := reasonWords(&status.StatusLIM{Reason: reason, Lock: lock}); got != want {
			t.Errorf("%q: %q, want %q", reason, got, want)
		}
	}
	if got := reasonWords(&status.StatusLIM{Reason: "srv1 is down"}); got != "srv1 is down" {
		t.Errorf("without a lock: %q", got)
	}
}
