package commands

import (
	"os"
	"strings"
	"testing"

	"mxcluster/clusterconf/clusterconftest"
	"mxcluster/internal/fault"
	"mxcluster/internal/status"
)

// The software of a LIM that is active on the other server is not started here by hand, nor is that
// suggested. Without an agent, and in a preloaded cluster, it may be.
func TestServiceStartWhereTheLIMIsActiveElsewhere(t *testing.T) {
	preloaded := strings.Replace(clusterconftest.OneCluster, "failover: normal", "failover: preloaded", 1)
	preloaded = preloaded[:strings.Index(preloaded, "      - lim: 2")]
	for _, tc := range []struct {
		name, document, activeOn string
		agent, starts            bool
	}{
		{"active elsewhere", clusterconftest.OneCluster, "sb1", true, false},
		{"active here", clusterconftest.OneCluster, "srv1", true, true},
		{"active nowhere", clusterconftest.OneCluster, "", true, true},
		{"no agent", clusterconftest.OneCluster, "sb1", false, true},
		{"preloaded", preloaded, "sb1", true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t.TempDir())
			w.document(t, tc.document)
			program, started := w.path("lim"), w.path("started")
			if err := os.WriteFile(program, []byte("#!/bin/sh\ncase $1 in start) touch "+started+" ;; status) [ -e "+started+" ] || exit 3 ;; esac\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			w.must(t, "lim", "set", "1", "--service", "exec:"+program)
			l := status.StatusLIM{LIM: 1}
			if tc.activeOn != "" {
				l.ActiveOn = &tc.activeOn
			}
			w.agent.running = tc.agent
			w.agent.statuses = []*status.ClusterStatus{{Clusters: []status.StatusCluster{{Name: "c1", LIMs: []status.StatusLIM{l}}}}}
			asked := w.run(t.Context(), "service", "status", "1")
			if suggested := strings.Contains(asked.err, "service start"); asked.code != fault.Refused || suggested != tc.starts {
				t.Errorf("status: code %d, %s", asked.code, asked.err)
			}
			a := w.run(t.Context(), "service", "start", "1")
			_, err := os.Stat(started)
			if runs := err == nil; runs != tc.starts || tc.starts != (a.code == fault.OK) {
				t.Errorf("start: code %d, it runs: %v, %s", a.code, runs, a.err)
			}
			if !tc.starts && !strings.Contains(a.err, "LIM 1 is active on sb1, and would run twice\nto move it here: mxcluster fallback 1") {
				t.Errorf("start: %s", a.err)
			}
		})
	}
}
