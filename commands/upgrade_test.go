package commands

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"mxcluster/clusterconf"
	"mxcluster/clusterconf/clusterconftest"
	"mxcluster/internal/control"
	"mxcluster/internal/fault"
	"mxcluster/internal/levels"
	"mxcluster/internal/status"
)

// calm is a system in which srv1 may be restarted: what its agent and its document say.
func calm(t *testing.T) (*clusterconf.Document, *control.AgentInfo, *status.ClusterStatus) {
	t.Helper()
	doc, err := clusterconf.Parse("cluster.yaml", []byte(clusterconftest.OneCluster))
	if err != nil {
		t.Fatal(err)
	}
	yes, home, revision := true, "srv1", uint64(6)
	info := agentInfo(6, 6)
	for i := range info.Members {
		info.Members[i].Program = &levels.Program{Version: "1.2.3", Levels: levels.Known()}
	}
	c := status.StatusCluster{Name: "c1", LIMs: []status.StatusLIM{{LIM: 1, ActiveOn: &home, State: "running", Redundant: &yes}}}
	for _, name := range []string{"sb1", "srv1", "srv2"} {
		c.Servers = append(c.Servers, status.StatusServer{Name: name, Agent: &yes, Ready: &yes, Revision: &revision})
	}
	return doc, info, &status.ClusterStatus{Revision: 6, Clusters: []status.StatusCluster{c}}
}

func TestWhetherAServerMayBeRestarted(t *testing.T) {
	no, old := false, uint64(5)
	for name, tt := range map[string]struct {
		change func(*control.AgentInfo, *status.StatusCluster)
		busy   string
		want   string
	}{
		"all is well": {nil, "", ""},
		"active and not redundant": {func(_ *control.AgentInfo, c *status.StatusCluster) {
			c.LIMs[0].Redundant, c.LIMs[0].RedundantWhy = &no, "sb1 is down"
		}, "", "LIM 1 is active here and not redundant: sb1 is down"},
		"nobody says whether it is redundant": {func(_ *control.AgentInfo, c *status.StatusCluster) {
			c.LIMs[0].Redundant, c.LIMs[0].RedundantWhy = nil, ""
		}, "", "LIM 1 is active here, and whether it would be taken over is not known"},
		"it starts":                  {func(_ *control.AgentInfo, c *status.StatusCluster) { c.LIMs[0].State = "starting" }, "", "LIM 1 is starting here"},
		"another one is upgraded":    {func(_ *control.AgentInfo, c *status.StatusCluster) { c.Servers[0].Agent = &no }, "", "no agent runs on sb1"},
		"another one is not ready":   {func(_ *control.AgentInfo, c *status.StatusCluster) { c.Servers[0].Ready = nil }, "", "sb1 is not ready"},
		"another one lacks an edit":  {func(_ *control.AgentInfo, c *status.StatusCluster) { c.Servers[0].Revision = &old }, "", "sb1 does not have revision 6"},
		"it has just been restarted": {func(i *control.AgentInfo, _ *status.StatusCluster) { i.Ready = false }, "", "has not settled yet"},
		"it hears nobody":            {func(i *control.AgentInfo, _ *status.StatusCluster) { i.Isolated = true }, "", "srv1 hears nobody"},
		"a LIM leaves its cluster":   {func(i *control.AgentInfo, _ *status.StatusCluster) { i.Pending = []string{"LIM 2 leaves"} }, "", "a change is under way: LIM 2 leaves"},
		"data are copied":            {nil, "a sync (process 7)", "the data of LIM 1 are in use by a sync (process 7)"},
	} {
		doc, info, st := calm(t)
		if tt.change != nil {
			tt.change(info, &st.Clusters[0])
		}
		got := upgradeCheck(doc, info, st, "1.2.3", func(int) string { return tt.busy })
		if got.MayRestart != (tt.want == "") || !strings.Contains(strings.Join(got.Reasons, "; "), tt.want) {
			t.Errorf("%s: may restart %v, %q; want %q", name, got.MayRestart, got.Reasons, tt.want)
		}
	}
}

