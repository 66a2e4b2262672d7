package services

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A program is called with the verb drain; by its exit code it has drained, failed, or does
// not know how.
func TestDrainByExitCodes(t *testing.T) {
	for _, tc := range []struct {
		body    string
		unknown bool
		err     string
	}{
		{"exit 0", false, ""},
		{"exit 64", true, ""},
		{"exit 2", true, ""},
		{"echo 'the trunk does not answer'; exit 1", false, "the trunk does not answer"},
		{"exit 3", false, "exit status 3"},
	} {
		s, dir := newScript(t, within(5*time.Second), map[string]string{"drain": tc.body})
		unknown, err := Set{s}.Drain(t.Context(), Env{LIM: 1})
		if (len(unknown) > 0) != tc.unknown || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: unknown %q, %v", tc.body, unknown, err)
		}
		if got := calls(t, dir); got != "drain" {
			t.Errorf("%s: calls %q", tc.body, got)
		}
	}
}

// Services are asked in the order in which they are stopped, those that have no such verb
// are left out, and after a failure none is.
func TestDrainInOrder(t *testing.T) {
	first, firstDir := newScript(t, within(5*time.Second), map[string]string{"drain": "exit 0"})
	last, _ := newScript(t, within(5*time.Second), map[string]string{"drain": "exit 1"})
	unit, err := Parse("systemd:lim.service", within(time.Second))
	must(t, err)
	set := Set{first, unit, last}
	asked, never := set.Drainable()
	if !slices.Equal(asked, []string{last.String(), first.String()}) || !slices.Equal(never, []string{"systemd:lim.service"}) {
		t.Errorf("asked are %q, never %q", asked, never)
	}
	if _, err := set.Drain(t.Context(), Env{LIM: 1}); err == nil || !strings.Contains(err.Error(), "drain of "+last.String()) {
		t.Errorf("the drain comes to %v", err)
	}
	if got := calls(t, firstDir); got != "" {
		t.Errorf("after a failure the next was asked: %q", got)
	}
}

// A drain that is ended takes all that it started with it, and nothing of the service.
func TestDrainIsEndedWhole(t *testing.T) {
	s, dir := newScript(t, within(5*time.Second), map[string]string{
		"start": "setsid sh -c 'while :; do sleep 0.1; done' >/dev/null 2>&1 & echo $! >daemon",
		"drain": "setsid sh -c 'trap \"\" TERM; while :; do sleep 0.1; done' >/dev/null 2>&1 & echo $! >left; echo yes >begun; while :; do sleep 0.05; done",
		"stop":  "kill $(cat daemon)",
	})
	must(t, s.Start(t.Context(), Env{LIM: 1}))
	endDrain(t, s, dir)
	if !isThere(t, dir, "daemon") {
		t.Error("the service was ended, too")
	}
	if isThere(t, dir, "left") {
		t.Error("what the drain left is there")
	}
	must(t, s.Stop(t.Context(), Env{LIM: 1}))
}

// A drain that is ended can let new calls in again.
func TestDrainIsAskedToEnd(t *testing.T) {
	opt := within(5 * time.Second)
	opt.Grace = time.Minute
	s, dir := newScript(t, opt, map[string]string{"drain": "trap 'echo open >open; exit 1' TERM; echo yes >begun; while :; do sleep 0.05; done"})
	endDrain(t, s, dir)
	if _, err := os.Stat(filepath.Join(dir, "open")); err != nil {
		t.Error("it was not asked to end")
	}
}

// endDrain begins a drain, and ends it when it has begun.
func endDrain(t *testing.T, s Service, dir string) {
	t.Helper()
	over := errors.New("the time is up")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	go func() {
		look := time.NewTicker(5 * time.Millisecond)
		defer look.Stop()
		for ctx.Err() == nil {
			<-look.C
			if _, err := os.Stat(filepath.Join(dir, "begun")); err == nil {
				cancel(over)
			}
		}
	}()
	if _, err := (Set{s}).Drain(ctx, Env{LIM: 1}); !errors.Is(err, over) {
		t.Errorf("the drain comes to %v", err)
	}
}

// isThere reports whether the process lives whose number is in a file.
func isThere(t *testing.T, dir, name string) bool {
	t.Helper()
	pid, err := os.ReadFile(filepath.Join(dir, name))
	must(t, err)
	return !ended("/proc/" + strings.TrimSpace(string(pid)))
}

// What an agent that was killed left of a drain is ended by the next one, and the service
// goes on.
func TestDrainOfADeadAgentIsEnded(t *testing.T) {
	opt := within(5 * time.Second)
	opt.Instance = t.TempDir()
	s, dir := newScript(t, opt, map[string]string{
		"start": "setsid sh -c 'while :; do sleep 0.1; done' >/dev/null 2>&1 & echo $! >daemon",
		"drain": "echo $$ >pid.new; mv pid.new pid; while :; do sleep 0.05; done",
		"stop":  "kill $(cat daemon)",
	})
	must(t, s.Start(t.Context(), Env{LIM: 1}))
	done := make(chan error, 1)
	go func() {
		_, err := Set{s}.Drain(t.Context(), Env{LIM: 1})
		done <- err
	}()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for begun := false; !begun; {
		<-look.C
		_, err := os.Stat(filepath.Join(dir, "pid"))
		begun = err == nil
	}
	other := opt
	other.Instance = t.TempDir()
	must(t, other.EndDrains())
	if !isThere(t, dir, "pid") {
		t.Error("another instance ends it")
	}
	must(t, opt.EndDrains())
	if err := <-done; err == nil || isThere(t, dir, "pid") {
		t.Errorf("it goes on: %v", err)
	}
	if !isThere(t, dir, "daemon") {
		t.Error("the service was ended, too")
	}
	must(t, s.Stop(t.Context(), Env{LIM: 1}))
}

// A drain that ends takes with it what is left of it, and nothing of the next one, which
// has begun already.
func TestDrainsOfOneServiceAreApart(t *testing.T) {
	s, dir := newScript(t, within(5*time.Second), map[string]string{"drain": "if [ -e first ]; then while [ -e first ]; do sleep 0.01; done; sleep 0.2; exit 0; fi; echo >first; while [ ! -e second ]; do sleep 0.01; done; sleep 0.1; rm first"})
	second := make(chan error, 1)
	go func() {
		look := time.NewTicker(5 * time.Millisecond)
		defer look.Stop()
		for t.Context().Err() == nil {
			<-look.C
			if _, err := os.Stat(filepath.Join(dir, "first")); err == nil {
				break
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "second"), nil, 0o600); err != nil {
			second <- err
			return
		}
		_, err := (Set{s}).Drain(t.Context(), Env{LIM: 1})
		second <- err
	}()
	_, err := (Set{s}).Drain(t.Context(), Env{LIM: 1})
	must(t, err)
	if err := <-second; err != nil {
		t.Errorf("the second drain comes to %v", err)
	}
}
