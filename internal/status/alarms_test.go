package status

import (
	"testing"

	"mxcluster/internal/alarms"
	"mxcluster/internal/failover"
)

func TestAlarmsAndHealth(t *testing.T) {
	alarm := func(handle int, name alarms.Name, severity alarms.Severity, lim int, server string) alarms.Alarm {
		return alarms.Alarm{Handle: handle, Name: name, Severity: severity, LIM: lim, Server: server, RaisedAt: testTime(), Text: "so it is"}
	}
	expected := alarm(1, alarms.LIMOnStandby, alarms.Critical, 1, "sb1")
	expected.Expected = true
	well := func(raised ...alarms.Alarm) Seen {
		s := saying(running(1, "runs on its regular server"))
		s.Alarms = raised
		return s
	}
	idle := func(raised ...alarms.Alarm) Seen {
		s := saying(stopped("srv1 is alive"))
		s.Alarms = raised
		return s
	}
	outOfOrder := alarm(3, alarms.StandbyOutOfOrder, alarms.Warning, 0, "sb1")
	for name, tt := range map[string]struct {
		srv1, sb1 Seen
		health    string
		handles   []int
	}{
		"none":                    {well(), idle(), "ok", nil},
		"a warning":               {well(outOfOrder), idle(), "warning", []int{3}},
		"a critical one":          {well(outOfOrder, alarm(4, alarms.SplitBrain, alarms.Critical, 1, "srv1")), idle(), "critical", []int{3, 4}},
		"one seen by two":         {well(outOfOrder), idle(outOfOrder), "warning", []int{3}},
		"as it should be":         {well(), idle(expected), "ok", []int{1}},
		"of another cluster":      {well(alarm(5, alarms.LIMDown, alarms.Critical, 7, "srv7")), idle(), "ok", nil},
		"of a server elsewhere":   {well(alarm(5, alarms.ClockSkew, alarms.Critical, 0, "srv7")), idle(), "critical", nil},
		"of the whole system":     {well(alarm(6, alarms.DocumentConflict, alarms.Warning, 0, "")), idle(), "warning", []int{6}},
		"of a server that is out": {well(alarm(7, alarms.AnnounceFailed, alarms.Critical, 1, "srv1")).now(failover.Gone), idle(), "critical", nil},
	} {
		st, c, _ := built(t, tt.srv1, tt.sb1)
		var handles []int
		for _, a := range c.Alarms {
			handles = append(handles, a.Handle)
			if a.Text != "so it is" || !a.RaisedAt.Equal(testTime()) {
				t.Errorf("%s: alarm %+v", name, a)
			}
		}
		if st.Health != tt.health || len(handles) != len(tt.handles) {
			t.Errorf("%s: health %s, alarms %v; want %s, %v", name, st.Health, handles, tt.health, tt.handles)
		}
		for i := range handles {
			if handles[i] != tt.handles[i] {
				t.Errorf("%s: alarms %v, want %v", name, handles, tt.handles)
			}
		}
	}
}
