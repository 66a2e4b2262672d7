package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"mxcluster/internal/control"
	"mxcluster/internal/events"
	"mxcluster/internal/failover"
	"mxcluster/internal/status"
)

var now = time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)

// fake is an agent that answers what the test says.
type fake struct {
	status *status.ClusterStatus
	alarms []status.Alarm
	events []events.Event
	ready  bool
	err    error
	calls  atomic.Int64
}

func (f *fake) Status(context.Context) (*status.ClusterStatus, error) {
	f.calls.Add(1)
	return f.status, f.err
}

func (f *fake) Agent(context.Context) (*control.AgentInfo, error) {
	return &control.AgentInfo{Server: "sb1", Ready: f.ready,
		Takeovers: &control.Takeovers{Count: 2, SumMs: 5200, Buckets: []control.TakeoverBucket{{UpToMs: 1000}, {UpToMs: 5000, Count: 2}}},
		Sinks:     []control.SinkInfo{{Name: "exec", Told: 3, Lost: 1, Waiting: 2}}}, f.err
}

func (f *fake) Alarms(context.Context) (*status.AlarmList, error) {
	return &status.AlarmList{Alarms: f.alarms, Unseen: []string{"srv1"}}, f.err
}

func (f *fake) Events(context.Context, events.Query) (*events.List, error) {
	return &events.List{Events: f.events, Missing: []string{"srv1"}}, f.err
}

// value points to a value.
func value[T any](v T) *T { return &v }

// troubled is a system whose LIM 1 runs on the standby, since srv1 is down.
func troubled() *fake {
	no, yes := false, true
	return &fake{ready: true,
		status: &status.ClusterStatus{Kind: "ClusterStatus", GeneratedAt: now, Observer: "sb1", Agent: true, Revision: 7, Health: "warning",
			Redundant: &no, RedundantWhy: "cluster c1: LIM 1: srv1 is down",
			Clusters: []status.StatusCluster{{Name: "c1", Health: "warning", Redundant: &no,
				LIMs: []status.StatusLIM{
					{LIM: 1, ActiveOn: value("sb1"), Side: "standby", State: "running", Since: value(now.Add(-90 * time.Second)), Reason: "srv1 is down",
						Redundant: &no, RedundantWhy: "srv1 is down", Remedy: &failover.Remedy{What: "start srv1, then bring the LIM back", Command: "mxcluster fallback 1"},
						Alias:     status.StatusAlias{Holders: []status.Holder{{Server: "srv1"}, {Server: "sb1"}}},
						Data:      &status.StatusData{Newest: value("xdata_1_20260301010000"), InSync: &no, AgeMs: value(int64(3600000))},
						Rehearsal: &status.StatusRehearsal{At: now.Add(-22 * time.Hour), Result: "failed", Text: "exit status 1"}},
					{LIM: 2, Side: "none", State: "failed", Reason: "<script>alert(1)</script>", Redundant: nil, RedundantWhy: "it runs nowhere",
						Alias: status.StatusAlias{Holders: []status.Holder{{Server: "srv2"}, {Server: "sb1"}}}},
					{LIM: 3, Side: "unknown", State: "unknown"},
				},
				Servers: []status.StatusServer{
					{Name: "srv1", Role: "regular", Reachable: &no, SilentMs: value(int64(95000)), Revision: value(uint64(6))},
					{Name: "srv2", Role: "regular", Reachable: &yes, Ready: &no, ReadyWhy: "its disk is full"},
					{Name: "srv3", Role: "regular"},
					{Name: "sb1", Role: "standby", Reachable: &yes, Ready: &yes},
				}}}},
		alarms: []status.Alarm{
			{Handle: 3, Name: "lim-on-standby", Severity: "warning", LIM: 1, Server: "sb1", RaisedAt: now.Add(-90 * time.Second), Text: "LIM 1 runs on the standby server sb1"},
			{Handle: 4, Name: "lim-down", Severity: "critical", LIM: 2, Server: "srv2", RaisedAt: now.Add(-60 * time.Second), Text: "LIM 2 is down"},
			{Handle: 5, Name: "clock-skew", Severity: "warning", Server: "srv2", Noticed: true, Notice: &status.Notice{By: "anna", Comment: "on Monday"}, RaisedAt: now.Add(-50 * time.Hour), Text: "the clock is off"},
		},
		events: []events.Event{
			{Time: now.Add(-3 * time.Hour), Server: "srv1", Kind: events.State, LIM: 1, Is: "running", Text: "LIM 1 is running on srv1"},
			{Time: now.Add(-2 * time.Minute), Server: "sb1", Kind: events.Server, Subject: "srv1", Is: "gone", Text: "server srv1 is gone"},
			{Time: now.Add(-90 * time.Second), Server: "sb1", Kind: events.State, LIM: 1, Is: "running", Text: "LIM 1 is running on sb1: <b>srv1</b> is down"},
		},
	}
}

