package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mxcluster/internal/control"
	"mxcluster/internal/fault"
	"mxcluster/internal/status"
)

// stored is the document's text.
func (w *world) stored(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(w.path("etc/cluster.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// noHistory makes every edit of the document fail at the last moment: a file stands
// where the folder of its former revisions should be.
func (w *world) noHistory(t *testing.T) {
	t.Helper()
	if err := os.MkdirAll(w.path("var"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.path("var/history"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

// asked lists what the agent was asked to exchange, such as "enter srv1" or
// "undo enter srv1".
func (f *fakeAgent) asked() []string {
	var words []string
	for _, r := range f.exchanges {
		if l := r.Leave; l != nil {
			words = append(words, strings.TrimSpace(fmt.Sprintf("leave %s %v %s", l.Cluster, l.LIMs, l.Dead)))
		}
		for _, e := range r.Exchanges {
			text := string(e.Direction) + " " + e.Server
			if r.Undo {
				text = "undo " + text
			}
			words = append(words, text)
		}
	}
	return words
}

// exchanging are the commands that exchange addresses, on which document, and on
// whose servers.
var exchanging = []struct {
	args, document string
	want           []string
}{
	{"create c1 --standby sb1 --lim 1=10.0.0.21 --lim 2=10.0.0.22", clusterconftest.TwoLIMs, []string{"enter srv1", "enter srv2"}},
	{"add-lim c1 3 --base 10.0.0.26", clusterconftest.OneCluster, []string{"enter srv3"}},
	{"remove-lim c1 2 --yes", clusterconftest.OneCluster, []string{"leave c1 [2]"}},
	{"delete c1 --yes", clusterconftest.OneCluster, []string{"leave c1 []"}},
}

// With an agent the servers make ready first, this one too; nothing else is done
// to its kernel.
func TestExchangeByAgents(t *testing.T) {
	for _, tc := range exchanging {
		t.Run(tc.args, func(t *testing.T) {
			w := newWorld(t.TempDir())
			w.document(t, tc.document)
			w.agent.running = true
			a := w.must(t, strings.Fields(tc.args)...)
			if diff := cmp.Diff(tc.want, w.agent.asked()); diff != "" {
				t.Errorf("exchanges (-want +got):\n%s", diff)
			}
			if w.stored(t) == tc.document || w.agent.reloads != 1 || w.addresses(t) != "" {
				t.Errorf("told the agent %d times, addresses %q, document\n%s", w.agent.reloads, w.addresses(t), w.stored(t))
			}
			if strings.Contains(a.err, "start the agent") {
				t.Errorf("said %q", a.err)
			}
		})
	}
}

// If one server cannot do it nothing is committed, and the answer is that server's.
func TestExchangeCannotBe(t *testing.T) {
	for _, tc := range exchanging {
		t.Run(tc.args, func(t *testing.T) {
			w := newWorld(t.TempDir())
			w.document(t, tc.document)
			w.agent.running = true
			w.agent.cannotExchange = fault.New(fault.Refused, "bring it back", "LIM 2 does not run on srv2")
			bad{tc.args, fault.Refused, `: LIM 2 does not run on srv2$`, `^bring it back$`}.check(t, w)
			if w.agent.reloads != 0 {
				t.Error("the agent was told")
			}
		})
	}
}

// When the document cannot be written, what the servers made ready is undone.
func TestExchangeUndone(t *testing.T) {
	for _, tc := range exchanging {
		t.Run(tc.args, func(t *testing.T) {
			w := newWorld(t.TempDir())
			w.document(t, tc.document)
			w.agent.running = true
			w.noHistory(t)
			a := w.run(t.Context(), strings.Fields(tc.args)...)
			want := append([]string{}, tc.want...)
			for _, x := range tc.want {
				if !strings.HasPrefix(x, "leave ") { // that is asked for only
					want = append(want, "undo "+x)
				}
			}
			if diff := cmp.Diff(want, w.agent.asked()); a.code == fault.OK || diff != "" {
				t.Errorf("code %d, exchanges (-want +got):\n%s", a.code, diff)
			}
			if w.stored(t) != tc.document {
				t.Errorf("the document changed:\n%s", w.stored(t))
			}
		})
	}
}

// Between the planning and the lock another edit may come in. What the servers made
// ready for is then not what would be done.
func TestChangedMeanwhile(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	w.agent.running = true
	other := strings.Replace(clusterconftest.OneCluster, "      - lim: 2\n        alias: 10.0.0.12/24\n        priority: 50\n", "", 1)
	w.agent.onExchange = func() { w.document(t, other) }
	a := w.run(t.Context(), "delete", "c1", "--yes")
	if a.code != fault.Busy || !strings.Contains(a.err, "changed meanwhile") || w.stored(t) != other {
		t.Errorf("code %d: %s", a.code, a.err)
	}
}

// A dry run asks nobody to do anything.
func TestDryRunWithAgent(t *testing.T) {
	for _, tc := range exchanging {
		w := newWorld(t.TempDir())
		w.document(t, tc.document)
		w.agent.running = true
		before, err := w.fingerprint()
		if err != nil {
			t.Fatal(err)
		}
		w.must(t, append(strings.Fields(tc.args), "--dry-run")...)
		if after, err := w.fingerprint(); err != nil || after != before || strings.Contains(strings.Join(w.agent.asked(), " "), "enter") || w.agent.reloads > 0 {
			t.Errorf("%s --dry-run did something (%v)", tc.args, err)
		}
	}
}

// A wait ends when every server that lives has the document; one that is gone is
// not waited for, and a wait that runs out says who lacks it.
func TestWaitForRevision(t *testing.T) {
	alive := func(i *control.AgentInfo, server string) *control.AgentInfo {
		for k := range i.Members {
			if i.Members[k].Server == server {
				i.Members[k].Liveness = "alive"
			}
		}
		return i
	}
	silent := agentInfo(7, 6) // sb1 is just moving to another address
	silent.Members[0].Liveness = "unknown"
	for _, tc := range []struct {
		name  string
		infos []*control.AgentInfo
		code  fault.Code
		err   string
		took  time.Duration
	}{
		{"all have it", []*control.AgentInfo{agentInfo(6, 6), agentInfo(7, 7)}, fault.OK, "changed (revision 7)", 0},
		{"it takes a while", []*control.AgentInfo{agentInfo(6, 6), agentInfo(6, 6), agentInfo(7, 6), agentInfo(7, 7)}, fault.OK, "changed (revision 7)", 2 * pollEvery},
		{"later is as good", []*control.AgentInfo{agentInfo(6, 6), agentInfo(9, 9)}, fault.OK, "changed (revision 7)", 0},
		{"one lacks it", []*control.AgentInfo{agentInfo(6, 6), agentInfo(7, 6)}, fault.Unknown, "not there after 2s: sb1 has revision 6, not 7", 2 * time.Second},
		{"one is on its way", []*control.AgentInfo{agentInfo(6, 6), silent}, fault.Unknown, "sb1 has revision 6, not 7", 2 * time.Second},
		{"one came up", []*control.AgentInfo{agentInfo(6, 6), alive(agentInfo(7, 7), "srv2")}, fault.Unknown, "srv2 has revision 5, not 7", 2 * time.Second},
		{"not even here", []*control.AgentInfo{agentInfo(6, 6)}, fault.Unknown, "the agent of srv1 works by revision 6, not 7", 2 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t.TempDir())
				w.document(t, clusterconftest.OneCluster)
				w.agent.running, w.agent.infos = true, append(tc.infos[:1:1], tc.infos...) // where edits are made is asked first
				began := time.Now()
				a := w.run(t.Context(), "change", "c1", "--priority", "2=7", "--wait=2s")
				if a.code != tc.code || !strings.Contains(a.err, tc.err) || time.Since(began) != tc.took {
					t.Errorf("code %d after %s: %s", a.code, time.Since(began), a.err)
				}
				if !strings.Contains(w.stored(t), "revision: 7") {
					t.Errorf("the edit does not stand")
				}
			})
		})
	}
}

// Without an agent a wait is refused before anything is done.
func TestWaitWithoutAgent(t *testing.T) {
	for _, args := range []string{
		"change c1 --priority 2=7", "add-lim c1 3 --base 10.0.0.26", "remove-lim c1 2 --yes", "delete c1 --yes", "lock 1 --to regular",
		"unlock 1", "server to-standby free1", "lim set 1 --gateway mgw1",
	} {
		checkBad(t, bad{args + " --wait", 5, `no agent runs here that could be waited for`, `leave out --wait`}, clusterconftest.OneCluster)
	}
}

// On a terminal what loses something is asked about, with all that it does.
func TestConfirm(t *testing.T) {
	for _, tc := range []struct {
		args, answer string
		code         fault.Code
		err          string
	}{
		{"delete c1", "yes\n", fault.OK, "cluster c1 would be deleted:\n  server srv1: base: 10.0.0.21/24 -> 10.0.0.11/24\n"},
		{"delete c1", "Y\n", fault.OK, "Go on, yes or no [no]: "},
		{"delete c1", "\n", fault.Refused, "deleting cluster c1: not confirmed, nothing was changed"},
		{"remove-lim c1 2", "n\n", fault.Refused, "removing LIM 2 from cluster c1: not confirmed"},
		{"delete c1 --yes", "", fault.OK, "cluster c1 deleted"},
		{"delete c1 --no-input", "yes\n", fault.Usage, "--yes is missing"},
		{"delete c9", "yes\n", fault.NotFound, "there is no cluster"},
		{"change c1 --priority 2=7", "", fault.OK, "cluster c1 changed"},
	} {
		t.Run(tc.args+" "+tc.answer, func(t *testing.T) {
			w := newWorld(t.TempDir())
			w.document(t, clusterconftest.OneCluster)
			w.agent.running, w.term, w.stdin = true, true, strings.NewReader(tc.answer)
			a := w.run(t.Context(), strings.Fields(tc.args)...)
			if a.code != tc.code || !strings.Contains(a.err, tc.err) {
				t.Errorf("code %d: %s", a.code, a.err)
			}
			if done := w.stored(t) != clusterconftest.OneCluster; done != (tc.code == fault.OK) {
				t.Errorf("the document changed: %v", done)
			}
		})
	}
}

// A LIM is locked where it runs; --move brings it there first.
func TestLockWithAgent(t *testing.T) {
	onStandby, onRegular := limStatus("sb1", "running"), limStatus("srv1", "running")
	for _, tc := range []struct {
		args     string
		statuses []*status.ClusterStatus
		answer   control.OrderResult
		orders   []control.Order
		code     fault.Code
		out, err string
		locked   string
	}{
		{args: "lock 1 --to regular", statuses: []*status.ClusterStatus{onRegular}, err: "locked to regular (revision 7)", locked: "to: regular"},
		{args: "lock 1 --to regular", statuses: []*status.ClusterStatus{limStatus("", "stopped")}, err: "locked to regular", locked: "to: regular"},
		{args: "lock 1 --to standby --force", statuses: []*status.ClusterStatus{onStandby}, err: "locked to standby", locked: "to: standby"},
		{
			args: "lock 1 --to standby", statuses: []*status.ClusterStatus{onRegular}, code: fault.Refused,
			err: "locking LIM 1: it runs on srv1, its regular server, and a lock pins a LIM where it runs\nmove it first: mxcluster failover 1, or give --move",
		},
		{
			args: "lock 1 --to standby -n", statuses: []*status.ClusterStatus{onRegular}, code: fault.Refused, err: "it runs on srv1",
		},
		{
			args: "lock 1 --to standby --move -n", statuses: []*status.ClusterStatus{onRegular},
			answer: control.OrderResult{Target: "sb1", Text: "LIM 1 would move to sb1"},
			orders: []control.Order{{Kind: control.OrderFailover, LIM: 1, DryRun: true, By: "tester"}},
			out:    "LIM 1 would be locked to standby\n  LIM 1 would move to sb1\n  cluster c1: LIM 1: lock: none -> to standby",
		},
		{
			args: "lock 1 --to standby --move --reason memory", statuses: []*status.ClusterStatus{onRegular, onRegular, onRegular, onRegular, limStatus("", "starting"), onStandby},
			answer: control.OrderResult{Target: "sb1", Text: "LIM 1 moves to sb1"},
			orders: []control.Order{{Kind: control.OrderFailover, LIM: 1, DryRun: true, Reason: "memory", By: "tester"}, {Kind: control.OrderFailover, LIM: 1, Reason: "memory", By: "tester"}},
			err:    "locked to standby (revision 7)", locked: "to: standby",
		},
		{
			args: "lock 1 --to regular --move --force", statuses: []*status.ClusterStatus{onStandby}, code: fault.Unknown,
			answer: control.OrderResult{Target: "srv1", Text: "LIM 1 moves to srv1"},
			orders: []control.Order{{Kind: control.OrderFallback, LIM: 1, By: "tester"}},
			err:    "not there after 1m0s: LIM 1 is running on sb1",
		},
		{args: "lock 3 --to regular", statuses: []*status.ClusterStatus{onRegular}, code: fault.Refused, err: "cannot lock LIM 3: it is in no cluster"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t.TempDir())
				w.document(t, clusterconftest.OneCluster)
				w.agent.running, w.agent.statuses, w.agent.answer = true, tc.statuses, tc.answer
				a := w.run(t.Context(), strings.Fields(tc.args)...)
				if a.code != tc.code || !strings.Contains(a.out, tc.out) || !strings.Contains(a.err, tc.err) {
					t.Errorf("code %d: %s%s", a.code, a.out, a.err)
				}
				if diff := cmp.Diff(tc.orders, w.agent.orders); diff != "" {
					t.Errorf("orders (-want +got):\n%s", diff)
				}
				if text := w.stored(t); strings.Contains(text, "lock:") != (tc.locked != "") || !strings.Contains(text, tc.locked) {
					t.Errorf("the document is\n%s", text)
				}
			})
		})
	}
}

func TestLockMoveWithoutAgent(t *testing.T) {
	checkBad(t, bad{"lock 1 --to standby --move", 5, `locking LIM 1: no agent runs here that could move it`, `leave out --move`}, clusterconftest.OneCluster)
}
