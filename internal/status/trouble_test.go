package status

import (
	"fmt"
	"strings"
	"testing"

	"mxcluster/internal/failover"
)

// An alarm of one LIM is left out only where that LIM says the same of itself, not where another
// one does.
func TestAlarmOfALIMThatSaysNothing(t *testing.T) {
	yes, no := true, false
	covered := StatusLIM{LIM: 2, Side: "regular", Redundant: &yes}
	uncovered := StatusLIM{LIM: 1, Side: "regular", Redundant: &no, RedundantWhy: "its alias is used by 02:00:00:00:00:99, too"}
	for _, tc := range []struct {
		name, severity string
		lim            int
		want           bool // told beside what LIM 1 says
	}{
		{"alias-in-use", "critical", 1, false},
		{"alias-in-use", "critical", 2, true},
		{"not-redundant", "warning", 1, false},
		{"not-redundant", "warning", 2, true},
		{"split-brain", "critical", 1, true},
		{"split-brain", "critical", 2, true},
		{"lim-down", "critical", 2, true},
		{"lim-on-standby", "warning", 2, false},
		{"standby-out-of-order", "warning", 0, false},
		{"agent-stopped", "warning", 0, false},
		{"disk-full", "warning", 0, true},
	} {
		st := ClusterStatus{Clusters: []StatusCluster{{Name: "c1", LIMs: []StatusLIM{uncovered, covered},
			Alarms: []Alarm{{Name: tc.name, Severity: tc.severity, LIM: tc.lim, Text: "what is wrong"}}}}}
		told := ""
		for _, x := range st.Troubles() {
			told += fmt.Sprintln(x.Name, x.Sentence())
		}
		if got := strings.Contains(told, tc.name+" what is wrong"); got != tc.want {
			t.Errorf("%s of LIM %d told: %v, want %v:\n%s", tc.name, tc.lim, got, tc.want, told)
		}
	}
	st := ClusterStatus{Clusters: []StatusCluster{{Name: "c1", LIMs: []StatusLIM{covered}, Alarms: []Alarm{{Name: "agent-stopped", Severity: "warning", Server: "srv3", Text: "the agent of srv3 was stopped"}}}}}
	if got := st.Troubles(); len(got) != 1 {
		t.Errorf("an agent that was stopped, which no LIM tells of: %+v", got)
	}
}

// Where another version is good, a damaged one is to be looked at and removed: a sync leaves it there.
func TestRemedyOfDamagedData(t *testing.T) {
	for severity, want := range map[string]string{"critical": "mxcluster sync --lim 3", "warning": "mxcluster alarms explain data-damaged"} {
		a := Alarm{Name: "data-damaged", Severity: severity, LIM: 3, Server: "sb1"}
		if got := a.remedy(&ClusterStatus{}).Command; got != want {
			t.Errorf("%s: %s, want %s", severity, got, want)
		}
	}
}

// Of data that went different ways, those in use are kept by the line that is shown.
func TestRemedyOfAConflict(t *testing.T) {
	for side, want := range map[string]string{
		"regular": "mxcluster sync --lim 1 --keep regular", "standby": "mxcluster sync --lim 1 --keep standby", "none": "mxcluster xdata list --lim 1",
	} {
		s := ClusterStatus{Clusters: []StatusCluster{{LIMs: []StatusLIM{{LIM: 1, Side: side}}}}}
		a := Alarm{Name: "data-conflict", Severity: "warning", LIM: 1}
		if got := a.remedy(&s).Command; got != want {
			t.Errorf("%s: %s, want %s", side, got, want)
		}
	}
}

// What lies on a server's own disk is looked at there; of what its version cannot read that says nothing.
func TestRemedyOfAnUnreadableDocument(t *testing.T) {
	for text, want := range map[string]failover.Remedy{
		"the cluster document on the disk of srv2 cannot be used; revision 7 stays in force: line 8":                          {On: "srv2", Command: "mxcluster config validate"},
		"srv2, of version 1.0.0, cannot read the others' cluster document, and takes nothing over; revision 7 stays in force": {What: "upgrade mxcluster on srv2", Command: "mxcluster upgrade check"},
	} {
		a := Alarm{Name: "document-unreadable", Severity: "warning", Server: "srv2", Text: text}
		if got := *a.remedy(&ClusterStatus{}); got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
}

// A LIM that is down for a reason that nobody told has no colon and nothing behind it.
func TestTroubleWithoutAReason(t *testing.T) {
	s := ClusterStatus{
		Clusters:    []StatusCluster{{LIMs: []StatusLIM{{LIM: 1, Side: "none"}}}},
		Unclustered: []StatusLIM{{LIM: 2, Side: "none"}, {LIM: 3, Side: unknown}},
	}
	for _, x := range s.Troubles() {
		if text := x.String(); strings.HasSuffix(text, ": ") || strings.HasSuffix(text, ":") {
			t.Errorf("%q", text)
		}
	}
}