// well is a system in which all is as it should be.
func well() *fake {
	yes := true
	return &fake{ready: true, status: &status.ClusterStatus{Observer: "srv1", GeneratedAt: now, Health: "ok", Redundant: &yes, Clusters: []status.StatusCluster{{Name: "c1", Health: "ok", Redundant: &yes,
		LIMs: []status.StatusLIM{{LIM: 1, ActiveOn: value("srv1"), Side: "regular", State: "running", Redundant: &yes, Preload: value("preloaded"),
			Alias: status.StatusAlias{Holders: []status.Holder{{Server: "srv1"}, {Server: "sb1"}}}, Data: &status.StatusData{Newest: value("x"), InSync: &yes, AgeMs: value(int64(60000))}}},
		Servers: []status.StatusServer{{Name: "srv1", Role: "regular", Reachable: &yes, Ready: &yes}, {Name: "sb1", Role: "standby", Reachable: &yes, Ready: &yes}}}}}}
}

func handlerOf(f *fake) http.Handler {
	return NewHandler(Config{Names: []string{"srv1"}, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }}, f)
}

// get asks for a path.
func get(h http.Handler, path string) (code int, body string) {
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:9946"+path, nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestHealthAndPlaces(t *testing.T) {
	h := handlerOf(troubled())
	silent := troubled()
	silent.err = errors.New("it hangs")
	starting := troubled()
	starting.ready = false
	for _, tc := range []struct {
		what string
		h    http.Handler
		path string
		code int
		says string
	}{
		{"an agent that works", h, "/health", 200, "works"},
		{"one that does not answer", handlerOf(silent), "/health", 503, "does not answer"},
		{"one that waits", handlerOf(starting), "/health", 503, "waits"},
		{"a LIM that is active here", h, "/lims/1/active", 200, "LIM 1 is active here"},
		{"one that is nowhere", h, "/lims/2/active", 503, "nowhere"},
		{"one elsewhere", handlerOf(func() *fake { f := troubled(); f.status.Observer = "srv2"; return f }()), "/lims/1/active", 503, "on sb1"},
		{"one that is not there", h, "/lims/9/active", 404, "no cluster"},
		{"no number", h, "/lims/x/active", 404, "no number"},
		{"without an agent", handlerOf(silent), "/lims/1/active", 503, "does not answer"},
		{"the status", h, "/status", 200, `"observer": "sb1"`},
		{"the status without an agent", handlerOf(silent), "/status", 503, "does not answer"},
		{"the page without an agent", handlerOf(silent), "/", 503, "The agent does not answer"},
		{"metrics without an agent", handlerOf(silent), "/metrics", 500, "it hangs"},
		{"anything else", h, "/v1/status", 404, ""},
	} {
		if code, body := get(tc.h, tc.path); code != tc.code || !strings.Contains(body, tc.says) {
			t.Errorf("%s: %d: %s", tc.what, code, body)
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, "http://127.0.0.1/status", nil))
		if w.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
}

