package commands

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"mxcluster/clusterconf"
	"mxcluster/clusterconf/clusterconftest"
	"mxcluster/internal/control"
	"mxcluster/internal/fault"
)

// elsewhere has edits carried out by another server, whose agents bring the document
// back here; busy is how often it is found changed meanwhile.
func (w *world) elsewhere(t *testing.T, busy int) {
	t.Helper()
	w.agent.running = true
	w.agent.infos = []*control.AgentInfo{{Server: "srv1", Edits: &control.EditPlace{Server: "sb1", Others: true}}}
	w.agent.onEdit = func(r control.EditRequest) (*control.EditResult, error) {
		if busy--; busy >= 0 {
			return nil, fault.New(fault.Busy, "try again", "the cluster document was changed meanwhile")
		}
		next, err := clusterconf.Parse("the request", r.Document)
		if err != nil {
			return nil, err
		}
		s := &clusterconf.Store{Path: w.path("etc/cluster.yaml"), HistoryDir: w.path("var/history"), Now: testNow}
		res, err := s.Edit(context.Background(), r.Change, func(d *clusterconf.Document) error {
			if clusterconf.Hash(d) != r.Base {
				return fault.New(fault.Busy, "try again", "the cluster document was changed meanwhile")
			}
			return d.Restore(next)
		})
		if err != nil {
			return nil, err
		}
		return &control.EditResult{Server: "sb1", Document: res.After.Bytes()}, nil
	}
}

// With an agent an edit is handed to it where edits are carried out elsewhere, and what
// others edit meanwhile is planned on anew.
func TestEditIsHandedOn(t *testing.T) {
	for _, tc := range []struct {
		args string
		edit bool // $EDITOR changes something
		want string
	}{
		{args: "change c1 --priority 1=7", want: "priority: 7"},
		{args: "lock 1 --to regular", want: "to: regular"},
		{args: "server add new1 --base 10.0.0.41/24 --interface eth0", want: "new1"},
		{args: "config edit", edit: true, want: "priority: 66"},
		{args: "delete c1 --yes", want: "leaving: true"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t.TempDir())
				w.document(t, clusterconftest.OneCluster)
				w.environ["EDITOR"] = "sub 100 66"
				w.elsewhere(t, 2)
				a := w.run(t.Context(), strings.Fields(tc.args)...)
				if code := a.code; code != fault.OK && (code != fault.Unknown || !strings.HasPrefix(tc.args, "delete")) {
					t.Fatalf("code %d: %s", code, a.err)
				}
				if !strings.Contains(w.stored(t), tc.want) {
					t.Errorf("the document is\n%s", w.stored(t))
				}
				if len(w.agent.edits) != 3 || w.agent.reloads != 0 {
					t.Errorf("%d edits were handed on and the agent was told %d times; want 3, of which 2 came too late, and 0", len(w.agent.edits), w.agent.reloads)
				}
			})
		})
	}
}

// Where edits cannot be made, what keeps them is said, with the remedy; with --force the
// document is edited here.
func TestEditNowhere(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	w.elsewhere(t, 0)
	w.agent.infos[0].Edits = &control.EditPlace{Others: true, Why: "edits are carried out on sb1, which is not heard", Hint: "start its agent"}
	for _, args := range []string{"change c1 --priority 1=7", "config edit", "delete c1 --yes"} {
		w.environ["EDITOR"] = "sub 100 66"
		a := w.run(t.Context(), strings.Fields(args)...)
		if a.code != fault.Refused || !strings.Contains(a.err, "sb1, which is not heard\nstart its agent") {
			t.Errorf("%s: code %d: %s", args, a.code, a.err)
		}
	}
	w.must(t, "change", "c1", "--priority", "1=7", "--force")
	if len(w.agent.edits) != 0 || !strings.Contains(w.stored(t), "priority: 7") {
		t.Errorf("%d edits handed on; the document is\n%s", len(w.agent.edits), w.stored(t))
	}
}
