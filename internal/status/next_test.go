package status

import (
	"strings"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/failover"
)

func away(change func(*failover.LIMClaim)) Seen {
	c := running(4, "srv1 was down")
	if change != nil {
		change(&c)
	}
	return saying(c)
}

// What would happen next, in words, for each state that a LIM rests in.
func TestNext(t *testing.T) {
	gone := saying(running(1, "")).now(failover.Gone)
	tests := []struct {
		name      string
		srv1, sb1 Seen
		fallback  clusterconf.FallbackType
		lock      clusterconf.Side
		want      string
	}{
		{"at home", saying(running(1, "")), saying(), "", "", "if srv1 fails, sb1 takes over after"},
		{"no standby", saying(running(1, "")), gone, "", "", "nobody takes over: sb1 is out of order"},
		{"locked at home", saying(running(1, "")), saying(), "", clusterconf.SideRegular, "nobody takes over: it is locked to it"},
		{"locked away, at home", saying(running(1, "")), saying(), "", clusterconf.SideStandby, "moves to sb1, which it is locked to"},
		{"away, manual", saying(stopped("")), away(nil), "", "", "stays until 'mxcluster fallback 1'"},
		{"away, automatic", gone, away(nil), clusterconf.FallbackAutomatic, "", "falls back to srv1 by itself when that is ready"},
		{"held", saying(stopped("")), away(func(c *failover.LIMClaim) { c.HeldUntil, c.HeldWhy = testTime().Add(200*time.Second), "x" }),
			clusterconf.FallbackAutomatic, "", "falls back to srv1 in 3m20s, if that stays up"},
		{"suspended", saying(stopped("")), away(func(c *failover.LIMClaim) { c.Suspended = true }), clusterconf.FallbackAutomatic, "", "until the agent of srv1 starts anew"},
		{"locked away", saying(stopped("")), away(nil), clusterconf.FallbackAutomatic, clusterconf.SideStandby, "it is locked to the standby"},
		{"locked home, away", gone, away(nil), "", clusterconf.SideRegular, "falls back to srv1, which it is locked to"},
		{"down, locked", gone, saying(stopped("")), "", clusterconf.SideRegular, "stays down until it can run on the regular side"},
		{"waiting", gone, saying(failover.LIMClaim{LIM: 1, State: failover.Stopped, Waiting: true, Reason: "waits"}), "", "", "starts on srv1 or on sb1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc := parsed(t)
			c := &doc.Clusters[0]
			c.LIMs = c.LIMs[:1]
			c.LIMs[0].Lock = nil
			if tt.lock != "" {
				c.LIMs[0].Lock = &clusterconf.Lock{To: tt.lock, Since: testTime().Add(-time.Hour)}
			}
			c.Fallback = clusterconf.FallbackManual
			if tt.fallback != "" {
				c.Fallback = tt.fallback
			}
			st := Build(Input{Now: testTime(), Observer: "sb1", Document: doc, Servers: map[string]Seen{"srv1": tt.srv1, "sb1": tt.sb1}})
			if got := st.LIM(1).Next; !strings.Contains(got, tt.want) {
				t.Errorf("next is %q, want %q in it", got, tt.want)
			}
		})
	}
}

// A fallback that is held back is not ready, and says for how long and why.
func TestHeld(t *testing.T) {
	_, _, l := built(t, saying(stopped("")), away(func(c *failover.LIMClaim) {
		c.HeldUntil, c.HeldWhy = testTime().Add(200*time.Second), "srv1 failed 2 times soon after a fallback"
	}))
	want := "held for 3m20s more because srv1 failed 2 times soon after a fallback"
	if f := l.Fallback; f.HeldForMs != 200_000 || f.Ready == nil || *f.Ready || len(f.BlockedBy) != 1 || f.BlockedBy[0] != want {
		t.Errorf("got %+v", l.Fallback)
	}
}
