package services

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
)

// fakes returns a set of fakes that note their calls, in order, in one list.
func fakes(names string) (Set, map[string]*Fake) {
	var s Set
	byName := make(map[string]*Fake)
	for _, n := range strings.Fields(names) {
		byName[n] = &Fake{Name: n}
		s = append(s, byName[n])
	}
	return s, byName
}

// recorder puts the order of calls across several services on record.
type recorder struct {
	Service
	list *[]string
}

func (r recorder) Start(ctx context.Context, env Env) error {
	*r.list = append(*r.list, "start "+r.String())
	return r.Service.Start(ctx, env)
}

func (r recorder) Stop(ctx context.Context, env Env) error {
	*r.list = append(*r.list, "stop "+r.String())
	return r.Service.Stop(ctx, env)
}

func record(s Set) (Set, *[]string) {
	list := new([]string)
	out := make(Set, len(s))
	for i := range s {
		out[i] = recorder{s[i], list}
	}
	return out, list
}

func TestSetOrder(t *testing.T) {
	boom := errors.New("boom")
	for _, tt := range []struct {
		name  string
		edit  func(f map[string]*Fake)
		stop  bool // call Stop, not Start
		calls string
		text  string
	}{
		{"start", func(map[string]*Fake) {}, false, "start a,start b,start c", ""},
		{"stop", func(map[string]*Fake) {}, true, "stop c,stop b,stop a", ""},
		{"second fails", func(f map[string]*Fake) { f["b"].Script(VerbStart, Step{Err: boom}) }, false,
			"start a,start b,stop b,stop a", "boom"},
		{"second never ran", func(f map[string]*Fake) { f["b"].Script(VerbStart, Step{Err: noProgramError{boom}}) }, false,
			"start a,start b,stop a", "boom"},
		{"undoing fails too", func(f map[string]*Fake) {
			f["c"].Script(VerbStart, Step{Err: boom})
			f["a"].Script(VerbStop, Step{Err: errors.New("bang")})
		}, false, "start a,start b,start c,stop c,stop b,stop a", "boom; and then bang"},
		{"stops fail", func(f map[string]*Fake) {
			f["c"].Script(VerbStop, Step{Err: boom})
			f["a"].Script(VerbStop, Step{Err: errors.New("bang")})
		}, true, "stop c,stop b,stop a", "boom; bang"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			plain, byName := fakes("a b c")
			tt.edit(byName)
			set, list := record(plain)
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
		set, byName := fakes("a b c")
		for i, name := range []string{"a", "b", "c"} {
			byName[name].SetState(tt.states[i])
		}
		state, service, err := set.Check(t.Context(), env)
		if state != tt.want || service != tt.service || err != nil {
			t.Errorf("%v: %s %q %v", tt.states, state, service, err)
		}
	}
	boom := errors.New("boom")
	set, byName := fakes("a")
	byName["a"].Script(VerbCheck, Step{Err: boom})
	if state, service, err := set.Check(t.Context(), env); state != Failed || service != "a" || !errors.Is(err, boom) {
		t.Errorf("%s %q %v", state, service, err)
	}
	if state, service, err := (Set)(nil).Check(t.Context(), env); state != Running || service != "" || err != nil {
		t.Errorf("empty set: %s %q %v", state, service, err)
	}
}

func TestSetReload(t *testing.T) {
	set, byName := fakes("a b")
	byName["a"].Script(VerbReload, Step{Err: errors.New("boom")})
	if err := set.Reload(t.Context(), env); err == nil || err.Error() != "boom" {
		t.Errorf("error %v", err)
	}
	if calls := byName["b"].Calls(); len(calls) != 1 || !reflect.DeepEqual(calls[0], Call{VerbReload, env}) {
		t.Errorf("calls of b: %v", calls)
	}
}

// What was started is stopped even though the caller has given up.
func TestUndoAfterCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set, byName := fakes("a b")
		byName["b"].Script(VerbStart, Step{After: time.Hour})
		byName["a"].Script(VerbStop, Step{After: time.Minute})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := set.Start(ctx, env); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if took := time.Since(began); took != time.Minute+time.Second {
			t.Errorf("took %v", took)
		}
		if state, _ := byName["a"].Check(t.Context(), env); state != Stopped {
			t.Errorf("a is %s", state)
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

func TestFake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &Fake{Name: "fake"}
		gate := make(chan struct{})
		f.Script(VerbStart, Step{After: time.Second, Until: gate})
		done := make(chan error)
		go func() { done <- f.Start(t.Context(), env) }()
		time.AfterFunc(time.Minute, func() { close(gate) })
		synctest.Wait()
		if state, err := f.Check(t.Context(), env); state != Stopped || err != nil {
			t.Errorf("while it starts: %s, %v", state, err)
		}
		began := time.Now()
		must(t, <-done)
		if took := time.Since(began); took != time.Minute {
			t.Errorf("took %v", took)
		}
		if state, _ := f.Check(t.Context(), env); state != Running {
			t.Errorf("state %s", state)
		}
		f.SetState(Failed)
		if state, _ := f.Check(t.Context(), env); state != Failed {
			t.Errorf("state %s", state)
		}
		f.Script(VerbStop, Step{Until: make(chan struct{})})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := f.Stop(ctx, env); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("stop: %v", err)
		}
		var verbs []string
		for _, c := range f.Calls() {
			verbs = append(verbs, string(c.Verb))
		}
		if got := strings.Join(verbs, " "); got != "start check check check stop" {
			t.Errorf("calls %q", got)
		}
	})
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
		f := &Fake{Name: "one"}
		f.Script(VerbStart, Step{Err: broken})
		if !stops {
			f.Script(VerbStop, Step{Err: broken})
		}
		var up *NotStoppedError
		if err := (Set{f}).Start(t.Context(), Env{}); err == nil || errors.As(err, &up) == stops {
			t.Errorf("stops %v: %v", stops, err)
		}
	}
}