// The page answers the first question first, has no scripts, and shows what others wrote
// as text.
func TestPage(t *testing.T) {
	code, page := get(handlerOf(troubled()), "/")
	if code != 200 {
		t.Fatal(code)
	}
	for _, want := range []string{"<h1>NOT REDUNDANT</h1>", "srv1 is down", "<code>mxcluster fallback 1</code>", `<meta http-equiv="refresh" content="10">`,
		"sb1: running for 1m", `class="active"`, "not in sync, 1h00m old", "failed, 22h00m ago", "noticed by anna: on Monday", "mxcluster alarms explain lim-down",
		"The alarms of srv1 cannot be seen", "Without the events of srv1", "no, silent for 1m", `<img src="data:image/svg&#43;xml;base64,`, "&lt;b&gt;srv1&lt;/b&gt;", "prefers-color-scheme: dark", "@media print"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if strings.Index(page, "LIM 2 is down") > strings.Index(page, "LIM 1 runs on the standby") {
		t.Error("the gravest alarm is not first")
	}
	for _, bad := range []string{`(?i)<script`, `(?i)src="http`, `(?i)href=`, `(?i)<form`, `(?i) on[a-z]+=`, `ZgotmplZ`, `%!`} {
		if found := regexp.MustCompile(bad).FindString(page); found != "" {
			t.Errorf("the page has %s", found)
		}
	}
	if n := strings.Count(page, "<code>mxcluster fallback 1</code>"); n != 1 {
		t.Errorf("what is to be typed is there %d times", n)
	}
	if _, page := get(handlerOf(well()), "/"); !strings.Contains(page, "<h1>Redundant: yes</h1>") || !strings.Contains(page, "No alarm counts.") || !strings.Contains(page, `lead ok`) {
		t.Errorf("when all is well: %s", page)
	}
}

// In a split brain the page says so, and on which server to type what ends it.
func TestPageOfASplitBrain(t *testing.T) {
	f, yes, no := troubled(), true, false
	c := &f.status.Clusters[0]
	c.SplitBrain = &yes
	c.LIMs = c.LIMs[:1]
	c.LIMs[0].Alias.Holders = []status.Holder{{Server: "srv1", Present: &yes, Blocked: &no}, {Server: "sb1", Present: &yes, Blocked: &no}}
	c.LIMs[0].Remedy = &failover.Remedy{What: "to end it before they hear each other", On: "srv1", Command: "mxcluster agent stop --release"}
	_, page := get(handlerOf(f), "/")
	for _, want := range []string{"LIM 1: split brain: it runs on srv1 and on sb1<br>on srv1, to end it before they hear each other: <code>mxcluster agent stop --release</code>",
		`<td class="critical">srv1: has the alias, too`, `<td class="active">sb1: running`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q: %s", want, page[:min(len(page), 6000)])
		}
	}
}

// Only who calls this server by its name or address gets an answer.
func TestOtherNamesAreRefused(t *testing.T) {
	h := handlerOf(well())
	for host, want := range map[string]int{
		"127.0.0.1": 200, "127.0.0.1:9946": 200, "[::1]:9946": 200, "::1": 200, "10.0.0.11:9946": 200, "localhost:9946": 200, "SRV1": 200, "srv1:9946": 200,
		"evil.example.com": 421, "evil.example.com:9946": 421, "": 421, "srv1.evil.example.com": 421, "127.0.0.1.evil.example.com": 421,
	} {
		r := httptest.NewRequest(http.MethodGet, "/status", nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("called %q: %d, want %d", host, w.Code, want)
		}
		if want == 200 && !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("headers: %v", w.Header())
		}
	}
}

// However many ask, the agent is asked once a second.
func TestManyCallersCostOne(t *testing.T) {
	f := well()
	h := handlerOf(f)
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			if code, _ := get(h, "/status"); code != 200 {
				t.Errorf("answered %d", code)
			}
		})
	}
	all.Wait()
	if n := f.calls.Load(); n != 1 {
		t.Errorf("the agent was asked %d times", n)
	}
}

