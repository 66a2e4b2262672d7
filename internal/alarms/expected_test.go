package alarms

import (
	"testing"
	"time"
)

// An alarm that is expected no more is told as if it were raised then.
func TestExpectedNoMore(t *testing.T) {
	now := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	c := Condition{Name: LIMOnStandby, Severity: Warning, LIM: 1, Server: "sb1", Expected: true, Text: "loaded"}
	s, changes := Update(State{}, now, []Condition{c}, nil)
	if len(changes) != 1 || !changes[0].Expected {
		t.Fatalf("changes %+v", changes)
	}
	c.Expected, c.Text = false, "runs"
	s, changes = Update(s, now.Add(time.Second), []Condition{c}, nil)
	if len(changes) != 1 || !changes[0].Raised || changes[0].Expected || changes[0].Text != "runs" || len(s.Alarms) != 1 {
		t.Errorf("changes %+v, alarms %+v", changes, s.Alarms)
	}
	if _, changes = Update(s, now.Add(2*time.Second), []Condition{c}, nil); len(changes) != 0 {
		t.Errorf("changes %+v", changes)
	}
}
