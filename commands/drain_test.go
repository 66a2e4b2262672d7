package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"strings"
	"testing"

	"mxcluster/internal/failover"
	"mxcluster/internal/fault"
	"mxcluster/internal/status"
	"mxcluster/internal/whatif"
)

// A drain asks only where another LIM is thrown off the standby, or the standby is not
// ready; it is refused where a LIM would have no place. All that is the brain's answer.
func TestDrainAsksAndRefuses(t *testing.T) {
	claim := func(p *whatif.Present, server string, lim int) *failover.LIMClaim {
		c := p.Servers[server].Claim
		for i := range c.LIMs {
			if c.LIMs[i].LIM == lim {
				return &c.LIMs[i]
			}
		}
		c.LIMs = append(c.LIMs, failover.LIMClaim{LIM: lim, State: failover.Stopped})
		return &c.LIMs[len(c.LIMs)-1]
	}
	moved := func(p *whatif.Present, lim int) {
		home, away := claim(p, p.Document.RegularOf(lim).Name, lim), claim(p, "sb1", lim)
		away.State, away.Holds, away.Term, away.Known = failover.Running, true, 2, failover.Place{Term: 2, Server: "sb1"}
		home.State, home.Holds, home.Known = failover.Stopped, false, away.Known
	}
	gone := func(p *whatif.Present, server string) {
		s := p.Servers[server]
		s.Liveness = failover.Gone
		p.Servers[server] = s
	}
	data := func(p *whatif.Present) {
		claim(p, "srv2", 2).Data = &failover.Data{Version: "xdata_2_1", Newest: testNow()}
	}
	for _, tc := range []struct {
		name    string
		args    string
		present func(*whatif.Present)
		term    bool
		input   string
		code    fault.Code
		says    string
	}{
		{"all well", "server drain srv2", nil, false, "", fault.OK, "server srv2 is drained"},
		{"all well, the standby", "server drain sb1", nil, false, "", fault.OK, "server sb1 is drained"},
		{"all well, tried", "server drain srv2 -n", nil, false, "", fault.OK, "LIM 2 moves to sb1"},
		{"it is not there", "server drain srv2", func(p *whatif.Present) { moved(p, 2) }, false, "", fault.OK, "server srv2 is drained"},
		{"the standby gives back", "server drain sb1 -n", func(p *whatif.Present) { moved(p, 2) }, false, "", fault.OK, "LIM 2 moves to srv2"},
		{"the standby is down", "server drain srv2 --yes", func(p *whatif.Present) { gone(p, "sb1") }, false, "", fault.Refused, "cannot drain server srv2: LIM 2 would have no place"},
		{"its own server is down", "server drain sb1 --yes", func(p *whatif.Present) { moved(p, 2); gone(p, "srv2") }, false, "", fault.Refused, "cannot drain server sb1: LIM 2 would have no place"},
		{"software that cannot start", "server drain srv2 --yes", func(p *whatif.Present) { claim(p, "sb1", 2).Unable = "no program" }, false, "", fault.Refused, "its software cannot start on sb1: no program"},
		{"a LIM of higher priority there", "server drain srv1 --yes", func(p *whatif.Present) { moved(p, 2) }, false, "", fault.Refused, "LIM 1 would have no place"},
		{"another one is stopped", "server drain srv2", func(p *whatif.Present) { moved(p, 1) }, false, "", fault.Usage, "LIM 1 would be stopped on sb1: --yes is missing"},
		{"another one is stopped, tried", "server drain srv2 -n", func(p *whatif.Present) { moved(p, 1) }, false, "", fault.OK, "LIM 1 would be stopped on sb1"},
		{"another one is stopped, no", "server drain srv2", func(p *whatif.Present) { moved(p, 1) }, true, "no\n", fault.Refused, "not confirmed"},
		{"another one is stopped, yes", "server drain srv2", func(p *whatif.Present) { moved(p, 1) }, true, "yes\n", fault.OK, "server srv2 is drained"},
		{"not ready", "server drain srv2", data, false, "", fault.Usage, "sb1 is not ready for LIM 2: sb1 lacks data version xdata_2_1"},
		{"not ready, all the same", "server drain srv2 --yes", data, false, "", fault.OK, "server srv2 is drained"},
		{"no such server", "server drain srv9", nil, false, "", fault.NotFound, "did you mean srv1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t.TempDir())
			w.document(t, clusterconftest.OneCluster)
			w.agent.running, w.agent.present, w.term, w.stdin = true, tc.present, tc.term, strings.NewReader(tc.input)
			w.agent.statuses = []*status.ClusterStatus{limStatus("srv1", "running")}
			a := w.run(t.Context(), strings.Fields(tc.args)...)
			if a.code != tc.code || !strings.Contains(a.err+a.out, tc.says) {
				t.Errorf("code %d, want %d: %s%s", a.code, tc.code, a.out, a.err)
			}
			drained := strings.Contains(w.must(t, "config", "show").out, "drained:")
			if want := tc.code == fault.OK && !strings.Contains(tc.args, "-n"); drained != want {
				t.Errorf("drained is %t", drained)
			}
		})
	}
}

// --wait ends when nothing runs on the server any more, and what left it runs elsewhere.
func TestDrainWaits(t *testing.T) {
	for _, tc := range []struct {
		name  string
		on    string
		state string
		want  bool
	}{
		{"still there", "srv1", "running", false},
		{"nowhere", "", "stopped", false},
		{"it starts", "sb1", "starting", false},
		{"it runs elsewhere", "sb1", "running", true},
	} {
		st := limStatus(tc.on, tc.state)
		st.Clusters[0].Servers = []status.StatusServer{{Name: "srv1"}, {Name: "sb1"}}
		if tc.on == "" {
			st.Clusters[0].LIMs[0].Side = "none"
		}
		if got, now, err := runsNothing("srv1")(st); got != tc.want || err != nil {
			t.Errorf("%s: %t (%s), %v", tc.name, got, now, err)
		}
	}
}