func TestListen(t *testing.T) {
	base := netip.MustParseAddr("10.0.0.11")
	for setting, want := range map[string]string{
		"127.0.0.1:9946": "127.0.0.1:9946", "localhost:9946": "127.0.0.1:9946", "[::1]:9946": "[::1]:9946", "10.0.0.11:9946": "10.0.0.11:9946", "base:9946": "10.0.0.11:9946",
		"0.0.0.0:9946": "", "10.0.0.12:9946": "", ":9946": "", "9946": "", "127.0.0.1:0": "", "127.0.0.1:x": "", "example.com:80": "", "[::]:9946": "",
	} {
		at, err := Listen(setting, base)
		if got := at.String(); want == "" && err == nil || want != "" && (err != nil || got != want) {
			t.Errorf("%s: %s, %v", setting, got, err)
		}
	}
	if at, err := Listen("base:9946", netip.Addr{}); err == nil {
		t.Errorf("where the base is not known: %s", at)
	}
	if _, err := Listen("0.0.0.0:9946", base); err == nil || err.Error() != "0.0.0.0 is neither a loopback address nor this server's base address 10.0.0.11" {
		t.Errorf("%v", err)
	}
}

// The names are the contract's, and in the form that Prometheus asks for.
func TestMetrics(t *testing.T) {
	s := newServer(Config{Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }}, troubled())
	problems, err := testutil.GatherAndLint(s.registry())
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	_, text := get(handlerOf(troubled()), "/metrics")
	for _, want := range []string{
		`mxcluster_lim_active{cluster="c1",lim="1",side="regular"} 0`, `mxcluster_lim_active{cluster="c1",lim="1",side="standby"} 1`, `mxcluster_lim_active{cluster="c1",lim="2",side="standby"} 0`,
		`mxcluster_server_reachable{server="srv1"} 0`, `mxcluster_server_reachable{server="sb1"} 1`, `mxcluster_alarm{name="lim-down",severity="critical"} 1`, `mxcluster_takeover_total 2`,
		`mxcluster_takeover_seconds_sum 5.2`, `mxcluster_takeover_seconds_bucket{le="5"} 2`, `mxcluster_takeover_seconds_bucket{le="1"} 0`, `mxcluster_takeover_seconds_count 2`,
		`mxcluster_sync_age_seconds{lim="1"} 3600`, `mxcluster_document_revision 7`, `mxcluster_redundant{cluster="c1",lim="1"} 0`, `mxcluster_rehearsal_ok{lim="1"} 0`,
		`mxcluster_rehearsal_age_seconds{lim="1"} 79200`, `mxcluster_sink_lost_total{sink="exec"} 1`, `mxcluster_sink_waiting{sink="exec"} 2`, `go_goroutines `, `process_`,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("no %s", want)
		}
	}
	for _, not := range []string{`lim_active{cluster="c1",lim="3"`, `redundant{cluster="c1",lim="2"}`, `reachable{server="srv3"}`, `clock-skew`} {
		if strings.Contains(text, not) {
			t.Errorf("what cannot be seen, or does not count, is told: %s", not)
		}
	}
}

// It listens where the setting says, moves with the base, and ends with its context.
func TestServe(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	port := freePort(t)
	go func() {
		Serve(ctx, Config{Setting: fmt.Sprintf("127.0.0.1:%d", port), Base: func() netip.Addr { return netip.Addr{} }, Log: slog.New(slog.DiscardHandler), Now: time.Now}, well())
		close(ended)
	}()
	var answer string
	for deadline := time.After(20 * time.Second); answer == ""; {
		if r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/health", port)); err == nil {
			raw, err := io.ReadAll(r.Body)
			if err != nil || r.Body.Close() != nil {
				t.Fatal(err)
			}
			answer = string(raw)
		}
		select {
		case <-deadline:
			t.Fatal("nobody listens")
		case <-time.After(10 * time.Millisecond):
		}
	}
	if answer != "the agent works\n" {
		t.Errorf("answered %q", answer)
	}
	cancel()
	<-ended
}

// freePort is one that nobody listens at.
func freePort(t *testing.T) uint16 {
	t.Helper()
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	at, err := netip.ParseAddrPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return at.Port()
}
