package commands

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mxcluster/internal/control"
	"mxcluster/internal/fault"
	"mxcluster/internal/status"
)

// limStatus is a status in which LIM 1 is in a state on a server.
func limStatus(server, state string) *status.ClusterStatus {
	l := status.StatusLIM{LIM: 1, State: state, Side: "none", Fallback: status.StatusFallback{Type: "manual", BlockedBy: []string{}}}
	if server != "" {
		l.ActiveOn = &server
		l.Side = map[bool]string{true: "regular", false: "standby"}[strings.HasPrefix(server, "srv")]
	}
	return &status.ClusterStatus{Agent: true, Clusters: []status.StatusCluster{{Name: "c1", LIMs: []status.StatusLIM{l}}}}
}

func TestMove(t *testing.T) {
	for _, tc := range []struct {
		args     string
		answer   control.OrderResult
		statuses []*status.ClusterStatus
		order    control.Order
		code     fault.Code
		out, err string
	}{
		{
			args: "fallback 1", answer: control.OrderResult{Accepted: true, Target: "srv1", Text: "LIM 1 moves to srv1"},
			order: control.Order{Kind: control.OrderFallback, LIM: 1, By: "tester"},
			err:   "mxcluster: LIM 1 moves to srv1\n",
		},
		{
			args: "fallback 1 --now --reason done -q", answer: control.OrderResult{Target: "srv1", Text: "LIM 1 moves to srv1"},
			order: control.Order{Kind: control.OrderFallback, LIM: 1, Now: true, Reason: "done", By: "tester"},
		},
		{
			args: "failover 1 -n", answer: control.OrderResult{Target: "sb1", Text: "LIM 1 would move to sb1"},
			order: control.Order{Kind: control.OrderFailover, LIM: 1, DryRun: true, By: "tester"},
			out:   "LIM 1 would move to sb1\n",
		},
		{
			args: "failover 1 -o json", answer: control.OrderResult{Already: true, Target: "sb1", Text: "LIM 1 runs on sb1 already"},
			order: control.Order{Kind: control.OrderFailover, LIM: 1, By: "tester"},
			out: `{
  "apiVersion": "mxcluster/v1",
  "kind": "ChangeResult",
  "changed": false,
  "dryRun": false,
  "text": "LIM 1 runs on sb1 already"
}
`,
		},
		{
			args: "fallback 1 --wait", answer: control.OrderResult{Target: "srv1", Text: "LIM 1 moves to srv1"},
			statuses: []*status.ClusterStatus{limStatus("sb1", "stopping"), limStatus("", "stopped"), limStatus("srv1", "starting"), limStatus("srv1", "running")},
			order:    control.Order{Kind: control.OrderFallback, LIM: 1, By: "tester"},
			err:      "mxcluster: LIM 1 runs on srv1\n",
		},
		{
			args: "fallback 1 --wait=2s", answer: control.OrderResult{Target: "srv1", Text: "LIM 1 moves to srv1"},
			statuses: []*status.ClusterStatus{limStatus("sb1", "running")},
			order:    control.Order{Kind: control.OrderFallback, LIM: 1, By: "tester"},
			code:     fault.Unknown,
			err:      "mxcluster: fallback of LIM 1: not there after 2s: LIM 1 is running on sb1\nthe order stands; look with 'mxcluster status'\n",
		},
		{
			args: "fallback 1 --wait --timeout 1s", answer: control.OrderResult{Target: "srv1", Text: "LIM 1 moves to srv1"},
			statuses: []*status.ClusterStatus{limStatus("sb1", "running")},
			order:    control.Order{Kind: control.OrderFallback, LIM: 1, By: "tester"},
			code:     fault.Unknown,
			err:      "mxcluster: gave up after 1s: fallback of LIM 1\ngive it more with --timeout\n",
		},
	} {
		t.Run(tc.args, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t.TempDir())
				w.agent.running, w.agent.answer, w.agent.statuses = true, tc.answer, tc.statuses
				a := w.run(t.Context(), strings.Fields(tc.args)...)
				want := []control.Order{tc.order}
				if try := tc.order; try.Kind == control.OrderFailover && !try.DryRun {
					try.DryRun = true // whether another LIM would be stopped is asked first
					want = []control.Order{try, tc.order}
				}
				if diff := cmp.Diff(want, w.agent.orders); diff != "" {
					t.Errorf("orders (-want +got):\n%s", diff)
				}
				if a.code != tc.code || a.out != tc.out || a.err != tc.err {
					t.Errorf("code %d, want %d\nstandard output %q, want %q\nstandard error %q, want %q", a.code, tc.code, a.out, tc.out, a.err, tc.err)
				}
			})
		})
	}
}

