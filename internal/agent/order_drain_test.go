package agent

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/fault"
	"mxcluster/internal/services"
	"mxcluster/internal/services/servicestest"
)

// drainAnswer is what came of an order that waits for calls to end.
type drainAnswer struct {
	res *control.OrderResult
	err error
}

// drainCalls orders a move of LIM 1 that waits for its calls to end, and returns when they
// are asked to, on the server that gives it up.
func (w *world) drainCalls(ctx context.Context, via, from string, o control.Order) <-chan drainAnswer {
	w.t.Helper()
	ch, before := make(chan drainAnswer, 1), w.count(from, servicestest.VerbDrain)
	agent := w.servers[via].agent
	go func() {
		res, err := agent.Order(ctx, o)
		ch <- drainAnswer{res, err}
	}()
	w.until(soon, "calls are asked to end", func() bool { return w.count(from, servicestest.VerbDrain) > before })
	return ch
}

// wantDrained fails the test unless the answer is there within a time, with a code and words.
func (w *world) wantDrained(ch <-chan drainAnswer, within time.Duration, code fault.Code, words string) {
	w.t.Helper()
	select {
	case x := <-ch:
		var text string
		if x.err != nil {
			text = x.err.Error()
		} else {
			text = x.res.Text + "; " + x.res.Drains
		}
		if fault.CodeOf(x.err) != code || !strings.Contains(text, words) {
			w.t.Errorf("the order comes to %d, %q, want %d, %q", fault.CodeOf(x.err), text, code, words)
		}
	case <-time.After(within):
		w.t.Fatalf("no answer within %s", within)
	}
}

// drainUnderWay reports whether a server lets calls end.
func (w *world) drainUnderWay(server string) bool {
	a := w.servers[server].agent
	n, err := on(w.t.Context(), a.core, func() (int, error) { return len(a.orders.draining), nil })
	if err != nil {
		w.t.Fatal(err)
	}
	return n > 0
}

// failoverOf1 moves LIM 1 when its calls have ended.
func failoverOf1() control.Order {
	return control.Order{Kind: control.OrderFailover, LIM: 1, By: "test", DrainCalls: time.Minute}
}

// A LIM's calls are let end before it is moved, wherever the order is given; it serves on
// meanwhile, and moves when they have ended, or when their time is up.
func TestCallsEndBeforeAMove(t *testing.T) {
	for _, tc := range []struct {
		name  string
		step  servicestest.Step
		after time.Duration
		words string
	}{
		{"calls end", servicestest.Step{After: 30 * time.Second}, 30 * time.Second, "LIM 1 moves to sb1; its calls had ended after 30.0 s"},
		{"time is up", servicestest.Step{After: time.Hour}, time.Minute, "LIM 1 moves to sb1; not all of its calls had ended after 60 s"},
		{"verb not known", servicestest.Step{Err: servicestest.ErrUnknown}, 0, "passed over: lim software, which does not know the verb drain"},
	} {
		for _, via := range []string{"srv1", "srv2", "sb1"} {
			t.Run(tc.name+" via "+via, func(t *testing.T) {
				inWorld(t, manual, func(w *world) {
					w.settled()
					w.servers["srv1"].soft.Script(servicestest.VerbDrain, tc.step)
					ch := w.drainCalls(w.t.Context(), via, "srv1", failoverOf1())
					if tc.after > 0 {
						w.staysOn(1, []string{"srv1"}, tc.after-time.Second)
						if w.software("srv1") != services.Running {
							t.Error("its software does not run meanwhile")
						}
					}
					w.wantDrained(ch, 5*time.Second, fault.OK, tc.words)
					w.await(1, "sb1", soon)
					if w.count("sb1", servicestest.VerbDrain) != 0 {
						t.Error("the other side was asked, too")
					}
				})
			})
		}
	}
}

// The way back is the same: the standby lets the calls end.
func TestCallsEndBeforeAFallback(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		if _, err := w.order("srv1", control.Order{Kind: control.OrderFailover, LIM: 1}); err != nil {
			t.Fatal(err)
		}
		w.await(1, "sb1", soon)
		pass(5 * time.Second)
		w.servers["sb1"].soft.Script(servicestest.VerbDrain, servicestest.Step{After: 20 * time.Second})
		o := control.Order{Kind: control.OrderFallback, LIM: 1, DrainCalls: time.Minute}
		ch := w.drainCalls(w.t.Context(), "srv2", "sb1", o)
		w.staysOn(1, []string{"sb1"}, 15*time.Second)
		w.wantDrained(ch, 10*time.Second, fault.OK, "its calls had ended after 20.0 s")
		w.await(1, "srv1", soon)
	})
}