// The standby servers are upgraded first.
func TestWhoIsUpgradedNext(t *testing.T) {
	doc, info, st := calm(t)
	for _, want := range []string{"sb1", "srv1", "srv2", ""} {
		got := upgradeCheck(doc, info, st, "1.3.0", func(int) string { return "" })
		if next := orEmpty(got.Next); next != want {
			t.Fatalf("next is %q, want %q", next, want)
		}
		switch i := slices.IndexFunc(info.Members, func(m control.MemberInfo) bool { return m.Server == want }); {
		case i >= 0:
			info.Members[i].Program.Version = "1.3.0"
		default:
			info.Version = "1.3.0"
		}
	}
}

// A program that is not upgraded yet does not send people to servers that are.
func TestWhoIsUpgradedNextByAnOlderProgram(t *testing.T) {
	doc, info, st := calm(t)
	info.Members[slices.IndexFunc(info.Members, func(m control.MemberInfo) bool { return m.Server == "sb1" })].Program.Version = "1.10.0"
	if next := orEmpty(upgradeCheck(doc, info, st, "1.2.3", func(int) string { return "" }).Next); next != "srv1" {
		t.Errorf("next is %q", next)
	}
}

// A downgrade is possible once nothing is in the document that the version before cannot read.
func TestWhetherADowngradeIsPossible(t *testing.T) {
	doc, _, _ := calm(t)
	for _, edit := range []func() error{
		func() error { return doc.FreezeCluster("c1", testNow(), "", "", nil) },
		func() error { return doc.LeaveBehind("srv2", true) },
		func() error { return doc.SetRehearsable(1, true) },
	} {
		if err := edit(); err != nil {
			t.Fatal(err)
		}
	}
	got := downgradeOf(doc, levels.Oldest())
	want := []string{"mxcluster config edit, and take out lims[0].rehearsable", "mxcluster unfreeze c1", "mxcluster config edit, and take out servers[4].leftBehind and the line 'level'"}
	if got.Possible || !slices.Equal(got.Undo, want) {
		t.Errorf("possible %v, undo %q; want %q", got.Possible, got.Undo, want)
	}
	if got := downgradeOf(doc, levels.Known()); !got.Possible {
		t.Errorf("to a version that reads all: %+v", got)
	}
}

func TestUpgradeCheckSaysWhyNot(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	if a := w.run(t.Context(), "upgrade", "check"); a.code != fault.Unreachable {
		t.Errorf("without an agent: code %d: %s", a.code, a.err)
	}
	_, info, st := calm(t)
	w.agent.running, w.agent.infos, w.agent.statuses = true, []*control.AgentInfo{info}, []*status.ClusterStatus{st}
	a := w.run(t.Context(), "upgrade", "check", "-o", "json")
	var got UpgradeCheck
	if err := json.Unmarshal([]byte(a.out), &got); err != nil || a.code != fault.OK || !got.MayRestart || len(got.Servers) == 0 {
		t.Errorf("code %d, %v: %s%s", a.code, err, a.out, a.err)
	}
	if a = w.run(t.Context(), "upgrade", "check", "--downgrade"); a.code != fault.Refused || !strings.Contains(a.err, "the cluster document says level 2") {
		t.Errorf("of a downgrade: code %d: %s", a.code, a.err)
	}
	st.Clusters[0].Alarms = []status.Alarm{{Name: "document-unreadable", Severity: "warning", Server: "sb1", Text: "sb1, of version 1, cannot read the others' cluster document"}}
	info.Ready = false
	if a = w.run(t.Context(), "upgrade", "check"); a.code != fault.Refused || !strings.Contains(a.err, "upgrade mxcluster on sb1, where waiting does not help") {
		t.Errorf("with a server that waits for its upgrade: code %d: %s", a.code, a.err)
	}
	if a = w.run(t.Context(), "upgrade", "check"); a.code != fault.Refused || !strings.Contains(a.err, "has not settled yet") {
		t.Errorf("of a server that has just started: code %d: %s", a.code, a.err)
	}
}
