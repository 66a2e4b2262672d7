package status

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mxcluster/clusterconf"
)

// A lock is shown by list and status, with and without an agent, while it holds.
func TestLockIsShown(t *testing.T) {
	since, end := testTime().Add(-time.Hour), testTime().Add(time.Hour)
	for _, tc := range []struct {
		name string
		lock *clusterconf.Lock
		want *Lock
		text string
	}{
		{"none", nil, nil, ""},
		{"for ever", &clusterconf.Lock{To: clusterconf.SideStandby, Since: since}, &Lock{To: "standby", Since: since}, "locked to the standby side"},
		{"for a while", &clusterconf.Lock{To: clusterconf.SideRegular, Since: since, By: "root", Reason: "reboot", Expires: &end},
			&Lock{To: "regular", Since: since, By: "root", Reason: "reboot", Expires: &end},
			"locked to the regular side until 2026-03-01T03:00:00Z by root (reboot)"},
		{"expired", &clusterconf.Lock{To: clusterconf.SideRegular, Since: since, Expires: ptrTo(testTime())}, nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			doc := parsed(t)
			doc.Cluster("c1").Member(1).Lock = tc.lock
			for name, got := range map[string]*Lock{
				"list":    List(doc, testTime()).Clusters[0].LIMs[0].Lock,
				"offline": offline(doc, "srv1", nil).Status().LIM(1).Lock,
				"agent":   Build(Input{Now: testTime(), Observer: "srv1", Document: doc, Servers: map[string]Seen{}}).LIM(1).Lock,
			} {
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
				if got.String() != tc.text {
					t.Errorf("%s says %q, want %q", name, got, tc.text)
				}
			}
			if got := Build(Input{Now: testTime(), Document: doc}).LIM(2).Lock; got != nil {
				t.Errorf("LIM 2 is %s", got)
			}
		})
	}
}

func ptrTo[T any](v T) *T { return &v }