// What the agent says is passed on: its code, its words, its remedy.
func TestMoveRefused(t *testing.T) {
	w := newWorld(t.TempDir())
	w.agent.running = true
	w.agent.err = fault.New(fault.Refused, "wait for srv1", "srv1 is not ready")
	a := w.run(t.Context(), "fallback", "1")
	if a.code != fault.Refused || a.err != "mxcluster: fallback of LIM 1: srv1 is not ready\nwait for srv1\n" {
		t.Errorf("code %d: %q", a.code, a.err)
	}
	a = w.run(t.Context(), "fallback", "1", "-o", "json")
	if want := `{"error":{"code":3,"message":"fallback of LIM 1: srv1 is not ready","hint":"wait for srv1"}}` + "\n"; a.err != want || a.out != "" {
		t.Errorf("got %q and %q, want %q", a.out, a.err, want)
	}
}

// An agent that is restarted meanwhile is asked on.
func TestWaitOverRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t.TempDir())
		w.agent.running = true
		w.agent.answer = control.OrderResult{Target: "srv1"}
		w.agent.statuses = []*status.ClusterStatus{limStatus("srv1", "running")}
		down := &comingBack{fakeAgent: w.agent, at: time.Now().Add(time.Second)}
		if err := waitFor(t.Context(), down, time.Minute, arrives(1, "srv1", nil)); err != nil {
			t.Error(err)
		}
		if time.Now().Before(down.at) {
			t.Error("the wait ended before the agent was back")
		}
	})
}

// comingBack is an agent that does not answer until a time.
type comingBack struct {
	*fakeAgent
	at time.Time
}

func (c *comingBack) Status(ctx context.Context) (*status.ClusterStatus, error) {
	c.running = !time.Now().Before(c.at)
	return c.fakeAgent.Status(ctx)
}

func TestInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t.TempDir())
		w.agent.running = true
		w.agent.answer = control.OrderResult{Target: "srv1"}
		w.agent.statuses = []*status.ClusterStatus{limStatus("sb1", "running")}
		ctx, interrupt := contextWithCancel(t)
		time.AfterFunc(time.Second, interrupt)
		a := w.run(ctx, "fallback", "1", "--wait")
		if a.code != fault.Interrupted || !strings.HasPrefix(a.err, "mxcluster: interrupted: fallback of LIM 1") {
			t.Errorf("code %d: %q", a.code, a.err)
		}
	})
}

// With --drain-calls it is said beforehand what is called, and in the end what came of that.
func TestMoveWithDrain(t *testing.T) {
	for _, tc := range []struct {
		args     string
		answer   control.OrderResult
		refused  error
		orders   []control.Order
		code     fault.Code
		out, err string
	}{
		{
			args: "fallback 1 --drain-calls", answer: control.OrderResult{Target: "srv1", Text: "LIM 1 moves to srv1", Drains: "so be it"},
			orders: []control.Order{{DryRun: true, DrainCalls: 10 * time.Minute}, {DrainCalls: 10 * time.Minute}},
			err:    "mxcluster: LIM 1 is to move; so be it\nmxcluster: LIM 1 moves to srv1; so be it\n",
		},
		{
			args: "fallback 1 --drain-calls=30s -q", answer: control.OrderResult{Target: "srv1", Text: "LIM 1 moves to srv1", Drains: "so be it"},
			orders: []control.Order{{DryRun: true, DrainCalls: 30 * time.Second}, {DrainCalls: 30 * time.Second}},
		},
		{
			args: "fallback 1 --drain-calls -n", answer: control.OrderResult{Target: "srv1", Text: "LIM 1 would move to srv1", Drains: "before that, drain is called"},
			orders: []control.Order{{DryRun: true, DrainCalls: 10 * time.Minute}},
			out:    "LIM 1 would move to srv1; before that, drain is called\n",
		},
		{
			args: "fallback 1 --drain-calls", refused: fault.New(fault.Refused, "", "LIM 1 was not moved"),
			orders: []control.Order{{DryRun: true, DrainCalls: 10 * time.Minute}},
			code:   fault.Refused, err: "mxcluster: fallback of LIM 1: LIM 1 was not moved\n",
		},
		{
			args: "fallback 1 --drain-calls=48h", code: fault.Usage,
			err: "mxcluster: --drain-calls: calls are drained for 24h0m0s at most, not for 48h0m0s\ngive a time such as 10m\n",
		},
		{
			args: "failover 1 --now --drain-calls --server-is-dead srv1 --yes", code: fault.Usage,
			err: "mxcluster: --drain-calls: a server that is dead has no calls to drain\nleave one of them out\n",
		},
	} {
		t.Run(tc.args, func(t *testing.T) {
			w := newWorld(t.TempDir())
			w.agent.running, w.agent.answer, w.agent.err = true, tc.answer, tc.refused
			a := w.run(t.Context(), strings.Fields(tc.args)...)
			for i := range tc.orders {
				tc.orders[i].Kind, tc.orders[i].LIM, tc.orders[i].By = control.OrderFallback, 1, "tester"
			}
			if diff := cmp.Diff(tc.orders, w.agent.orders); diff != "" {
				t.Errorf("orders (-want +got):\n%s", diff)
			}
			if a.code != tc.code || a.out != tc.out || a.err != tc.err {
				t.Errorf("code %d, want %d\nstandard output %q, want %q\nstandard error %q, want %q", a.code, tc.code, a.out, tc.out, a.err, tc.err)
			}
		})
	}
}
