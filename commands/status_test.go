package commands

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

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
			lim(1, ptr("sb1"), "standby", "running", "srv1 is down", ptr(false), &status.StatusData{Newest: ptr("v"), InSync: ptr(false), AgeMs: ptr(int64(5400000)), BehindMs: ptr(int64(5400000))}),
			lim(2, ptr("srv2"), "regular", "running", "runs on its regular server", nil, &status.StatusData{Newest: ptr("v"), InSync: ptr(true), AgeMs: ptr(int64(42000)), NextSyncAt: &since}),
			lim(3, nil, "none", "waiting", "sb1 runs LIM 1", nil, &status.StatusData{}),
			lim(4, nil, "none", "failed", "its software did not start", nil, &status.StatusData{Newest: ptr("v"), Conflict: ptr(true)}),
			lim(5, ptr("sb1"), "standby", "running", "by order", ptr(true), nil),
		}, Servers: []status.StatusServer{}, Alarms: []status.Alarm{}}},
		Unclustered: []status.StatusLIM{}, Alarms: []status.Alarm{},
	}
}

// Whatever names, reasons and texts are as long as, a page has 80 columns.
func TestStatusHas80Columns(t *testing.T) {
	long := func(word string) string { return strings.Repeat(word+" ", 30) + strings.Repeat("x", 120) }
	name := "a-server-with-a-name-that-goes-on-and-on.example.com"
	st := mixed()
	st.Clusters[0].Name = "a-cluster-with-a-long-name"
	for i := range st.Clusters[0].LIMs {
		l := &st.Clusters[0].LIMs[i]
		l.LIM, l.Reason, l.RedundantWhy = 1000+i, long("reason"), long("why")
		l.Redundant, l.Remedy = ptr(false), &status.Remedy{What: long("when"), On: name, Command: "mxcluster sync --lim 1000 --keep regular"}
		l.Cause = &status.StatusCause{What: status.CauseOrdered, By: long("by"), Reason: long("because"), At: ptr(testNow())}
		if l.ActiveOn != nil {
			l.ActiveOn = &name
		}
	}
	st.Clusters[0].Servers = []status.StatusServer{{Name: name, Role: "regular", Version: ptr("v1.2.3-45-gabcdef0123-dirty"), ReadyWhy: long("unready"), Revision: ptr(uint64(123456)),
		SilentMs: ptr(int64(1e9)), ClockOffsetMs: ptr(int64(-1e9)), Ready: ptr(false), Agent: ptr(false)}}
	st.Clusters[0].Alarms = []status.Alarm{{Handle: 123456, Name: "document-unreadable", Severity: "critical", RaisedAt: testNow(), Text: long("alarm")}}
	w := newWorld(t.TempDir())
	w.agent.running, w.agent.statuses = true, []*status.ClusterStatus{st}
	for l := range strings.Lines(w.must(t, "status").out) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(l, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, l)
		}
	}
}

func TestWrapped(t *testing.T) {
	for _, tc := range []struct {
		text  string
		width int
		want  []string
	}{
		{"one two three", 0, []string{"one two three"}},
		{"one two three", 13, []string{"one two three"}},
		{"one two three", 9, []string{"one two", "  three"}},
		{"one two three", 7, []string{"one two", "  three"}},
		{"onetwothree", 5, []string{"onetw", "  oth", "  ree"}},
		{"", 5, []string{""}},
	} {
		if diff := cmp.Diff(tc.want, wrapped(tc.text, tc.width, "  ")); diff != "" {
			t.Errorf("%q in %d (-want +got):\n%s", tc.text, tc.width, diff)
		}
	}
}

func TestStatusWithAgent(t *testing.T) {
	w := newWorld(t.TempDir())
	w.agent.running, w.agent.statuses = true, []*status.ClusterStatus{mixed()}
	for args, want := range map[string]string{
		"": `NOT REDUNDANT: LIM 3 is down: sb1 runs LIM 1
NOT REDUNDANT: LIM 4 is down: its software did not start
UNKNOWN: LIM 1, 2, 5: sb1 has not said whether it would take over

CLUSTER  LIM  ACTIVE-ON  SIDE     STATE      AGE  DATA
c1         1  sb1        standby  running  1h30m  behind 1h30m
c1         2  srv2       regular  running  1h30m  in sync
c1         3  -          none     waiting  1h30m  none
c1         4  -          none     failed   1h30m  conflict
c1         5  sb1        standby  running  1h30m  unknown
`,
		"wide": `NOT REDUNDANT: LIM 3 is down: sb1 runs LIM 1
NOT REDUNDANT: LIM 4 is down: its software did not start
UNKNOWN: LIM 1, 2, 5: sb1 has not said whether it would take over

CLUSTER  LIM  ACTIVE-ON  SIDE     STATE    SINCE                 TERM  ALIAS         FALLBACK             AGE  DATA          REASON                      NEXT-SYNC             REHEARSED  CAUSE
c1         1  sb1        standby  running  2026-03-01T00:30:00Z     1  10.0.0.11/24  manual, not ready  1h30m  behind 1h30m  srv1 is down                -                     -          -
c1         2  srv2       regular  running  2026-03-01T00:30:00Z     2  10.0.0.11/24  manual             1h30m  in sync       runs on its regular server  2026-03-01T00:30:00Z  -          -
c1         3  -          none     waiting  2026-03-01T00:30:00Z     3  10.0.0.11/24  manual             1h30m  none          sb1 runs LIM 1              -                     -          -
c1         4  -          none     failed   2026-03-01T00:30:00Z     4  10.0.0.11/24  manual             1h30m  conflict      its software did not start  -                     -          -
c1         5  sb1        standby  running  2026-03-01T00:30:00Z     5  10.0.0.11/24  manual, ready      1h30m  unknown       by order                    -                     -          -
`,
		"csv": `CLUSTER,LIM,ACTIVE-ON,SIDE,STATE,SINCE,TERM,ALIAS,FALLBACK,DATA,REASON,NEXT-SYNC,REHEARSED,CAUSE
c1,1,sb1,standby,running,2026-03-01T00:30:00Z,1,10.0.0.11/24,"manual, not ready",behind 1h30m,srv1 is down,,,
c1,2,srv2,regular,running,2026-03-01T00:30:00Z,2,10.0.0.11/24,manual,in sync,runs on its regular server,2026-03-01T00:30:00Z,,
c1,3,,none,waiting,2026-03-01T00:30:00Z,3,10.0.0.11/24,manual,none,sb1 runs LIM 1,,,
c1,4,,none,failed,2026-03-01T00:30:00Z,4,10.0.0.11/24,manual,conflict,its software did not start,,,
c1,5,sb1,standby,running,2026-03-01T00:30:00Z,5,10.0.0.11/24,"manual, ready",unknown,by order,,,
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
