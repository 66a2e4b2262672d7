package agent

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
)

func (m *machine) notify(state string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told = append(m.told, state)
	return nil
}

// notified returns what a server's service manager was told since the last time.
func (m *machine) notified() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	told := m.told
	m.told = nil
	return told
}

// Ready is told once the agent has settled, the status when it changes, the sign
// of life as long as the loop turns, and the end.
func TestNotify(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		m := w.servers["srv1"]
		w.start("srv1")
		pass(500 * time.Millisecond)
		if told := m.notified(); slices.Contains(told, "READY=1") || !slices.Contains(told, "STATUS=srv1: runs no LIM; revision 1; waits to hear the other servers") {
			t.Errorf("before it has settled: %q", told)
		}
		w.start("srv2", "sb1")
		w.await(1, "srv1", soon)
		pass(time.Second)
		told := m.notified()
		if n := len(slices.DeleteFunc(slices.Clone(told), func(s string) bool { return s != "READY=1" })); n != 1 {
			t.Errorf("ready was told %d times: %q", n, told)
		}
		if !slices.Contains(told, "STATUS=srv1: LIM 1 running; revision 1") {
			t.Errorf("status after the start: %q", told)
		}
		pass(time.Minute)
		told = m.notified()
		if beats := strings.Count(strings.Join(told, " "), "WATCHDOG=1"); beats != len(told) || beats < 60/(10/3+1) {
			t.Errorf("in a quiet minute with a watchdog of 10s: %q", told)
		}
		// A loop that hangs gives no sign of life.
		release := make(chan struct{})
		m.agent.post(func() { <-release })
		pass(time.Second)
		m.notified()
		pass(20 * time.Second)
		if told := m.notified(); len(told) > 0 {
			t.Errorf("while the loop hangs: %q", told)
		}
		close(release)
		pass(10 * time.Second)
		w.stop("srv1", false)
		if told := m.notified(); !slices.Contains(told, "STOPPING=1") {
			t.Errorf("at the end: %q", told)
		}
	})
}

// A service manager that does not read holds nobody up.
func TestNotifyDoesNotBlock(t *testing.T) {
	hang := make(chan struct{})
	n := newNotifier(func(string) error { <-hang; return nil }, time.Second)
	go n.run(t.Context(), slog.New(slog.DiscardHandler))
	defer close(hang)
	for i := range 1000 {
		n.update(time.Unix(int64(i), 0), true, strings.Repeat("x", i))
	}
	if len(n.queue) != cap(n.queue) {
		t.Errorf("%d waiting", len(n.queue))
	}
}
