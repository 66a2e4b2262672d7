package status

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mxcluster/clusterconf"
)

// offline looks from a server whose kernel has these addresses; nil: the kernel
// could not be asked.
func offline(doc *clusterconf.Document, server string, has []string) Offline {
	return Offline{
		Document: doc, Server: server, Now: testTime().In(time.FixedZone("CET", 3600)),
		Holds: func(p netip.Prefix) *bool {
			if has == nil {
				return nil
			}
			held := false
			for _, text := range has {
				held = held || text == p.String()
			}
			return &held
		},
	}
}

// What cannot be seen is null or unknown, never false.
func TestOfflineClaimsNothing(t *testing.T) {
	st := offline(parsed(t), "srv1", nil).Status()
	if st.Agent || st.Health != "unknown" || st.Observer != "srv1" || st.Revision != 6 || !st.GeneratedAt.Equal(testTime()) || st.GeneratedAt.Location() != time.UTC {
		t.Errorf("head %+v", st)
	}
	for _, c := range st.Clusters {
		if c.Health != "unknown" || c.SplitBrain != nil {
			t.Errorf("cluster %s: health %s, split brain %v", c.Name, c.Health, c.SplitBrain)
		}
		for _, l := range c.LIMs {
			if l.ActiveOn != nil || l.Side != "unknown" || l.State != "unknown" || l.Since != nil || l.Fallback.Ready != nil || l.Data != nil || l.Alias.ForeignMAC != nil {
				t.Errorf("LIM %d: %+v", l.LIM, l)
			}
		}
		for _, s := range c.Servers {
			if s.Name != "srv1" && (s.Reachable != nil || s.SilentMs != nil || s.Revision != nil || s.ClockOffsetMs != nil) {
				t.Errorf("server %s: %+v", s.Name, s)
			}
		}
	}
}

func TestOfflineHolders(t *testing.T) {
	yes, no := true, false
	for _, tc := range []struct {
		name, server string
		has          []string
		lim          int
		want         []Holder
		reason       string
	}{
		{"has it", "srv1", []string{"10.0.0.11/24"}, 1, []Holder{{Server: "srv1", Present: &yes}}, "no agent answers on srv1, its kernel has the alias"},
		{"has it not", "srv1", []string{}, 1, []Holder{{Server: "srv1", Present: &no}}, "no agent answers on srv1, its kernel does not have the alias"},
		{"other length", "srv1", []string{"10.0.0.11/32"}, 1, []Holder{{Server: "srv1", Present: &no}}, "no agent answers on srv1, its kernel does not have the alias"},
		{"kernel not seen", "srv1", nil, 1, []Holder{{Server: "srv1"}}, "no agent answers on srv1"},
		{"another's LIM", "srv1", []string{"10.0.0.12/24"}, 2, []Holder{}, "no agent answers on srv1"},
		{"on the standby", "sb1", []string{"10.0.0.12/24"}, 2, []Holder{{Server: "sb1", Present: &yes}}, "no agent answers on sb1, its kernel has the alias"},
		{"other cluster", "sb1", []string{"10.0.0.33/24"}, 3, []Holder{}, "no agent answers on sb1"},
		{"stranger", "srv9", []string{"10.0.0.11/24"}, 1, []Holder{}, "no agent answers on srv9"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := offline(parsed(t), tc.server, tc.has).Status().LIM(tc.lim)
			if diff := cmp.Diff(tc.want, l.Alias.Holders); diff != "" {
				t.Errorf("holders (-want +got):\n%s", diff)
			}
			if l.Reason != tc.reason {
				t.Errorf("reason %q, want %q", l.Reason, tc.reason)
			}
		})
	}
}

func TestOfflineServers(t *testing.T) {
	here, revision := true, uint64(6)
	want := []StatusServer{
		{Name: "sb1", Role: "standby", Address: "10.0.0.13/24"},
		{Name: "srv1", Role: "regular", Address: "10.0.0.21/24"},
		{Name: "srv2", Role: "regular", Reachable: &here, Revision: &revision, Agent: new(bool), Address: "10.0.0.22/24"},
	}
	if diff := cmp.Diff(want, offline(parsed(t), "srv2", nil).Status().Clusters[0].Servers); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
