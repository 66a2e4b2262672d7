package status

import (
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/failover"
)

// Whether the loss of a server would be covered is what the standby says, while its word
// is good; of one that is out of order it is known that it covers nothing.
func TestRedundant(t *testing.T) {
	home, idle := saying(running(1, "at home")), saying(stopped("srv1 is alive"))
	says := func(p *failover.Promise) Seen {
		c := stopped("srv1 is alive")
		c.Promise = p
		s := saying(c)
		s.Claim.LIMs[0].Promise = p
		return s
	}
	said := func(ago time.Duration) Seen {
		s := says(promise(true, ""))
		s.Said, s.Every = testTime().Add(-ago), 2*time.Second
		return s
	}
	moved := saying(running(2, "srv1 is down"))
	moved.Claim.LIMs[0].Promise = promise(true, "")
	moved.Claim.LIMs[0].Promise.By = "sb1"
	uncovered := promise(false, "sb1 is drained")
	uncovered.Remedy = &failover.Remedy{What: "when that is done", Command: "mxcluster server undrain sb1"}
	for _, tt := range []struct {
		name      string
		srv1, sb1 Seen
		want, why string
		health    string
	}{
		{"covered", home, idle, "true", "", healthOK},
		{"not covered", home, says(uncovered), "false", "LIM 1: sb1 is drained", healthWarning},
		{"not known", home, says(&failover.Promise{Why: "srv1 was not heard yet"}), "null", "LIM 1: srv1 was not heard yet", healthUnknown},
		{"not said yet", home, says(nil), "null", "LIM 1: sb1 has not said whether it would take over", healthUnknown},
		{"said three heartbeats ago", home, said(6 * time.Second), "true", "", healthOK},
		{"said longer ago", home, said(6100 * time.Millisecond), "null", "LIM 1: the last word of sb1 is 6.1s old", healthUnknown},
		{"the standby is down", home, idle.now(failover.Gone), "false", "LIM 1: sb1 is down", healthWarning},
		{"its agent is silent", home, idle.now(failover.AgentLost), "false", "LIM 1: the agent of sb1 does not answer", healthWarning},
		{"it was never heard", home, Seen{Liveness: failover.Unheard}, "null", "LIM 1: sb1 has not said whether it would take over", healthUnknown},
		{"it moved just now, from a server that is down", home.now(failover.Gone), moved, "false", "LIM 1: srv1 is down", healthWarning},
		{"it came home just now", home, says(&failover.Promise{Covered: new(bool), On: new(string), Why: "it runs nowhere"}), "null", "LIM 1: sb1 has not looked at it since it came to srv1", healthUnknown},
		{"it fell back just now", home, says(&failover.Promise{Covered: new(bool), On: new("sb1"), Why: "the agent of srv1 does not answer"}), "null", "LIM 1: sb1 has not looked at it since it came to srv1", healthUnknown},
		{"it is where it was", home, says(&failover.Promise{Covered: new(bool), On: new("srv1"), Why: "sb1 is drained"}), "false", "LIM 1: sb1 is drained", healthWarning},
		{"it moved just now, by order", saying(stopped("")), moved, "null", "LIM 1: sb1 has not looked at it since it came to sb1", healthUnknown},
		{"it runs nowhere", saying(stopped("")), idle, "false", "LIM 1: it runs nowhere", healthCritical},
		{"on the standby, whose agent is silent", home.now(failover.Gone), saying(running(2, "")).now(failover.AgentLost), "null", "LIM 1: sb1 has not said whether it would take over", healthUnknown},
	} {
		st, c, l := built(t, tt.srv1, tt.sb1)
		if word(l.Redundant) != tt.want || word(c.Redundant) != tt.want || word(st.Redundant) != tt.want || c.RedundantWhy != tt.why || st.Health != tt.health {
			t.Errorf("%s: %s, %s, %s: %s; health %s", tt.name, word(l.Redundant), word(c.Redundant), word(st.Redundant), c.RedundantWhy, st.Health)
		}
		if covered := tt.want == "true"; covered != (l.Takeover != nil) || covered && l.Takeover.Detect != 10000 {
			t.Errorf("%s: a takeover takes %+v", tt.name, l.Takeover)
		}
	}
	leased := promise(true, "")
	leased.Lease = 6 * time.Second
	if _, _, l := built(t, home, says(leased)); l.Takeover.Lease == nil || *l.Takeover.Lease != 6000 {
		t.Errorf("with an arbiter a takeover takes %+v", l.Takeover)
	}
	if _, _, l := built(t, home, says(uncovered)); l.Remedy == nil || l.Remedy.Command != "mxcluster server undrain sb1" {
		t.Errorf("the remedy is %+v", l.Remedy)
	}
}

