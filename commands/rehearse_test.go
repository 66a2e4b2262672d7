package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"encoding/json"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/control"
	"mxcluster/internal/fault"
	"mxcluster/internal/status"
)

// rehearsedAt is a status with the last rehearsal of LIM 1; "": there was none.
func rehearsedAt(minute int, result string) *status.ClusterStatus {
	l := status.StatusLIM{LIM: 1}
	if result != "" {
		l.Rehearsal = &status.StatusRehearsal{At: time.Date(2026, 3, 1, 2, minute, 0, 0, time.UTC), Result: result, Text: "was seen"}
		if result == "ok" {
			ms := int64(4100)
			l.Rehearsal.StartMs = &ms
		}
	}
	return &status.ClusterStatus{Clusters: []status.StatusCluster{{Name: "c1", LIMs: []status.StatusLIM{l}}}}
}

func TestRehearseEndsWithWhatCameOfIt(t *testing.T) {
	for _, tc := range []struct {
		result string
		want   fault.Code
	}{{"ok", fault.OK}, {"failed", fault.Failed}, {"skipped", fault.Refused}, {"aborted", fault.Busy}} {
		w := newWorld(t.TempDir())
		w.document(t, clusterconftest.OneCluster)
		w.agent.running, w.agent.answer = true, control.OrderResult{Accepted: true, Target: "sb1", Text: "LIM 1 is rehearsed on sb1"}
		w.agent.statuses = []*status.ClusterStatus{rehearsedAt(1, "failed"), rehearsedAt(1, "failed"), rehearsedAt(2, tc.result)}
		a := w.run(t.Context(), "rehearse", "c1", "--lim", "1", "--wait", "-o", "json")
		var r rehearsalReport
		if err := json.Unmarshal([]byte(a.out), &r); err != nil || a.code != tc.want || len(r.Results) != 1 || r.Results[0].Result != tc.result || r.Results[0].Text != "was seen" {
			t.Errorf("%s: code %d, %s (%v), %s", tc.result, a.code, a.out, err, a.err)
		}
		if o := w.agent.orders; len(o) != 1 || o[0].Kind != control.OrderRehearse || o[0].LIM != 1 {
			t.Errorf("%s: the orders are %+v", tc.result, o)
		}
	}
}

func TestRehearseOrdersAllLIMs(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	w.agent.running, w.agent.answer = true, control.OrderResult{Accepted: true, Target: "sb1", Text: "so be it"}
	if a := w.run(t.Context(), "rehearse"); a.code != fault.OK || strings.Count(a.out, "ordered") != 2 {
		t.Errorf("code %d, %s%s", a.code, a.out, a.err)
	}
	if len(w.agent.orders) != 2 {
		t.Errorf("the orders are %+v", w.agent.orders)
	}
}

func TestRehearseRefused(t *testing.T) {
	for _, tc := range []struct {
		args []string
		err  error
		want fault.Code
		says string
	}{
		{[]string{"rehearse"}, fault.New(fault.Refused, "", "sb1 is not free"), fault.Refused, "sb1 is not free"},
		{[]string{"rehearse", "--lim", "1"}, fault.New(fault.Unreachable, "", "no agent"), fault.Unreachable, "no agent"},
		{[]string{"rehearse", "c9"}, nil, fault.NotFound, "no cluster c9"},
		{[]string{"rehearse", "--lim", "9"}, nil, fault.NotFound, "LIM 9 is in no cluster"},
		{[]string{"rehearse", "c1", "--lim", "9"}, nil, fault.NotFound, "cluster c1 has no LIM 9"},
		{[]string{"rehearse", "--lim", "1", "--lim", "1"}, nil, fault.Usage, "given twice"},
	} {
		w := newWorld(t.TempDir())
		w.document(t, clusterconftest.OneCluster)
		w.agent.running, w.agent.onOrder = true, func(control.Order) error { return tc.err }
		if a := w.run(t.Context(), tc.args...); a.code != tc.want || !strings.Contains(a.out+a.err, tc.says) {
			t.Errorf("%v: code %d, %s%s", tc.args, a.code, a.out, a.err)
		}
	}
}
