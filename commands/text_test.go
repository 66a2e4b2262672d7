package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"mxcluster/internal/events"
	"mxcluster/internal/fault"
	"mxcluster/internal/status"
)

// Whatever other servers, software and users have written, the terminal gets no orders
// from it, and a table has a line for each row.
func TestTextOfOthers(t *testing.T) {
	const ugly = "down\x1b]0;pwn\a\x1b[31m\nsecond line\u202e \u009b \xe9"
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	text, server := ugly, "srv1"
	lim := status.StatusLIM{LIM: 1, ActiveOn: &server, Side: "standby", State: ugly, Reason: ugly, Next: ugly, Data: &status.StatusData{Newest: &text},
		Fallback: status.StatusFallback{Type: ugly, BlockedBy: []string{ugly}}, Alias: status.StatusAlias{Address: ugly},
		Lock: &status.Lock{To: "standby", Since: testNow(), By: ugly, Reason: ugly}}
	w.agent.running = true
	w.agent.statuses = []*status.ClusterStatus{{Health: "warning", Clusters: []status.StatusCluster{{Name: ugly, LIMs: []status.StatusLIM{lim},
		Servers: []status.StatusServer{{Name: "srv1"}}, Alarms: []status.Alarm{{Handle: 1, Name: "lim-down", Severity: "critical", LIM: 1, Text: ugly}}}}}}
	for line, lines := range map[string]int{"status": 1, "status -o wide": 1, "status -o name": 1, "status --check": 1, "explain 1": 0, "events": 1,
		"events -o wide": 1, "status -o json": 0, "status -o yaml": 0} {
		w.agent.lists = []events.List{{Events: []events.Event{{Time: testNow().Add(-time.Minute), Server: ugly, LIM: 1, Text: ugly}}}}
		a := w.run(t.Context(), append(strings.Fields(line), "--no-headers", "--color", "always", "-v")...)
		painted := strings.NewReplacer("\x1b[31m"+`down`, "down", "\x1b[33m"+`down`, "down", "\x1b[0m", "").Replace(a.out)
		for _, out := range []string{painted, a.err} {
			if !utf8.ValidString(out) || strings.ContainsFunc(out, func(r rune) bool { return r != '\n' && !unicode.IsGraphic(r) }) {
				t.Errorf("%s: %q", line, out)
			}
		}
		if n := strings.Count(a.out, "\n"); lines != 0 && n != lines || n == 0 {
			t.Errorf("%s: %d lines: code %d: %q %s", line, n, a.code, a.out, a.err)
		}
	}
	w.agent.err = fault.New(fault.Refused, ugly, "%s", ugly)
	for line, lines := range map[string]int{"status": 2, "status -o json": 1, "fallback 1": 2, "agent status": 2} {
		a := w.run(t.Context(), strings.Fields(line)...)
		if n := strings.Count(a.err, "\n"); n != lines || strings.ContainsFunc(a.err, func(r rune) bool { return r != '\n' && !unicode.IsGraphic(r) }) {
			t.Errorf("%s: %q", line, a.err)
		}
	}
}
