package clusterconf

import (
	"reflect"
	"testing"
	"time"
)

func TestRoles(t *testing.T) {
	d := mustParse(t, twoLIMs)
	for server, want := range map[string]Role{"srv1": RoleRegular, "srv2": RoleRegular, "sb1": RoleStandby, "free1": RoleFree} {
		if got := d.Server(server).Role(); got != want {
			t.Errorf("%s is %s, want %s", server, got, want)
		}
	}
}

func TestSilenceLimit(t *testing.T) {
	tests := []struct {
		mode FailoverMode
		set  time.Duration
		want time.Duration
	}{
		{FailoverNormal, 0, DefaultFailoverAfter},
		{FailoverPreloaded, 0, DefaultFailoverAfterPreloaded},
		{FailoverNormal, 200 * time.Millisecond, 200 * time.Millisecond},
		{FailoverPreloaded, time.Minute, time.Minute},
	}
	for _, test := range tests {
		c := Cluster{Failover: test.mode, FailoverAfter: Duration(test.set)}
		if got := c.SilenceLimit(); got != test.want {
			t.Errorf("%s, %s: %s, want %s", test.mode, test.set, got, test.want)
		}
	}
}

func TestLookups(t *testing.T) {
	d := mustParse(t, twoLIMs)
	found := map[string]bool{
		"server":                      d.Server("srv1") == &d.Servers[2],
		"regular server":              d.RegularOf(2) == &d.Servers[3],
		"LIM":                         d.LIM(1) == &d.LIMs[0],
		"cluster":                     d.Cluster("c1") == &d.Clusters[0],
		"cluster of a LIM":            d.ClusterOfLIM(2) == &d.Clusters[0],
		"cluster of a standby":        d.ClusterOfServer("sb1") == &d.Clusters[0],
		"cluster of a regular server": d.ClusterOfServer("srv2") == &d.Clusters[0],
		"member":                      d.Clusters[0].Member(2) == &d.Clusters[0].LIMs[1],
	}
	for what, ok := range found {
		if !ok {
			t.Errorf("%s is not found", what)
		}
	}
	missing := map[string]bool{
		"server":                    d.Server("srv3") == nil,
		"regular server":            d.RegularOf(3) == nil,
		"regular server of no LIM":  d.RegularOf(0) == nil, // not a free one, whose LIM is 0
		"LIM":                       d.LIM(2) == nil,
		"cluster":                   d.Cluster("c2") == nil,
		"cluster of a LIM":          d.ClusterOfLIM(3) == nil,
		"cluster of a free server":  d.ClusterOfServer("free1") == nil,
		"cluster of no such server": d.ClusterOfServer("srv3") == nil,
		"member":                    d.Clusters[0].Member(3) == nil,
	}
	for what, ok := range missing {
		if !ok {
			t.Errorf("%s is found", what)
		}
	}
}

// A clone shares nothing: edits work on one while others read the document.
func TestClone(t *testing.T) {
	d, want := mustParse(t, full), mustParse(t, full)
	c := d.Clone()
	if !reflect.DeepEqual(c, d) {
		t.Fatalf("got  %+v\nwant %+v", c, d)
	}
	c.Servers[0].Name = "changed"
	c.LIMs[0].Services[0].Run = "changed"
	c.Clusters[0].Name = "changed"
	c.Clusters[0].LIMs[0].Priority = 7
	c.Clusters[0].LIMs[0].Lock.To = SideStandby
	*c.Clusters[0].LIMs[0].Lock.Expires = testTime
	c.LIMs[0].Gateways[0] = "changed"
	c.LIMs[0].MediaServer.Kind = MediaServerNone
	if !reflect.DeepEqual(d, want) {
		t.Errorf("changing the clone changed the document: %+v", d)
	}
}

func TestDurationUnmarshalRefuses(t *testing.T) {
	for _, text := range []string{"", "10", "10 s", "1d", "s", "ten"} {
		d := Duration(time.Second)
		if err := d.UnmarshalText([]byte(text)); err == nil || d != Duration(time.Second) {
			t.Errorf("%q was read as %s", text, d)
		}
	}
}
