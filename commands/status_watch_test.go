package commands

import (
	"strings"
	"testing"

	"mxcluster/internal/fault"
	"mxcluster/internal/status"
	"mxcluster/internal/ui"
)

// fakeScreen is a terminal on which keys are pressed in turn, each when the one before was taken.
type fakeScreen struct {
	rows   int
	keys   chan ui.Key
	draws  chan struct{} // takes each drawing before it begins; nil: nobody counts them
	closed bool
}

func (s *fakeScreen) Size() (columns, rows int) {
	if s.draws != nil {
		s.draws <- struct{}{}
	}
	return 80, s.rows
}

func (s *fakeScreen) Keys() <-chan ui.Key { return s.keys }
func (s *fakeScreen) Close() error {
	s.closed = true
	return nil
}

// On a terminal a watch draws one page in the place of the other, alarms in it, and ends by a key.
func TestStatusWatchOnATerminal(t *testing.T) {
	for _, tc := range []struct {
		name  string
		rows  int
		keys  []ui.Key
		code  fault.Code
		first bool // the first line was shown again after the last key
	}{
		{"ended", 50, []ui.Key{ui.KeyOther, ui.KeyQuit}, fault.OK, false},
		{"interrupted", 50, []ui.Key{ui.KeyBreak}, fault.Interrupted, false},
		{"scrolled", 6, []ui.Key{ui.KeyEnd, ui.KeyHome, ui.KeyQuit}, fault.OK, true},
	} {
		w := newWorld(t.TempDir())
		w.term, w.agent.running, w.agent.statuses = true, true, []*status.ClusterStatus{alarmed()}
		s := &fakeScreen{rows: tc.rows, keys: make(chan ui.Key)}
		out, errs := &strings.Builder{}, &strings.Builder{}
		env := w.env(out, errs)
		env.Screen = func() (Screen, error) { return s, nil }
		go func() {
			for _, k := range tc.keys {
				s.keys <- k
			}
		}()
		code := Run(t.Context(), env, strings.Fields("status --watch=1h --color never"))
		shown := out.String()
		if code != tc.code || !s.closed || errs.String() != "" {
			t.Errorf("%s: code %d, closed %v, %q", tc.name, code, s.closed, errs.String())
		}
		if n := strings.Count(shown, "lim-down  LIM 3 is down"); tc.rows == 50 && n != 1 {
			t.Errorf("%s: the alarm is drawn %d times:\n%s", tc.name, n, shown)
		}
		if n := strings.Count(shown, "\x1b[1;1HNOT REDUNDANT"); n != 1 && (n != 2 || !tc.first) {
			t.Errorf("%s: the first line is drawn %d times:\n%q", tc.name, n, shown)
		}
		if more := strings.Contains(shown, "more lines: arrows  q ends"); more != (tc.rows == 6) {
			t.Errorf("%s: more lines %v:\n%q", tc.name, more, shown)
		}
	}
}

// An agent that does not answer for a while ends no watch: what is shown says that it is old.
func TestStatusWatchSurvivesAnAgent(t *testing.T) {
	w := newWorld(t.TempDir())
	w.term, w.agent.running, w.agent.statuses = true, true, []*status.ClusterStatus{mixed()}
	s := &fakeScreen{rows: 50, keys: make(chan ui.Key), draws: make(chan struct{})}
	out, errs := &strings.Builder{}, &strings.Builder{}
	env := w.env(out, errs)
	env.Screen = func() (Screen, error) { return s, nil }
	look := func() {
		s.keys <- ui.KeyOther
		<-s.draws // the key was taken
		<-s.draws // and what it asked for is there
	}
	go func() {
		<-s.draws
		w.agent.err = fault.New(fault.Unknown, "", "the agent does not answer")
		look()
		w.agent.err = nil
		look()
		s.keys <- ui.KeyQuit
	}()
	code := Run(t.Context(), env, strings.Fields("status --watch=1h"))
	old, after, found := strings.Cut(out.String(), "not up to date: ")
	if code != fault.OK || !found || !strings.Contains(after, "the agent does not answer") || !strings.Contains(after, "q ends") || !strings.Contains(old, "NOT REDUNDANT") {
		t.Errorf("code %d, %q, %q", code, out.String(), errs.String())
	}
}

// Keys are obeyed while an agent that hangs is asked.
func TestStatusWatchOfAnAgentThatHangs(t *testing.T) {
	for key, want := range map[ui.Key]fault.Code{ui.KeyQuit: fault.OK, ui.KeyBreak: fault.Interrupted} {
		w := newWorld(t.TempDir())
		w.term, w.agent.running, w.agent.statuses = true, true, []*status.ClusterStatus{mixed()}
		s := &fakeScreen{rows: 50, keys: make(chan ui.Key)}
		env := w.env(&strings.Builder{}, &strings.Builder{})
		env.Screen = func() (Screen, error) { return s, nil }
		go func() {
			s.keys <- ui.KeyHome // the first page was drawn
			w.agent.hangs = true
			s.keys <- ui.KeyOther
			s.keys <- key
		}()
		if code := Run(t.Context(), env, strings.Fields("status --watch=1h")); code != want {
			t.Errorf("%v: code %d, want %d", key, code, want)
		}
	}
}
