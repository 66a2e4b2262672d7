package services

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
)

// stub is a service that notes its calls and answers as it is told.
type stub struct {
	name  string
	state State                    // that a check finds
	fails map[string]error         // by the call
	takes map[string]time.Duration // by the call
	calls *[]string                // of all stubs of a set, in order
}

func (s *stub) Start(ctx context.Context, _ Env) error  { return s.do(ctx, "start") }
func (s *stub) Stop(ctx context.Context, _ Env) error   { return s.do(ctx, "stop") }
func (s *stub) Reload(ctx context.Context, _ Env) error { return s.do(ctx, "reload") }
func (s *stub) String() string                          { return s.name }

func (s *stub) Check(ctx context.Context, _ Env) (State, error) {
	if err := s.do(ctx, "check"); err != nil {
		return Failed, err
	}
	return s.state, nil
}

func (s *stub) do(ctx context.Context, call string) error {
	*s.calls = append(*s.calls, call+" "+s.name)
	if took := s.takes[call]; took > 0 {
		select {
		case <-time.After(took):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return s.fails[call]
}

// stubs returns a set of stubs by their names, and the list of their calls.
func stubs(names string) (Set, map[string]*stub, *[]string) {
	var set Set
	byName, calls := map[string]*stub{}, new([]string)
	for _, n := range strings.Fields(names) {
		byName[n] = &stub{name: n, fails: map[string]error{}, takes: map[string]time.Duration{}, calls: calls}
		set = append(set, byName[n])
	}
	return set, byName, calls
}

func TestSetOrder(t *testing.T) {
	boom := errors.New("boom")
	for _, tt := range []struct {
		name  string
		edit  func(f map[string]*stub)
		stop  bool // call Stop, not Start
		calls string
		text  string
	}{
		{"start", func(map[string]*stub) {}, false, "start a,start b,start c", ""},
		{"stop", func(map[string]*stub) {}, true, "stop c,stop b,stop a", ""},
		{"second fails", func(f map[string]*stub) { f["b"].fails["start"], f["c"].state = boom, Stopped }, false,
			"start a,start b,check c,stop b,stop a", "boom"},
		{"second never ran", func(f map[string]*stub) { f["b"].fails["start"], f["c"].state = noProgramError{boom}, Stopped }, false,
			"start a,start b,check c,stop a", "boom"},
		{"second fails, third is up from before", func(f map[string]*stub) { f["b"].fails["start"], f["c"].state = boom, Running }, false,
			"start a,start b,check c,stop c,stop b,stop a", "boom"},
		{"second fails, third has no program any more", func(f map[string]*stub) {
			f["b"].fails["start"], f["c"].fails["check"] = boom, noProgramError{errors.New("bang")}
		}, false, "start a,start b,check c,stop b,stop a", "boom"},
		{"undoing fails too", func(f map[string]*stub) {
			f["c"].fails["start"] = boom
			f["a"].fails["stop"] = errors.New("bang")
		}, false, "start a,start b,start c,stop c,stop b,stop a", "boom; and then bang"},
		{"stops fail", func(f map[string]*stub) {
			f["c"].fails["stop"] = boom
			f["a"].fails["stop"] = errors.New("bang")
		}, true, "stop c,stop b,stop a", "boom; bang"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set, byName, list := stubs("a b c")
			tt.edit(byName)
			call := set.Start
			if tt.stop {
				call = set.Stop
			}
			err := call(t.Context(), env)
			if got := strings.Join(*list, ","); got != tt.calls {
				t.Errorf("calls %s\nwant  %s", got, tt.calls)
			}
			switch {
			case tt.text == "":
				must(t, err)
			case err == nil || err.Error() != tt.text || !errors.Is(err, boom):
				t.Errorf("error %v, want %q", err, tt.text)
			}
		})
	}
}

func TestSetCheck(t *testing.T) {
	for _, tt := range []struct {
		states  [3]State
		want    State
		service string
	}{
		{[3]State{Running, Running, Running}, Running, ""},
		{[3]State{Running, Stopped, Running}, Stopped, "b"},
		{[3]State{Stopped, Stopped, Running}, Stopped, "a"},
		{[3]State{Stopped, Running, Failed}, Failed, "c"},
		{[3]State{Failed, Stopped, Failed}, Failed, "a"},
	} {
		set, byName, _ := stubs("a b c")
		for i, name := range []string{"a", "b", "c"} {
			byName[name].state = tt.states[i]
		}
		state, service, err := set.Check(t.Context(), env)
		if state != tt.want || service != tt.service || err != nil {
			t.Errorf("%v: %s %q %v", tt.states, state, service, err)
		}
	}
	boom := errors.New("boom")
	set, byName, _ := stubs("a")
	byName["a"].fails["check"] = boom
	if state, service, err := set.Check(t.Context(), env); state != Failed || service != "a" || !errors.Is(err, boom) {
		t.Errorf("%s %q %v", state, service, err)
	}
	if state, service, err := (Set)(nil).Check(t.Context(), env); state != Running || service != "" || err != nil {
		t.Errorf("empty set: %s %q %v", state, service, err)
	}
}

func TestSetReload(t *testing.T) {
	set, byName, list := stubs("a b")
	byName["a"].fails["reload"] = errors.New("boom")
	if err := set.Reload(t.Context(), env); err == nil || err.Error() != "boom" {
		t.Errorf("error %v", err)
	}
	if got := strings.Join(*list, ","); got != "reload a,reload b" {
		t.Errorf("calls %s", got)
	}
}

// What was started is stopped even though the caller has given up.
func TestUndoAfterCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set, byName, list := stubs("a b")
		byName["b"].takes["start"], byName["a"].takes["stop"] = time.Hour, time.Minute
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := set.Start(ctx, env); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if took := time.Since(began); took != time.Minute+time.Second {
			t.Errorf("took %v", took)
		}
		if got := strings.Join(*list, ","); got != "start a,start b,stop b,stop a" {
			t.Errorf("calls %s", got)
		}
	})
}

