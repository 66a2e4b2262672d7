package status

import (
	"testing"

	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
	"mxcluster/internal/failover"
)

// Who hears a server does not repeat that it is down: whoever says so does not hear it.
func TestWhoIsHeardIsNotSaidToBeDown(t *testing.T) {
	in := Input{Observer: "srv2", Document: &clusterconf.Document{Servers: []clusterconf.Server{{Name: "sb1"}, {Name: "srv1"}, {Name: "srv10"}, {Name: "srv2"}}},
		Servers: map[string]Seen{"sb1": {Liveness: failover.Alive}, "srv1": {Liveness: failover.Alive}, "srv10": {Liveness: failover.Gone}, "srv2": {Liveness: failover.Alive}}}
	for _, tc := range []struct{ speaker, says, want string }{
		{"sb1", "srv1 is down", "sb1 does not hear srv1"},
		{"sb1", "srv1 is down; waits, the standby runs LIM 2", "sb1 does not hear srv1; waits, the standby runs LIM 2"},
		{"srv1", "the standby server sb1 is down", "srv1 does not hear the standby server sb1"},
		{"sb1", "LIM 1 runs on the standby server sb1: srv1 is down", "LIM 1 runs on the standby server sb1: sb1 does not hear srv1"},
		{"sb1", "srv10 is down", "srv10 is down"}, // nor is it heard here
		{"srv2", "srv1 is down", "srv1 is down"},  // the observer's own word
		{"sb1", "the link of sb1 is down", "the link of sb1 is down"},
	} {
		if got := in.heard(tc.speaker, tc.says); got != tc.want {
			t.Errorf("%s says %q: %q, want %q", tc.speaker, tc.says, got, tc.want)
		}
	}
	claim := failover.LIMClaim{Reason: "srv1 is down", BlockedBy: []string{"srv1 is down"}, Promise: &failover.Promise{Why: "srv1 is down"}}
	raised := []alarms.Alarm{{Text: "srv1 is down"}}
	got, told := in.heardClaim("sb1", claim), in.heardAlarms("sb1", raised)
	const want = "sb1 does not hear srv1"
	if got.Reason != want || got.BlockedBy[0] != want || got.Promise.Why != want || told[0].Text != want {
		t.Errorf("%+v, %+v", got, told)
	}
	if claim.BlockedBy[0] == want || claim.Promise.Why == want || raised[0].Text == want {
		t.Error("what was said is changed")
	}
}
