package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"strings"
	"testing"

	"mxcluster/internal/control"
	"mxcluster/internal/fault"
)

const oldKey, newKeyPrint = "1111111111111111", "2222222222222222"

// keysAt is what the agent of srv1 says of a rotation at a stage.
func keysAt(stage control.KeyStage, behind string) *control.KeyInfo {
	info := &control.KeyInfo{Server: "srv1", Stage: stage, Target: newKeyPrint, Servers: []control.ServerKeys{
		{Server: "sb1", Reachable: true, Primary: oldKey, Accepted: []string{oldKey, newKeyPrint}},
		{Server: "srv1", Reachable: true, Primary: oldKey, Accepted: []string{oldKey, newKeyPrint}},
		{Server: "srv2", Behind: behind},
	}}
	if stage == control.KeysSettled {
		info.Servers = []control.ServerKeys{{Server: "srv1", Reachable: true, Primary: newKeyPrint, Accepted: []string{newKeyPrint}}}
	}
	return info
}

func TestKeyRotate(t *testing.T) {
	begun := keysAt(control.KeysSpreading, "is down")
	begun.Begun = true
	waiting, settled := keysAt(control.KeysSpreading, "is down"), keysAt(control.KeysSettled, "")
	for _, tc := range []struct {
		args    string
		server  string
		running bool
		keys    []*control.KeyInfo
		code    fault.Code
		said    string // on either stream
		orders  int
	}{
		{args: "key rotate", running: true, keys: []*control.KeyInfo{begun}, orders: 1,
			said: "mxcluster: a rotation to the gossip key 2222222222222222 has begun; it waits for srv2 (is down)\n"},
		{args: "key rotate", running: true, keys: []*control.KeyInfo{waiting}, orders: 1,
			said: "mxcluster: a rotation to the gossip key 2222222222222222 is on its way already; it waits for srv2 (is down)\n"},
		{args: "key rotate -n", running: true, keys: []*control.KeyInfo{begun}, orders: 1,
			said: "a rotation from the gossip key 2222222222222222 to a new one would begin\n"},
		{args: "key rotate --wait", running: true, keys: []*control.KeyInfo{begun, waiting, settled}, orders: 1,
			said: "mxcluster: every server uses the gossip key 2222222222222222, and accepts no other\n"},
		{args: "key rotate --wait=120ms", running: true, keys: []*control.KeyInfo{begun, waiting}, orders: 1, code: fault.Unknown,
			said: "not there after 120ms: spreading, waits for srv2 (is down)"},
		{args: "key rotate", code: fault.Unreachable, orders: 1, said: "no agent answers"},
		{args: "key rotate", server: "srv2", running: true, code: fault.Refused, said: "run it on srv1, or with --force"},
		{args: "key rotate --force", server: "srv2", running: true, keys: []*control.KeyInfo{begun}, orders: 1, said: "has begun"},
	} {
		t.Run(tc.args+" "+tc.said, func(t *testing.T) {
			w := newWorld(t.TempDir())
			w.document(t, clusterconftest.OneCluster)
			w.agent.running, w.agent.keys = tc.running, tc.keys
			if tc.server != "" {
				w.environ["MXCLUSTER_SERVER"] = tc.server
			}
			a := w.run(t.Context(), strings.Fields(tc.args)...)
			if a.code != tc.code || !strings.Contains(a.out+a.err, tc.said) {
				t.Errorf("code %d, want %d; got %q and %q", a.code, tc.code, a.out, a.err)
			}
			if len(w.agent.rotations) != tc.orders {
				t.Errorf("%d orders to the agent, want %d", len(w.agent.rotations), tc.orders)
			}
			if tc.orders > 0 && w.agent.rotations[0].DryRun != strings.Contains(tc.args, "-n") {
				t.Error("dry run, or not")
			}
		})
	}
}

func TestKeyShow(t *testing.T) {
	w := newWorld(t.TempDir())
	w.agent.running, w.agent.keys = true, []*control.KeyInfo{keysAt(control.KeysSpreading, "is down")}
	a := w.must(t, "key", "show")
	want := "SERVER  USES              ACCEPTS TOO       ROTATION\n" +
		"sb1     1111111111111111  2222222222222222  -\n" +
		"srv1    1111111111111111  2222222222222222  -\n" +
		"srv2    unknown           -                 waits: is down\n"
	if a.out != want || a.err != "mxcluster: the rotation to 2222222222222222 is spreading; it waits for srv2 (is down)\n" {
		t.Errorf("got\n%s%s", a.out, a.err)
	}
	a = w.must(t, "key", "show", "-o", "json")
	for _, part := range []string{`"kind": "KeyList"`, `"stage": "spreading"`, `"behind": "is down"`} {
		if !strings.Contains(a.out, part) {
			t.Errorf("no %s in\n%s", part, a.out)
		}
	}
}

// Without an agent this server's file tells what it has.
func TestKeyShowWithoutAgent(t *testing.T) {
	w := newWorld(t.TempDir())
	w.must(t, "init", "--server", "srv1", "--base", "10.0.0.11/24", "--interface", "eth0")
	a := w.must(t, "key", "show", "-o", "json")
	if !strings.Contains(a.out, `"stage": "unknown"`) || !strings.Contains(a.out, `"made": null`) {
		t.Errorf("got\n%s", a.out)
	}
	if w.agent.running, w.agent.err = true, fault.New(fault.Failed, "", "broken"); w.run(t.Context(), "key", "show").code != fault.Failed {
		t.Error("an agent that errs")
	}
}