// Where calls cannot be let end nothing is moved, and the answer says so.
func TestNothingMovesWithoutADrain(t *testing.T) {
	for _, tc := range []struct {
		name      string
		step      servicestest.Step
		meanwhile func(w *world, interrupt func())
		code      fault.Code
		words     string
		on        string // where LIM 1 is then; "": on srv1
	}{
		{"it fails", servicestest.Step{After: 3 * time.Second, Err: errBroken}, func(*world, func()) {}, fault.Refused, "cannot be drained: broken on purpose", ""},
		{"interrupted", servicestest.Step{After: time.Hour}, func(_ *world, interrupt func()) { interrupt() }, fault.Interrupted, "", ""},
		{"locked meanwhile", servicestest.Step{After: 10 * time.Second}, func(w *world, _ func()) { w.lock("srv1", clusterconf.SideRegular, 0) }, fault.Refused, "locked", ""},
		{"another order", servicestest.Step{After: time.Hour}, func(w *world, _ func()) {
			if _, err := w.order("sb1", control.Order{Kind: control.OrderFailover, LIM: 1}); err != nil {
				w.t.Error(err)
			}
		}, fault.Busy, "another order was given for it", "sb1"},
		{"the agent stops", servicestest.Step{After: time.Hour}, func(w *world, _ func()) {
			if _, err := w.servers["srv1"].agent.Stop(w.t.Context(), control.StopRequest{}); err != nil {
				w.t.Error(err)
			}
			<-w.servers["srv1"].ended
			w.servers["srv1"].agent = nil
			w.start("srv1")
		}, fault.Busy, "the agent of srv1 stops", ""},
		{"the LIM leaves by a drain of its server", servicestest.Step{After: time.Hour}, func(w *world, _ func()) { w.drain("sb1", "srv1", time.Hour) }, fault.Busy, "does not run on srv1 any more", "sb1"},
		{"a power cut", servicestest.Step{After: time.Hour}, func(w *world, _ func()) { w.powerCut("srv1") }, fault.Unknown, "the agent of srv1 does not answer any more", "sb1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inWorld(t, manual, func(w *world) {
				w.settled()
				w.servers["srv1"].soft.Script(servicestest.VerbDrain, tc.step)
				ctx, interrupt := context.WithCancel(w.t.Context())
				defer interrupt()
				ch := w.drainCalls(ctx, "srv2", "srv1", failoverOf1())
				pass(5 * time.Millisecond)
				tc.meanwhile(w, interrupt)
				if tc.code == fault.Interrupted {
					if x := <-ch; !errors.Is(x.err, context.Canceled) {
						t.Errorf("the order comes to %+v, %v", x.res, x.err)
					}
				} else {
					w.wantDrained(ch, 20*time.Second, tc.code, tc.words)
				}
				where := "srv1"
				if tc.on != "" {
					where = tc.on
				}
				w.await(1, where, soon)
				w.staysOn(1, []string{where}, 2*time.Minute)
				for name, m := range w.servers {
					if m.agent != nil && w.drainUnderWay(name) {
						t.Errorf("%s drains on", name)
					}
				}
			})
		})
	}
}

// An order whose server is not heard any more is nobody's: its drain ends, and nothing moves.
func TestDrainEndsWithWhoOrderedIt(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.servers["srv1"].soft.Script(servicestest.VerbDrain, servicestest.Step{After: 30 * time.Second})
		ch := w.drainCalls(w.t.Context(), "srv2", "srv1", failoverOf1())
		w.powerCut("srv2")
		<-ch
		w.until(drainPatience+5*time.Second, "the drain is ended", func() bool { return !w.drainUnderWay("srv1") })
		w.staysOn(1, []string{"srv1"}, time.Minute)
	})
}

// What would be refused is refused before any call is let end, and a dry run only says what
// would be called.
func TestDrainIsRefusedFirst(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		try := failoverOf1()
		try.DryRun = true
		res, err := w.order("srv2", try)
		if err != nil || !strings.Contains(res.Drains, "before that, drain of lim software is called on srv1, for at most 1m0s") {
			t.Errorf("a dry run says %+v, %v", res, err)
		}
		w.lock("srv1", clusterconf.SideRegular, 0)
		pass(time.Second)
		for _, via := range []string{"srv1", "srv2"} {
			if _, err := w.order(via, failoverOf1()); fault.CodeOf(err) != fault.Refused {
				t.Errorf("with a lock the order via %s comes to %v", via, err)
			}
		}
		if w.count("srv1", servicestest.VerbDrain) != 0 {
			t.Error("calls were asked to end")
		}
	})
}

// An order that is called off on its way moves nothing, whichever of the two arrives first.
func TestOrderCalledOffOnItsWay(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.start("sb1", "srv1", "srv2")
		w.await(1, "srv1", soon)
		a := w.servers["srv1"].agent
		_, err := on(w.t.Context(), a.core, func() (any, error) {
			a.orders.permits.give("p1", a.orders.permitFor("srv2", 1, time.Now()), time.Now())
			a.orders.drainCalledOff("sb1", message{Permit: "p1"})
			if len(a.orders.permits) != 1 {
				w.t.Error("another server calls off what is not its own")
			}
			a.orders.drainCalledOff("srv2", message{Permit: "p1"})
			if len(a.orders.permits) != 0 {
				w.t.Error("the order may still be carried out")
			}
			return nil, nil
		})
		if err != nil {
			w.t.Fatal(err)
		}
	})
}