func TestSetOfScripts(t *testing.T) {
	good, goodDir := newScript(t, within(5*time.Second), nil)
	bad, badDir := newScript(t, within(5*time.Second), map[string]string{"start": "exit 1"})
	if err := (Set{good, bad}).Start(t.Context(), env); err == nil || !strings.Contains(err.Error(), bad.String()) {
		t.Errorf("error %v", err)
	}
	if got := calls(t, goodDir) + ", " + calls(t, badDir); got != "status start stop, status start stop" {
		t.Errorf("calls %q", got)
	}
}

// The software of the regular server alone is left out on the standby.
func TestSoftwareBySide(t *testing.T) {
	l := &clusterconf.LIM{Number: 1, Services: []clusterconf.Service{{Run: "exec:/lim"}, {Run: "exec:/manager", RegularOnly: true}}}
	for side, want := range map[clusterconf.Side]int{clusterconf.SideRegular: 2, clusterconf.SideStandby: 1} {
		if set, err := ForLIM(l, side, Options{}); err != nil || len(set) != want {
			t.Errorf("%s: %v, %v; want %d services", side, set, err, want)
		}
	}
	l.Services[0].Run = "nonsense"
	if _, err := ForLIM(l, clusterconf.SideRegular, Options{}); fault.CodeOf(err) != fault.Usage {
		t.Errorf("a service that is none: %v", err)
	}
}

// Of a set that does not start, and then does not stop, something may be up.
func TestStartTellsWhatMayBeUp(t *testing.T) {
	broken := errors.New("broken")
	for _, stops := range []bool{true, false} {
		set, byName, _ := stubs("one")
		byName["one"].fails["start"] = broken
		if !stops {
			byName["one"].fails["stop"] = broken
		}
		var up *NotStoppedError
		if err := set.Start(t.Context(), Env{}); err == nil || errors.As(err, &up) == stops {
			t.Errorf("stops %v: %v", stops, err)
		}
	}
}
