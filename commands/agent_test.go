package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"context"
	"os"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/control"
	"mxcluster/internal/fault"
	"mxcluster/internal/status"
)

func contextWithCancel(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	return ctx, cancel
}

func TestAgentStatus(t *testing.T) {
	w := newWorld(t.TempDir())
	w.agent.running = true
	a := w.must(t, "agent", "status", "-o", "wide")
	want := "SERVER  PID  VERSION  STARTED               REVISION  READY  ISOLATED  LEASE  MEMBERS               LIMS\n" +
		"srv1     42  1.2.3    2026-03-01T02:00:00Z         7  yes    no        3s     sb1 alive, srv2 gone  1 running\n"
	if a.out != want {
		t.Errorf("got\n%swant\n%s", a.out, want)
	}
	// Durations are in milliseconds, whatever the agent counts in.
	a = w.must(t, "agent", "status", "-o", "json")
	for _, part := range []string{`"kind": "AgentStatus"`, `"server": "srv1"`, `"leaseMs": 3000`, `"silentMs": 5000`} {
		if !strings.Contains(a.out, part) || strings.Contains(a.out, "leaseNs") {
			t.Errorf("no %s, or leaseNs, in\n%s", part, a.out)
		}
	}
}

func TestAgentStop(t *testing.T) {
	for _, tc := range []struct {
		args     string
		running  bool
		left     control.StopResult
		stops    int
		out, err string
	}{
		{args: "agent stop", err: "mxcluster: no agent runs here\n"},
		{args: "agent stop", running: true, stops: 1, left: control.StopResult{PID: 42}, err: "mxcluster: agent on srv1 stopped\n"},
		{
			args: "agent stop", running: true, stops: 1, left: control.StopResult{LIMsLeftRunning: []int{1, 2}, Lease: time.Hour},
			err: "mxcluster: agent on srv1 stopped; LIM 1, 2 runs on, and loses its alias in 1h0m0s unless an agent starts\n",
		},
		{args: "agent stop --release -q", running: true, stops: 1},
		{args: "agent stop --release -n", running: true, out: "agent 42 on srv1 would stop and give its LIMs up\n"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			w := newWorld(t.TempDir())
			w.agent.running, w.agent.left = tc.running, tc.left
			a := w.must(t, strings.Fields(tc.args)...)
			if a.out != tc.out || a.err != tc.err {
				t.Errorf("got %q and %q, want %q and %q", a.out, a.err, tc.out, tc.err)
			}
			if len(w.agent.stops) != tc.stops || w.agent.gone != (tc.stops > 0) {
				t.Errorf("told to stop %d times, waited %v", len(w.agent.stops), w.agent.gone)
			}
			if tc.stops > 0 && w.agent.stops[0].Release != strings.Contains(tc.args, "--release") {
				t.Errorf("release %v", w.agent.stops[0].Release)
			}
		})
	}
}

func TestAgentRun(t *testing.T) {
	w := newWorld(t.TempDir())
	w.must(t, "init", "--server", "srv1", "--base", "10.0.0.11/24", "--interface", "eth0")
	w.must(t, "agent", "run")
	if w.setup == nil || w.setup.Settings.Server != "srv1" || w.setup.KeyFile != w.path("etc/gossip.key") || w.setup.Socket != w.path("run/agent.sock") {
		t.Errorf("the agent was run with %+v", w.setup)
	}
	// A host name that the system does not know.
	w.environ["MXCLUSTER_SERVER"], w.setup = "srv2", nil
	a := w.run(t.Context(), "agent", "run")
	if a.code != fault.NotFound || w.setup != nil || !strings.Contains(a.err, `there is no server "srv2"`) || !strings.Contains(a.err, "mxcluster.yaml") {
		t.Errorf("code %d: %s", a.code, a.err)
	}
}

// Edits belong where LIM 1 runs, and the agent there is told.
func TestEditWhereLIM1Runs(t *testing.T) {
	const add = "server add srv9 --base 10.0.0.9/24 --interface eth0"
	for _, tc := range []struct {
		name, server string
		lim1         string // where the agent says that LIM 1 runs; "": no agent
		args         string
		code         fault.Code
	}{
		{"on its regular server", "srv1", "", add, fault.OK},
		{"elsewhere", "srv2", "", add, fault.Refused},
		{"elsewhere by force", "srv2", "", add + " --force", fault.OK},
		{"on the standby that runs it", "sb1", "sb1", add, fault.OK},
		{"on the regular while the standby runs it", "srv1", "sb1", add, fault.Refused},
		{"a dry run elsewhere", "srv2", "", add + " -n", fault.Refused},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t.TempDir())
			w.document(t, clusterconftest.OneCluster)
			w.environ["MXCLUSTER_SERVER"] = tc.server
			if tc.lim1 != "" {
				w.agent.running, w.agent.statuses = true, []*status.ClusterStatus{limStatus(tc.lim1, "running")}
			}
			a := w.run(t.Context(), strings.Fields(tc.args)...)
			if a.code != tc.code {
				t.Errorf("code %d, want %d: %s", a.code, tc.code, a.err)
			}
			if told := w.agent.reloads > 0; told != (tc.lim1 != "" && tc.code == fault.OK) {
				t.Errorf("the agent was told: %v", told)
			}
		})
	}
}

func TestEditWithoutLIM1(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, strings.Replace(clusterconftest.TwoLIMs, "lim: 1\n", "lim: 7\n", 1))
	w.environ["MXCLUSTER_SERVER"] = "srv2"
	w.must(t, "server", "to-standby", "free1")
}

// With an agent the addresses are its work, and --wait waits for it.
func TestCreateWithAgent(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.TwoLIMs)
	w.agent.running = true
	w.agent.statuses = []*status.ClusterStatus{{}, limStatus("", "stopped"), limStatus("srv1", "running")}
	a := w.must(t, "create", "c1", "--standby", "sb1", "--lim", "1=10.0.0.21", "--wait", "--reason", "redundancy")
	if w.agent.reloads != 1 {
		t.Errorf("the agent was told %d times", w.agent.reloads)
	}
	if got := w.addresses(t); got != "" {
		t.Errorf("addresses %s", got)
	}
	if !strings.Contains(a.err, "network configuration") || strings.Contains(a.err, "no agent") {
		t.Errorf("said %q", a.err)
	}
	text, err := os.ReadFile(w.path("etc/cluster.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"by: tester", "server: srv1", "command: create c1", "reason: redundancy"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the document lacks %q:\n%s", want, text)
		}
	}
}