// What is surely not covered goes before what cannot be seen, in a cluster and in all.
func TestRedundantTogether(t *testing.T) {
	yes, not := true, false
	lim := func(n int, r *bool) StatusLIM { return StatusLIM{LIM: n, Redundant: r, RedundantWhy: "why"} }
	for _, tt := range []struct {
		lims []StatusLIM
		want string
		why  string
	}{
		{[]StatusLIM{lim(1, &yes), lim(2, &yes)}, "true", ""},
		{[]StatusLIM{lim(1, &yes), lim(2, nil)}, "null", "LIM 2: why"},
		{[]StatusLIM{lim(1, nil), lim(2, &not)}, "false", "LIM 2: why"},
		{[]StatusLIM{lim(1, &not), lim(2, nil)}, "false", "LIM 1: why"},
		{[]StatusLIM{lim(1, &not), lim(2, &not), lim(3, &yes)}, "false", "LIM 1: why"},
		{[]StatusLIM{lim(1, nil), lim(2, nil)}, "null", "LIM 1: why"},
	} {
		c := StatusCluster{Name: "c1", LIMs: tt.lims}
		if got, why := c.redundant(); word(got) != tt.want || got == nil && why == "" || *orFalse(got) != true && why != tt.why {
			t.Errorf("%+v: %s, %s", tt.lims, word(got), why)
		}
	}
	if got, why := ofAll(nil); got != nil || why == "" {
		t.Errorf("without clusters: %s, %s", word(got), why)
	}
}

func orFalse(b *bool) *bool {
	if b == nil {
		return new(bool)
	}
	return b
}

// A drain and a freeze are shown with all that is known of them, a freeze that is over is not.
func TestMaintenanceIsShown(t *testing.T) {
	doc := parsed(t)
	end := testTime().Add(time.Hour)
	m := &clusterconf.Maintenance{Since: testTime().Add(-time.Hour), Until: &end, By: "ann", Reason: "new disk"}
	doc.Server("sb1").Drained, doc.Clusters[0].Frozen = m, m
	over := testTime()
	doc.Clusters[1].Frozen = &clusterconf.Maintenance{Since: m.Since, Until: &over}
	const want = "since 2026-03-01T01:00:00Z until 2026-03-01T03:00:00Z by ann (new disk)"
	st := Build(Input{Now: testTime(), Observer: "sb1", Document: doc, Servers: map[string]Seen{}})
	off := Offline{Document: doc, Server: "free1", Now: testTime()}.Status()
	for _, s := range []*ClusterStatus{st, off} {
		c := s.Clusters[0]
		if got := c.Servers[0].Drained.String(); got != want || c.Servers[1].Drained != nil {
			t.Errorf("drained: %s", got)
		}
		if got := c.Frozen.String(); got != want || s.Clusters[1].Frozen != nil {
			t.Errorf("frozen: %s", got)
		}
	}
	if l := List(doc, testTime()); l.Clusters[0].Frozen.String() != want || l.Clusters[1].Frozen != nil {
		t.Errorf("listed: %+v", l.Clusters)
	}
}
