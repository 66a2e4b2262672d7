package commands

import (
	"strings"
	"testing"

	"mxcluster/internal/control"
	"mxcluster/internal/fault"
)

// A LIM is taken from a server on people's word only after they were asked, and after
// what would be refused was refused.
func TestMoveFromDead(t *testing.T) {
	would := control.OrderResult{Target: "sb1", Text: "LIM 1 would start on sb1, as srv1 is dead"}
	for _, tc := range []struct {
		args, answer string
		refused      error
		code         fault.Code
		orders       int
		err          string
	}{
		{"", "yes\n", nil, fault.OK, 2, "LIM 1 would start on sb1, as srv1 is dead.\nIf it lives and is only not heard, the LIM will run on both.\nIs srv1 dead, yes or no [no]: "},
		{"", "\n", nil, fault.Refused, 1, "not confirmed, nothing was done"},
		{"--no-input", "yes\n", nil, fault.Usage, 1, "--yes is missing"},
		{"--yes", "", nil, fault.OK, 2, ""},
		{"--dry-run", "", nil, fault.OK, 1, ""},
		{"", "yes\n", fault.New(fault.Refused, "", "srv1 is heard"), fault.Refused, 1, "failover of LIM 1: srv1 is heard"},
	} {
		t.Run(tc.args+" "+tc.answer, func(t *testing.T) {
			w := newWorld(t.TempDir())
			w.agent.running, w.agent.answer, w.agent.err = true, would, tc.refused
			w.term, w.stdin = true, strings.NewReader(tc.answer)
			a := w.run(t.Context(), strings.Fields("failover 1 --now --server-is-dead srv1 "+tc.args)...)
			if a.code != tc.code || !strings.Contains(a.err, tc.err) || len(w.agent.orders) != tc.orders {
				t.Errorf("code %d, want %d; standard error %q, want %q; %d orders, want %d", a.code, tc.code, a.err, tc.err, len(w.agent.orders), tc.orders)
			}
			for i, o := range w.agent.orders {
				if o.Dead != "srv1" || !o.Now || o.DryRun != (i == 0) {
					t.Errorf("order %d: %+v", i, o)
				}
			}
		})
	}
}
