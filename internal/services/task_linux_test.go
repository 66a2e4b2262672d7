package services

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/fault"
)

// A unit that is run to its end tells its exit status; one that is given up is stopped.
func TestTask(t *testing.T) {
	t.Parallel()
	m := newManager(t, 20*time.Second, map[string]string{
		"good@":   "Type=oneshot\nExecStart=/bin/true",
		"status@": "Type=oneshot\nExecStart=/bin/sh -c 'exit %i'",
		"killed":  "Type=oneshot\nExecStart=/bin/sh -c 'kill -9 $$$$'",
		"long":    "Type=oneshot\nExecStart=/bin/sh -c 'echo >DIR/begun; exec sleep 4719'",
	})
	s := m.opt.Systemd
	for name, want := range map[string]int{"good@1.service": 0, "status@7.service": 7, "status@77.service": 77} {
		for range 2 { // a failure of before is forgotten
			if status, err := s.Task(t.Context(), name, time.Second); status != want || err != nil {
				t.Errorf("%s ended with %d, %v; want %d", name, status, err, want)
			}
		}
	}
	if _, err := s.Task(t.Context(), "killed.service", time.Second); err == nil || !strings.Contains(err.Error(), "systemd says: failed") {
		t.Errorf("a unit that was killed: %v", err)
	}
	if _, err := s.Task(t.Context(), "missing.service", time.Second); fault.CodeOf(err) != fault.NotPermitted || !strings.Contains(err.Error(), "not found") {
		t.Errorf("a unit that is not there: %v", err)
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	go func() {
		poll(t, "the unit to run", func() bool { _, err := os.Stat(m.Dir + "/begun"); return err == nil })
		cancel(enough)
	}()
	if _, err := s.Task(ctx, "long.service", time.Second); !errors.Is(err, enough) {
		t.Errorf("a unit that was given up: %v", err)
	}
	poll(t, "the unit to end", func() bool { return m.members(t, "4719") == 0 })
}
