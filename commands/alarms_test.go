package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"regexp"
	"strings"
	"testing"

	"mxcluster/internal/control"
	"mxcluster/internal/fault"
	"mxcluster/internal/status"
)

// threeAlarms are one that counts, one that was noticed, and a graver one that counts.
func threeAlarms() *status.AlarmList {
	since := testNow()
	return &status.AlarmList{Kind: "AlarmList", Observer: "srv1", Unseen: []string{"srv2"}, Alarms: []status.Alarm{
		{Handle: 3, Name: "lim-on-standby", Severity: "warning", LIM: 2, Server: "sb1", RaisedAt: since, Text: "LIM 2 runs on the standby server sb1"},
		{Handle: 4, Name: "clock-skew", Severity: "warning", Server: "srv2", RaisedAt: since, Text: "the clock is off", Noticed: true, Notice: &status.Notice{By: "anna", Comment: "on Monday"}},
		{Handle: 7, Name: "lim-down", Severity: "critical", LIM: 1, Server: "srv1", RaisedAt: since, Text: "LIM 1 is down"},
	}}
}

func TestAlarmsList(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	w.agent.running, w.agent.alarms = true, threeAlarms()
	a := w.must(t, "alarms", "list")
	lines := strings.Split(a.out, "\n")
	for i, want := range []string{`^ALARM +SEVERITY +AGE +NAME +TEXT`, `^ +7 +critical .* lim-down +LIM 1 is down$`, `^ +3 +warning .* lim-on-standby`, `^ +4 .* \[noticed by anna: on Monday\]$`} {
		if !regexp.MustCompile(want).MatchString(lines[i]) {
			t.Errorf("line %d: %q does not match %s", i, lines[i], want)
		}
	}
	if !strings.Contains(a.err, "the alarms of srv2 cannot be seen from srv1") {
		t.Errorf("said %q", a.err)
	}
	if a := w.must(t, "alarms", "list", "-o", "name"); a.out != "7\n3\n4\n" {
		t.Errorf("names: %q", a.out)
	}
	w.agent.alarms = &status.AlarmList{}
	if a := w.must(t, "alarms", "list"); !strings.Contains(a.err, "no alarm is raised") {
		t.Errorf("without alarms: %q %q", a.out, a.err)
	}
	w.agent.running = false
	if a := w.run(t.Context(), "alarms", "list"); a.code != fault.Unreachable {
		t.Errorf("without an agent: code %d", a.code)
	}
}

func TestAlarmsNotice(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	w.agent.running, w.agent.alarms = true, threeAlarms()
	for line, want := range map[string]struct {
		code fault.Code
		text string
		asks control.NoticeRequest
	}{
		"alarms notice 3 --comment known": {0, "alarm 3, lim-on-standby, is noticed: LIM 2 runs", control.NoticeRequest{Handle: 3, Comment: "known"}},
		"alarms notice 3 -n":              {0, "alarm 3, lim-on-standby, would be noticed", control.NoticeRequest{Handle: 3, DryRun: true}},
		"alarms notice 4":                 {0, "alarm 4, clock-skew, is noticed already", control.NoticeRequest{Handle: 4}},
		"alarms clear 3":                  {0, "alarm 3, lim-on-standby, is cleared", control.NoticeRequest{Handle: 3, Clear: true}},
		"alarms notice 9":                 {fault.NotFound, "noticing alarm 9: there is no alarm 9", control.NoticeRequest{Handle: 9}},
		"alarms notice x":                 {fault.Usage, `"x" is no handle`, control.NoticeRequest{}},
	} {
		w.agent.notices = nil
		a := w.run(t.Context(), strings.Fields(line)...)
		if a.code != want.code || !strings.Contains(a.out+a.err, want.text) {
			t.Errorf("%s: code %d: %s%s", line, a.code, a.out, a.err)
		}
		if want.asks.Handle == 0 {
			continue
		}
		if want.asks.By = "operator"; len(w.agent.notices) != 1 {
			t.Errorf("%s: asked %+v", line, w.agent.notices)
		} else if got := w.agent.notices[0]; got.Handle != want.asks.Handle || got.Comment != want.asks.Comment || got.Clear != want.asks.Clear || got.DryRun != want.asks.DryRun || got.By == "" {
			t.Errorf("%s: asked %+v", line, got)
		}
	}
}

func TestAlarmsExplain(t *testing.T) {
	w := newWorld(t.TempDir())
	a := w.must(t, "alarms", "explain", "lim-on-standby")
	if !strings.HasPrefix(a.out, "# lim-on-standby\n") || !strings.Contains(a.out, "mxcluster fallback N --wait") {
		t.Errorf("got %s", a.out)
	}
	if a := w.run(t.Context(), "alarms", "explain", "lim-on-standbye"); a.code != fault.NotFound || !strings.Contains(a.err, "did you mean lim-on-standby?") {
		t.Errorf("code %d: %s", a.code, a.err)
	}
}

// A test says of every sink whether it took the alarm, and fails where one did not.
func TestAlarmsTest(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	w.agent.running = true
	if a := w.run(t.Context(), "alarms", "test"); a.code != fault.Refused || !strings.Contains(a.err, "no sink is set") {
		t.Errorf("without sinks: code %d: %s", a.code, a.err)
	}
	w.agent.sinks = []control.SinkResult{{Name: "journal"}, {Name: "exec"}}
	if a := w.must(t, "alarms", "test", "--severity", "critical"); !regexp.MustCompile(`(?m)^journal +took it$`).MatchString(a.out) {
		t.Errorf("all took it: %s", a.out)
	}
	if last := w.agent.tests[len(w.agent.tests)-1]; last.Severity != "critical" || last.By == "" {
		t.Errorf("asked %+v", last)
	}
	w.agent.sinks[1].Error = "/bin/false: exit status 1"
	a := w.run(t.Context(), "alarms", "test")
	if a.code != fault.Failed || !strings.Contains(a.out, "failed: /bin/false: exit status 1") || !strings.Contains(a.err, "1 of 2 sinks") {
		t.Errorf("one failed: code %d: %s%s", a.code, a.out, a.err)
	}
	if a := w.run(t.Context(), "alarms", "test", "-o", "json"); !strings.Contains(a.out, `"kind": "SinkTest"`) {
		t.Errorf("as JSON: %s", a.out)
	}
	if a := w.run(t.Context(), "alarms", "test", "--severity", "bad"); a.code != fault.Usage {
		t.Errorf("a severity that is none: code %d", a.code)
	}
}
