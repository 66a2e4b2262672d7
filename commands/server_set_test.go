package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"strings"
	"testing"

	"mxcluster/internal/control"
	"mxcluster/internal/fault"
)

// A server's base and interface are changed in the document; who lives makes ready
// first, and stays reachable at its former base.
func TestServerSet(t *testing.T) {
	tests := []struct {
		args    string
		running bool
		code    fault.Code
		says    string // on standard error
		stores  string // in the document; "": nothing is
		asked   string
	}{
		{"server set sb2 --base 10.0.0.29", false, fault.OK, "start the agent, which brings up 10.0.0.29/24", "base: 10.0.0.29/24\n", ""},
		{"server set sb2 --base 10.0.0.29", true, fault.OK, "server sb2 changed", "base: 10.0.0.29/24\n    interface", ""},
		{"server set srv1 --interface eth0", true, fault.OK, "is so already", "", ""},
		{"server set srv1 --interface eth7", true, fault.Refused, "eth7", "", ""},
		{"server set sb1 --interface br0", true, fault.OK, "on sb1: make sure", "interface: br0", "rename sb1"},
		{"server set sb1 --base 10.0.0.29", true, fault.Refused, "it is the standby of cluster c1", "", ""},
		{"server set srv1 --base 10.0.0.29", true, fault.Refused, "its LIM 1 is in cluster c1", "", ""},
		{"server set srv9 --interface br0", true, fault.NotFound, "there is no server", "", ""},
		{"server set sb2", true, fault.Usage, "give --interface or --base", "", ""},
		{"server set sb2 --base 10.0.0.21", true, fault.Refused, "10.0.0.21 is the base of srv1", "", ""},
		{"server set sb2 --base 10.0.0.255", true, fault.Usage, "broadcast", "", ""},
	}
	for _, tc := range tests {
		t.Run(tc.args, func(t *testing.T) {
			w := newWorld(t.TempDir())
			w.document(t, clusterconftest.OneCluster)
			w.agent.running = tc.running
			a := w.run(t.Context(), strings.Fields(tc.args)...)
			if a.code != tc.code || !strings.Contains(a.err+a.out, tc.says) {
				t.Errorf("code %d: %s%s", a.code, a.out, a.err)
			}
			if changed := w.stored(t) != clusterconftest.OneCluster; changed != (tc.stores != "") || !strings.Contains(w.stored(t), tc.stores) {
				t.Errorf("stored:\n%s", w.stored(t))
			}
			if got := strings.Join(w.agent.asked(), ", "); got != tc.asked {
				t.Errorf("asked %q, want %q", got, tc.asked)
			}
		})
	}
}

// One that lives keeps its former base until everybody knows the new one.
func TestServerSetKeepsTheFormerBase(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	info := agentInfo(6, 6)
	info.Members = append(info.Members, control.MemberInfo{Server: "sb2", Liveness: livenessAlive, Revision: 6})
	w.agent.running, w.agent.infos = true, []*control.AgentInfo{info}
	w.must(t, "server", "set", "sb2", "--base", "10.0.0.29")
	if !strings.Contains(w.stored(t), "base: 10.0.0.29/24\n    reachedAt: ") || strings.Join(w.agent.asked(), ", ") != "move sb2" {
		t.Errorf("asked %v, stored\n%s", w.agent.asked(), w.stored(t))
	}
}

// With agents, no edit takes a LIM out of its cluster at one go.
func TestRollbackLeavesNoCluster(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.TwoLIMs)
	w.agent.running = true
	w.must(t, "create", "c1", "--standby", "sb1", "--lim", "1=10.0.0.21")
	before := w.stored(t)
	a := w.run(t.Context(), "config", "rollback", "5", "--yes")
	if a.code != fault.Refused || !strings.Contains(a.err, "first: mxcluster delete c1") || w.stored(t) != before {
		t.Errorf("code %d: %s", a.code, a.err)
	}
}

// What has begun is not asked for again: the same command waits for its end.
func TestLeaveGoesOn(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, strings.Replace(clusterconftest.OneCluster, "        priority: 50\n", "        priority: 50\n        leaving: true\n", 1))
	w.agent.running = true
	w.agent.carryOn = nil
	info := agentInfo(6, 6)
	info.Pending = []string{"sb1 is not heard"}
	w.agent.infos = []*control.AgentInfo{info}
	a := w.run(t.Context(), "remove-lim", "c1", "2", "--wait=100ms")
	if a.code != fault.Unknown || !strings.Contains(a.err, "sb1 is not heard") || !strings.Contains(a.err, "LIM 2 is leaving cluster c1; the agents go on with it") {
		t.Errorf("code %d: %s", a.code, a.err)
	}
	w.agent.running = false
	if a := w.run(t.Context(), "delete", "c1", "--server-is-dead", "sb1", "--yes"); a.code != fault.Unreachable || !strings.Contains(a.err, "leave out --server-is-dead") {
		t.Errorf("code %d: %s", a.code, a.err)
	}
}
