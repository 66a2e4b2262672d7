package whatif

import (
	"slices"
	"strings"
	"testing"

	"mxcluster/internal/failover"
)

// With an arbiter a cut moves nothing: who serves has the key.
func TestArbiterAndACut(t *testing.T) {
	for _, tt := range []struct {
		name    string
		arbiter bool
		s       Scenario
		after   []string
		reason  string
	}{
		{"cut, no arbiter", false, Scenario{Cut: []Cut{{"srv1", "sb1"}}, Gateway: true}, []string{"sb1", "srv1"}, ""},
		{"cut", true, Scenario{Cut: []Cut{{"srv1", "sb1"}}, Gateway: true}, []string{"srv1"}, ""},
		{"down", true, Scenario{Down: []string{"srv1"}}, []string{"sb1"}, "srv1 is down"},
	} {
		p := AllWell(system(nil), now)
		p.Arbiter = tt.arbiter
		r := Simulate(p, tt.s)
		o := r.LIM(1)
		slices.Sort(o.After)
		if !r.AtRest || !slices.Equal(o.After, tt.after) || !strings.Contains(o.Reason, tt.reason) {
			t.Errorf("%s: LIM 1 is on %v, at rest %v: %s", tt.name, o.After, r.AtRest, o.Reason)
		}
	}
}

// A server that is not heard but has its key keeps it, so that the standby is free for another LIM.
func TestArbiterAndASilentServer(t *testing.T) {
	for _, tt := range []struct {
		key   string
		down  []string
		after string
	}{
		{"srv1", []string{"srv2"}, "sb1"},
		{"", []string{"srv2"}, ""},
		{"srv1", []string{"srv1", "srv2"}, ""},
	} {
		p := AllWell(system(nil), now)
		p.Arbiter, p.Keys = true, map[int]string{1: tt.key}
		lose(p, "srv1", failover.Gone)
		o := Simulate(p, Scenario{Down: tt.down}).LIM(2)
		if strings.Join(o.After, " ") != tt.after {
			t.Errorf("key with %q, %v down: LIM 2 is on %q: %s", tt.key, tt.down, o.After, o.Reason)
		}
	}
}
