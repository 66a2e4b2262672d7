package commands

import (
	"mxcluster/clusterconf/clusterconftest"

	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/events"
	"mxcluster/internal/fault"
)

func someEvents() events.List {
	at := func(s int) time.Time { return testNow().Add(time.Duration(s-100) * time.Second) }
	return events.List{APIVersion: "mxcluster/v1", Kind: "EventList", Missing: []string{"srv2"}, Events: []events.Event{
		{Time: at(0), Server: "sb1", Seq: 7, Kind: events.Decision, LIM: 1, Is: "run", Rule: "takeover", Term: 2, Reason: "srv1 is down", Text: "LIM 1 is to run here: srv1 is down"},
		{Time: at(1), Server: "sb1", Seq: 8, Kind: events.State, LIM: 1, Is: "running", Was: "starting", Term: 2, Text: "LIM 1 is running on sb1"},
		{Time: at(2), Server: "srv3", Seq: 1, Kind: events.Server, Subject: "srv1", Is: "gone", Text: "server srv1 is gone"},
	}}
}

func TestEventsFromTheAgent(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	w.agent.running = true
	for format, want := range map[string]string{
		"table": "2026-03-01T01:58:20.000Z  sb1     decision    1  LIM 1 is to run here: srv1 is down",
		"wide":  "takeover",
		"csv":   "2026-03-01T01:58:21.000Z,sb1,state,1,,2,8,LIM 1 is running on sb1",
		"json":  `"missing": [`,
		"yaml":  "kind: EventList",
		"name":  "sb1/7\nsb1/8\nsrv3/1\n",
	} {
		w.agent.lists = []events.List{someEvents()}
		got := w.must(t, "events", "-o", format, "--since", "1h", "--lim", "1")
		if !strings.Contains(got.out, want) || !strings.Contains(got.err, "without the events of srv2") {
			t.Errorf("%s:\n%s%s", format, got.out, got.err)
		}
	}
	if q := w.agent.queries[0]; q.LIM != 1 || !q.Since.Equal(testNow().Add(-time.Hour)) {
		t.Errorf("asked %+v", q)
	}
	if got := w.run(t.Context(), "events", "--lim", "77"); got.code != fault.NotFound {
		t.Errorf("of a LIM that is not there: %+v", got)
	}
	for _, args := range [][]string{{"--since", "0s"}, {"--since", "-1h"}, {"--since", "yesterday"}, {"--lim", "0"}, {"--follow", "--timeline", "x.svg"}, {"x"}} {
		if got := w.run(t.Context(), append([]string{"events"}, args...)...); got.code != fault.Usage {
			t.Errorf("events %v: code %d, %s", args, got.code, got.err)
		}
	}
	w.agent.err = fault.New(fault.Failed, "", "broken")
	if got := w.run(t.Context(), "events"); got.code != fault.Failed {
		t.Errorf("with an agent that fails: %+v", got)
	}
}

// Without an agent there is what this server has kept.
func TestEventsFromTheFile(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	if got := w.must(t, "events"); got.out != "" || !strings.Contains(got.err, "nothing happened") {
		t.Errorf("without any event: %+v", got)
	}
	if err := os.MkdirAll(w.path("var"), 0o755); err != nil {
		t.Fatal(err)
	}
	log := events.Log{Path: w.path("var/events")}
	list := someEvents().Events
	list = append(list, events.Event{Time: testNow().Add(-48 * time.Hour), Server: "srv1", Kind: events.Alarm, Text: "long ago"})
	if err := log.Append(list); err != nil {
		t.Fatal(err)
	}
	got := w.must(t, "events", "-o", "json")
	var back events.List
	if err := json.Unmarshal([]byte(got.out), &back); err != nil || len(back.Events) != 3 || back.Kind != "EventList" || back.Events[0].Rule != "takeover" {
		t.Errorf("%v: %s", err, got.out)
	}
	if got := w.must(t, "events", "--since", "72h"); !strings.Contains(got.out, "long ago") {
		t.Errorf("of three days: %s", got.out)
	}
}

func TestEventsTimeline(t *testing.T) {
	w := newWorld(t.TempDir())
	w.document(t, clusterconftest.OneCluster)
	w.agent.running, w.agent.lists = true, []events.List{someEvents()}
	file := w.path("week.svg")
	w.must(t, "events", "--timeline", file)
	svg, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(svg), "LIM 1 on sb1 for 1m39s") {
		t.Errorf("%v: %s", err, svg)
	}
	if got := w.run(t.Context(), "events", "--timeline", w.path("no/folder.svg")); got.code != fault.Failed {
		t.Errorf("into a folder that is not there: %+v", got)
	}
}

// Following shows each event once, and heads once, until it is interrupted.
func TestEventsFollow(t *testing.T) {
	for format, want := range map[string]int{"table": 4, "csv": 4, "json": 3} {
		w := newWorld(t.TempDir())
		w.document(t, clusterconftest.OneCluster)
		all := someEvents()
		first, then := all, all
		first.Events, then.Events = all.Events[:2], all.Events[2:]
		w.agent.running, w.agent.lists = true, []events.List{first, then}
		ctx, cancel := context.WithCancel(t.Context())
		out := &cancelWhenFull{lines: want, cancel: cancel}
		code := Run(ctx, w.env(out, &bytes.Buffer{}), []string{"events", "--follow", "-o", format})
		if n := strings.Count(out.String(), "\n"); code != fault.Interrupted || n != want {
			t.Errorf("%s: code %d, %d lines\n%s", format, code, n, out)
		}
		if q := w.agent.queries[1]; q.After["sb1"] != 8 {
			t.Errorf("asked again for %+v", q)
		}
	}
}

// cancelWhenFull interrupts when enough lines were written.
type cancelWhenFull struct {
	bytes.Buffer
	lines  int
	cancel func()
}

func (c *cancelWhenFull) Write(b []byte) (int, error) {
	n, err := c.Buffer.Write(b)
	if strings.Count(c.String(), "\n") >= c.lines {
		c.cancel()
	}
	return n, err
}
