package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"encoding/json"
	"strings"
	"testing"

	"mxcluster/internal/explain"
	"mxcluster/internal/fault"
	"mxcluster/internal/status"
	"mxcluster/internal/whatif"
)

func TestSimulate(t *testing.T) {
	for _, running := range []bool{false, true} {
		w := newWorld(t.TempDir())
		w.document(t, clusterconftest.OneCluster)
		w.agent.running = running
		got := w.must(t, "simulate", "--down", "srv1", "--down", "srv2")
		if lines := strings.Split(strings.TrimSpace(got.out), "\n"); len(lines) != 3 || !strings.Contains(lines[1], "c1       srv1  nowhere") ||
			!strings.Contains(lines[1], "waits") || !strings.Contains(lines[2], "srv2  sb1") || !strings.Contains(lines[2], "srv2 is down") {
			t.Errorf("agent %v:\n%s", running, got.out)
		}
		if strings.Contains(got.err, "from the document alone") == running {
			t.Errorf("agent %v: %s", running, got.err)
		}
		var r whatif.Result
		if got = w.must(t, "simulate", "--cut", "srv1:sb1", "-o", "json"); json.Unmarshal([]byte(got.out), &r) != nil || len(r.LIM(1).After) != 2 || r.Assumed == running || r.Kind != "Simulation" {
			t.Errorf("agent %v: %s", running, got.out)
		}
		if got = w.must(t, "simulate"); got.out != "" || !strings.Contains(got.err, "nothing would move") {
			t.Errorf("agent %v, nothing happens: %+v", running, got)
		}
		if got = w.must(t, "simulate", "-o", "wide"); strings.Count(got.out, "\n") != 4 {
			t.Errorf("agent %v, all: %s", running, got.out)
		}
		for _, tt := range []struct {
			args string
			code fault.Code
		}{
			{"--down srv8", fault.NotFound}, {"--up nobody", fault.NotFound}, {"--cut srv1:srv8", fault.NotFound},
			{"--cut srv1", fault.Usage}, {"--cut srv1:", fault.Usage}, {"--cut srv1:srv1", fault.Usage}, {"--down srv1 --up srv1", fault.Usage},
			{"srv1", fault.Usage},
		} {
			if got := w.run(t.Context(), append([]string{"simulate"}, strings.Fields(tt.args)...)...); got.code != tt.code {
				t.Errorf("agent %v, %s: code %d, want %d: %s", running, tt.args, got.code, tt.code, got.err)
			}
		}
	}
}

func TestExplain(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	got := w.must(t, "explain", "1")
	for _, want := range []string{"It is not known where LIM 1 of cluster c1 runs", "No agent was asked", "If srv1 died now, LIM 1 would move to sb1: srv1 is down.", "It would leave sb1 to LIM 2, which goes before it."} {
		if !strings.Contains(got.out, want) {
			t.Errorf("without an agent, %q is missing:\n%s", want, got.out)
		}
	}
	w.agent.running = true
	w.agent.statuses = []*status.ClusterStatus{limStatus("srv1", "running")}
	got = w.must(t, "explain", "1", "-o", "json")
	var e explain.Explanation
	if err := json.Unmarshal([]byte(got.out), &e); err != nil || e.Kind != "Explanation" || e.IfServerDied == nil || len(e.LosesTo) != 1 || len(e.Sentences) < 3 {
		t.Errorf("%v:\n%s", err, got.out)
	}
	flapping := limStatus("srv1", "running")
	flapping.Clusters[0].Alarms = append(flapping.Clusters[0].Alarms, status.Alarm{Handle: 2, Severity: "warning", LIM: 1, Text: "srv1 fails again and again"},
		status.Alarm{Handle: 3, Severity: "warning", LIM: 2, Text: "of another"})
	w.agent.statuses = []*status.ClusterStatus{flapping}
	if got := w.must(t, "explain", "1"); !strings.Contains(got.out, "Alarm 2, warning, since ") || strings.Contains(got.out, "of another") {
		t.Errorf("with alarms:\n%s", got.out)
	}
	if got := w.must(t, "explain", "3"); !strings.Contains(got.out, "in no cluster") {
		t.Errorf("of a LIM in no cluster: %s", got.out)
	}
	for args, code := range map[string]fault.Code{"9": fault.NotFound, "x": fault.Usage, "0": fault.Usage, "": fault.Usage, "1 2": fault.Usage} {
		if got := w.run(t.Context(), append([]string{"explain"}, strings.Fields(args)...)...); got.code != code {
			t.Errorf("explain %s: code %d, want %d", args, got.code, code)
		}
	}
}
