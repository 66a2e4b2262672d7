package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"context"
	"strings"
	"testing"

	"mxcluster/internal/fault"
	"mxcluster/internal/status"
)

// A monitoring plugin's line and code.
func TestStatusCheck(t *testing.T) {
	good := func() *status.ClusterStatus {
		st := mixed()
		st.Health, st.Clusters[0].LIMs = "ok", st.Clusters[0].LIMs[1:2]
		st.Clusters[0].Health = "ok"
		st.Clusters[0].LIMs[0].Redundant = ptr(true)
		st.Clusters[0].Servers = []status.StatusServer{{Name: "srv2", Reachable: ptr(true)}, {Name: "sb1"}}
		return st
	}
	for _, tc := range []struct {
		name   string
		change func(*status.ClusterStatus)
		code   fault.Code
		want   string
	}{
		{"ok", func(*status.ClusterStatus) {}, 0, "OK - LIMs on their regular servers: 1 of 1\n"},
		{"standby lost", func(st *status.ClusterStatus) {
			st.Health, st.Clusters[0].Health = "warning", "warning"
			st.Clusters[0].Servers[1].Reachable = ptr(false)
		}, 1, "WARNING - sb1 is not reachable\n"},
		{"taken over", func(st *status.ClusterStatus) { *st = *mixed(); st.Clusters[0].LIMs = st.Clusters[0].LIMs[:1] }, 1,
			"WARNING - it cannot be seen whether all is redundant: LIM 1: sb1 has not said whether it would take over [not-redundant]; LIM 1 is running on sb1: srv1 is down\n"},
		{"nowhere", func(st *status.ClusterStatus) {
			*st = *mixed()
			st.Health, st.Clusters[0].Health = "critical", "critical"
			st.Clusters[0].LIMs = st.Clusters[0].LIMs[2:4]
		}, 2, "CRITICAL - LIM 3 is down: sb1 runs LIM 1 [lim-down]; LIM 4 is down: its software did not start [lim-down]\n"},
		{"split brain", func(st *status.ClusterStatus) {
			st.Health, st.Clusters[0].Health = "critical", "critical"
			st.Clusters[0].SplitBrain = ptr(true)
			st.Clusters[0].LIMs[0].Alias.Holders = []status.Holder{{Server: "srv2", Present: ptr(true)}, {Server: "sb1", Present: ptr(true)}}
		}, 2, "CRITICAL - LIM 2: split brain: it runs on srv2 and on sb1 [split-brain]\n"},
		{"no cluster", func(st *status.ClusterStatus) { st.Clusters = nil }, 0, "OK - there is no cluster\n"},
	} {
		w := newWorld(t.TempDir())
		st := good()
		tc.change(st)
		w.agent.running, w.agent.statuses = true, []*status.ClusterStatus{st}
		a := w.run(t.Context(), "status", "--check")
		if a.code != tc.code || a.out != tc.want || a.err != "" {
			t.Errorf("%s: code %d, %q, %q; want %d, %q", tc.name, a.code, a.out, a.err, tc.code, tc.want)
		}
	}
}

// What cannot be found out is UNKNOWN, not an error.
func TestStatusCheckUnknown(t *testing.T) {
	w := newWorld(t.TempDir())
	a := w.run(t.Context(), "status", "--check")
	if a.code != 3 || !strings.HasPrefix(a.out, "UNKNOWN - reading the cluster document: no cluster document") || strings.Count(a.out, "\n") != 1 || a.err != "" {
		t.Errorf("without a document: code %d, %q, %q", a.code, a.out, a.err)
	}
	w.document(t, clusterconftest.OneCluster)
	a = w.run(t.Context(), "status", "--check")
	if a.code != 3 || !strings.HasPrefix(a.out, "UNKNOWN - it cannot be seen whether all is redundant: LIM 1, 2: no agent answers") || strings.Count(a.out, "\n") != 1 {
		t.Errorf("without an agent: code %d, %q", a.code, a.out)
	}
	if a := w.run(t.Context(), "status", "--check", "--watch"); a.code != fault.Usage {
		t.Errorf("with --watch: code %d", a.code)
	}
}

// cancelAfter ends a context at the n-th write.
type cancelAfter struct {
	strings.Builder
	left   int
	cancel context.CancelFunc
}

func (c *cancelAfter) Write(p []byte) (int, error) {
	if c.left--; c.left == 0 {
		c.cancel()
	}
	return c.Builder.Write(p)
}

// A watch shows one page after the other until it is interrupted.
func TestStatusWatch(t *testing.T) {
	for _, tc := range []struct {
		args string
		page string // how each begins
	}{
		{"status --watch=1ms", "NOT REDUNDANT: LIM 3"},
		{"status --watch=1ms -o json", "{\n  \"apiVersion\""},
	} {
		w := newWorld(t.TempDir())
		w.agent.running, w.agent.statuses = true, []*status.ClusterStatus{mixed()}
		ctx, cancel := context.WithCancel(t.Context())
		out, errs := &cancelAfter{left: 3, cancel: cancel}, &strings.Builder{}
		code := Run(ctx, w.env(out, errs), strings.Fields(tc.args))
		if n := strings.Count(out.String(), tc.page); n != 3 || code != fault.Interrupted || errs.String() != "" {
			t.Errorf("%s: %d pages, code %d, %q", tc.args, n, code, errs.String())
		}
		cancel()
	}
	w := newWorld(t.TempDir())
	if a := w.run(t.Context(), "status", "--watch=0s"); a.code != fault.Usage {
		t.Errorf("--watch=0s: code %d", a.code)
	}
}
