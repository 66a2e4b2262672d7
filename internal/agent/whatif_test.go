package agent

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/explain"
	"mxcluster/internal/fault"
	"mxcluster/internal/whatif"
)

// What is said beforehand comes true.
func TestSimulationComesTrue(t *testing.T) {
	inWorld(t, automatic, func(w *world) {
		w.settled()
		simulate := func(on string, s whatif.Scenario) *whatif.Outcome {
			t.Helper()
			r, err := w.servers[on].agent.Simulate(w.t.Context(), s)
			if err != nil || !r.AtRest || r.Assumed {
				t.Fatalf("%+v, %v", r, err)
			}
			return r.LIM(1)
		}
		if o := simulate("srv2", whatif.Scenario{Down: []string{"srv1"}}); !slices.Equal(o.After, []string{"sb1"}) || !o.Moves {
			t.Errorf("before the power cut: %+v", o)
		}
		w.await(1, "srv1", 0) // it was only thought of
		w.powerCut("srv1")
		w.await(1, "sb1", soon)
		pass(time.Second)
		if o := simulate("srv2", whatif.Scenario{}); o.Moves || !slices.Equal(o.After, []string{"sb1"}) {
			t.Errorf("after the power cut: %+v", o)
		}
		if o := simulate("srv2", whatif.Scenario{Up: []string{"srv1"}}); !slices.Equal(o.After, []string{"srv1"}) {
			t.Errorf("before it is back: %+v", o)
		}
		w.boot("srv1")
		w.await(1, "srv1", 20*time.Second)
		_, err := w.servers["sb1"].agent.Simulate(w.t.Context(), whatif.Scenario{Down: []string{"srv22"}})
		if fault.CodeOf(err) != fault.NotFound || !strings.Contains(fault.HintOf(err), "srv2") {
			t.Errorf("a server that is not there: %v", err)
		}
	})
}

func TestExplainALIMOnTheStandby(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.powerCut("srv1")
		w.await(1, "sb1", soon)
		pass(time.Second)
		ask := func(s whatif.Scenario) (*whatif.Result, error) {
			return w.servers["sb1"].agent.Simulate(w.t.Context(), s)
		}
		e, err := explain.Explain(w.doc, w.status("sb1"), 1, ask)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(e.Sentences, "\n")
		t.Log("\n" + text)
		for _, want := range []string{
			"LIM 1 of cluster c1 is running on the standby server sb1, since ",
			"Why: srv1 is down.",
			"That keeps it from falling back to srv1.",
			"If sb1 died now, LIM 1 would be down: srv1 and the standby sb1 are both down.",
			"If srv1 and another regular server were down together, sb1 would run LIM 1 rather than LIM 2.",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is missing", want)
			}
		}
	})
}

// A document that is not valid stays out of force, and who asks is told.
func TestReloadOfAnInvalidDocument(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		path := w.servers["srv1"].store.Path
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for text, code := range map[string]fault.Code{"kind: nonsense\n": fault.Invalid, string(good): fault.OK} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := w.servers["srv1"].agent.Reload(w.t.Context()); fault.CodeOf(err) != code {
				t.Errorf("%.20q: %v (code %d), want %d", text, err, fault.CodeOf(err), code)
			}
		}
		w.await(1, "srv1", 0)
	})
}
