package explain

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mxcluster/clusterconf"
	"mxcluster/clusterconf/clusterconftest"
	"mxcluster/internal/failover"
	"mxcluster/internal/status"
	"mxcluster/internal/whatif"
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
			p := whatif.AllWell(system(nil), now)
			e, err := Explain(system(nil), onStandby(tt.reason, tt.change), 1, func(s whatif.Scenario) (*whatif.Result, error) { return whatif.Simulate(p, s), nil })
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

// pair leaves LIMs 1 and 2 in the cluster.
func pair(c *clusterconf.Cluster) { c.LIMs = c.LIMs[:2] }

// What is said of a LIM in one place after another: where it runs, what is raised, and
// what would become of it, by a simulation that is given.
func TestExplainSentences(t *testing.T) {
	yes, no, srv1, sb1 := true, false, "srv1", "sb1"
	d := system(pair)
	base := func() (*status.StatusLIM, *status.ClusterStatus) {
		st := &status.ClusterStatus{GeneratedAt: now, Clusters: []status.StatusCluster{{Name: "c1", LIMs: []status.StatusLIM{
			{LIM: 1, ActiveOn: &srv1, Side: "regular", State: "running", Reason: "as ordered", Fallback: status.StatusFallback{Type: "manual"}},
		}}}}
		return &st.Clusters[0].LIMs[0], st
	}
	// Alone, each: sentences with a prefix after a change of what is seen.
	for _, tc := range []struct {
		name   string
		change func(l *status.StatusLIM, c *status.StatusCluster)
		ask    map[string]whatif.Outcome // of LIM 1, by the servers that are down
		others []whatif.Outcome
		prefix string
		want   []string
	}{
		{"its own alarm", func(_ *status.StatusLIM, c *status.StatusCluster) {
			c.Alarms = []status.Alarm{{Handle: 1, Name: "lim-down", Severity: "critical", LIM: 1, RaisedAt: now, Text: "is down"},
				{Handle: 2, Name: "lim-down", Severity: "critical", LIM: 2, RaisedAt: now, Text: "is down"}}
		}, nil, nil, "Alarm", []string{"Alarm 1, critical, since 2026-03-01T02:00:00Z: is down."}},
		{"an alarm of the standby", func(_ *status.StatusLIM, c *status.StatusCluster) {
			c.Alarms = []status.Alarm{{Handle: 1, Name: "not-understood", Severity: "warning", Server: "sb1", RaisedAt: now, Text: "speaks otherwise"},
				{Handle: 2, Name: "not-understood", Severity: "warning", Server: "srv2", RaisedAt: now, Text: "speaks otherwise"},
				{Handle: 3, Name: "clock-skew", Severity: "warning", Server: "sb1", RaisedAt: now, Text: "is late"}}
		}, nil, nil, "Alarm", []string{"Alarm 1, warning, since 2026-03-01T02:00:00Z: speaks otherwise."}},
		{"limits of the standby", func(_ *status.StatusLIM, c *status.StatusCluster) {
			c.Servers = []status.StatusServer{{Name: "sb1", Ready: &yes, ReadyWhy: "redundant for one failure"}, {Name: "srv1", Ready: &yes, ReadyWhy: "never told"}}
		}, nil, nil, "The cluster is", []string{"The cluster is redundant for one failure."}},
		{"a standby that is not ready", func(_ *status.StatusLIM, c *status.StatusCluster) {
			c.Servers = []status.StatusServer{{Name: "sb1", Ready: &no, ReadyWhy: "out of order"}}
		}, nil, nil, "The cluster is", nil},
		{"a standby that nobody knows of", func(_ *status.StatusLIM, c *status.StatusCluster) {
			c.Servers = []status.StatusServer{{Name: "sb1", ReadyWhy: "out of order"}}
		}, nil, nil, "The cluster is", nil},
		{"no limits", func(_ *status.StatusLIM, c *status.StatusCluster) {
			c.Servers = []status.StatusServer{{Name: "sb1", Ready: &yes}}
		}, nil, nil, "The cluster is", nil},
		{"another cluster's standby of that name", func(_ *status.StatusLIM, c *status.StatusCluster) {
			c.Name, c.Servers = "c9", []status.StatusServer{{Name: "sb1", Ready: &yes, ReadyWhy: "redundant for one failure"}}
		}, nil, nil, "The cluster is", nil},
		{"would move", func(*status.StatusLIM, *status.StatusCluster) {},
			map[string]whatif.Outcome{"srv1": {After: []string{"sb1"}, Reason: "it is down"}}, nil, "If srv1 died", []string{"If srv1 died now, LIM 1 would move to sb1: it is down."}},
		{"would wait", func(*status.StatusLIM, *status.StatusCluster) {},
			map[string]whatif.Outcome{"srv1": {Waiting: true, Reason: "sb1 is busy"}}, nil, "If srv1 died", []string{"If srv1 died now, LIM 1 would wait: sb1 is busy."}},
		{"would be down", func(*status.StatusLIM, *status.StatusCluster) {},
			map[string]whatif.Outcome{"srv1": {Reason: "sb1 is down"}}, nil, "If srv1 died", []string{"If srv1 died now, LIM 1 would be down: sb1 is down."}},
		{"what would help", func(*status.StatusLIM, *status.StatusCluster) {},
			map[string]whatif.Outcome{"srv1": {Reason: "sb1 is cut off", Remedy: &failover.Remedy{Command: "mxcluster failover 1 --now"}}}, nil,
			"Then ", []string{"Then `mxcluster failover 1 --now` on the standby would start it there."}},
		{"what would move besides", func(l *status.StatusLIM, _ *status.StatusCluster) { l.Side, l.ActiveOn = "standby", &sb1 },
			map[string]whatif.Outcome{"sb1": {After: []string{"srv1"}, Reason: "it is back", Moves: true}},
			[]whatif.Outcome{{LIM: 2, Moves: true, Before: []string{"srv2"}, Reason: "a"}, {LIM: 3, Before: []string{"srv3"}, Reason: "b"}, {LIM: 4, Moves: true, Before: []string{"sb1"}, Reason: "c"}},
			"LIM 2 would", []string{"LIM 2 would then move from srv2 to nowhere: a."}},
		{"and nothing else", func(l *status.StatusLIM, _ *status.StatusCluster) { l.Side, l.ActiveOn = "standby", &sb1 },
			map[string]whatif.Outcome{"sb1": {After: []string{"srv1"}, Reason: "it is back", Moves: true}},
			[]whatif.Outcome{{LIM: 3, Before: []string{"srv3"}, Reason: "b"}, {LIM: 4, Moves: true, Before: []string{"sb1"}, Reason: "c"}}, "LIM ", []string{"LIM 1 of cluster c1 is running on the standby server sb1; its regular server is srv1."}},
		{"runs nowhere", func(l *status.StatusLIM, _ *status.StatusCluster) {
			l.Side, l.ActiveOn, l.State = "none", nil, "failed"
		}, nil, nil,
			"", []string{"LIM 1 of cluster c1 runs nowhere: it is failed.", "Why: as ordered."}},
		{"not known where", func(l *status.StatusLIM, _ *status.StatusCluster) { l.Side, l.ActiveOn = "unknown", nil },
			map[string]whatif.Outcome{"srv1": {After: []string{"sb1"}, Reason: "it is down"}}, nil, "", []string{
				"It is not known where LIM 1 of cluster c1 runs; its regular server is srv1, the standby sb1.", "Why: as ordered.", "If srv1 died now, LIM 1 would move to sb1: it is down."}},
		{"what comes next", func(l *status.StatusLIM, _ *status.StatusCluster) { l.Next = "stays" }, nil, nil, "As it", []string{"As it stands, it stays."}},
		{"what comes next if", func(l *status.StatusLIM, _ *status.StatusCluster) { l.Next = "if srv1 fails, moves" }, nil, nil, "As it", nil},
		{"a lock that was not the reason", func(l *status.StatusLIM, _ *status.StatusCluster) {
			l.Lock = &status.Lock{To: "regular", Since: now, By: "root"}
		}, nil, nil,
			"It is", []string{"It is locked to the regular side by root."}},
		{"a remedy", func(l *status.StatusLIM, _ *status.StatusCluster) {
			l.Remedy = &failover.Remedy{What: "if srv1 is dead", On: "sb1", Command: "mxcluster failover 1"}
		}, nil, nil, "To type", []string{"To type on sb1, if srv1 is dead: `mxcluster failover 1`."}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, st := base()
			tc.change(l, &st.Clusters[0])
			e, err := Explain(d, st, 1, func(s whatif.Scenario) (*whatif.Result, error) {
				o := tc.ask[strings.Join(s.Down, " ")]
				o.LIM = 1
				return &whatif.Result{LIMs: append([]whatif.Outcome{o, {LIM: 2}}, tc.others...)}, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range e.Sentences {
				if strings.HasPrefix(s, tc.prefix) {
					got = append(got, s)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Who would have the standby if two failed is asked for each pair, and told of both ways,
// but where the LIM would not be taken over anyhow.
func TestExplainRivals(t *testing.T) {
	st := &status.ClusterStatus{GeneratedAt: now, Clusters: []status.StatusCluster{{Name: "c1", LIMs: []status.StatusLIM{{LIM: 1, Side: "none", State: "stopped"}}}}}
	at := func(lim int, servers ...string) whatif.Outcome { return whatif.Outcome{LIM: lim, After: servers} }
	for _, tc := range []struct {
		result []whatif.Outcome
		want   []string
	}{
		{[]whatif.Outcome{at(1, "sb1"), at(2)}, []string{"If srv1 and another regular server were down together, sb1 would run LIM 1 rather than LIM 2."}},
		{[]whatif.Outcome{{LIM: 1, Waiting: true}, at(2, "sb1")}, []string{"It would leave sb1 to LIM 2, which goes before it."}},
		{[]whatif.Outcome{at(1), at(2, "sb1")}, nil}, // as where it is locked
		{[]whatif.Outcome{at(1), at(2)}, nil},
	} {
		e, err := Explain(system(pair), st, 1, func(whatif.Scenario) (*whatif.Result, error) { return &whatif.Result{LIMs: tc.result}, nil })
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, append([]string(nil), e.Sentences[1:]...)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

var now = time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)

func system(change func(*clusterconf.Cluster)) *clusterconf.Document {
	return clusterconftest.Trio(change)
}
