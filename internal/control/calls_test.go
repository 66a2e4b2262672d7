package control

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/compat"
	"mxcluster/internal/events"
	"mxcluster/internal/fault"
	"mxcluster/internal/status"
	"mxcluster/internal/whatif"
)

func TestCallsComeThrough(t *testing.T) {
	var gotOrder Order
	var gotStop StopRequest
	var gotExchange ExchangeRequest
	var gotKey KeyRequest
	var gotEdit EditRequest
	reloaded, looked := false, false
	c := start(t, &fake{
		order: func(_ context.Context, o Order) (*OrderResult, error) {
			gotOrder = o
			return &OrderResult{Accepted: true, Target: "srv1", Text: "LIM 1 moves to srv1"}, nil
		},
		stop: func(_ context.Context, r StopRequest) (*StopResult, error) {
			gotStop = r
			return &StopResult{LIMsLeftRunning: []int{1}, Lease: time.Hour, PID: 42}, nil
		},
		reload: func() error { reloaded = true; return nil },
		look:   func() error { looked = true; return nil },
		rotate: func(r KeyRequest) (*KeyInfo, error) {
			gotKey = r
			return &KeyInfo{Stage: KeysSpreading}, nil
		},
		edit: func(r EditRequest) (*EditResult, error) {
			gotEdit = r
			return &EditResult{Server: "sb1", Document: r.Document[:9]}, nil
		},
		exchange: func(r ExchangeRequest) error { gotExchange = r; return nil },
	})
	ctx := t.Context()
	st, err := c.Status(ctx)
	if err != nil || st.Observer != "srv1" || st.Revision != 7 {
		t.Errorf("Status = %+v, %v", st, err)
	}
	info, err := c.Agent(ctx)
	if err != nil || info.Lease != 3*time.Second || len(info.LIMs) != 1 {
		t.Errorf("Agent = %+v, %v", info, err)
	}
	order := Order{Kind: OrderFailover, LIM: 3, Now: true, DryRun: true, Reason: "works", By: "root"}
	res, err := c.Order(ctx, order)
	if err != nil || !res.Accepted || res.Target != "srv1" || gotOrder != order {
		t.Errorf("Order = %+v, %v; the agent saw %+v", res, err, gotOrder)
	}
	edit := EditRequest{Base: "sha256:1", Document: []byte(strings.Repeat("revision: 8\n", clusterconf.MaxSize/12))} // the longest there is
	done, err := c.Edit(ctx, edit)
	if err != nil || done.Server != "sb1" || string(done.Document) != "revision:" || len(gotEdit.Document) != len(edit.Document) {
		t.Errorf("Edit = %+v, %v; the agent saw %d bytes", done, err, len(gotEdit.Document))
	}
	left, err := c.Stop(ctx, StopRequest{Release: true})
	if want := (&StopResult{LIMsLeftRunning: []int{1}, Lease: time.Hour, PID: 42}); err != nil || !reflect.DeepEqual(left, want) || !gotStop.Release {
		t.Errorf("Stop = %+v, %v; the agent saw %+v", left, err, gotStop)
	}
	list, err := c.Events(ctx, events.Query{LIM: 3, After: map[string]uint64{"srv1": 9}})
	if err != nil || len(list.Events) != 1 || list.Events[0].Text != "LIM 3 after 9" {
		t.Errorf("Events = %+v, %v", list, err)
	}
	sim, err := c.Simulate(ctx, whatif.Scenario{Down: []string{"srv1"}, Cut: []whatif.Cut{{A: "a", B: "b"}}})
	if err != nil || sim.Kind != "[srv1] [{a b}]" {
		t.Errorf("Simulate = %+v, %v", sim, err)
	}
	if err := c.Reload(ctx); err != nil || !reloaded {
		t.Errorf("Reload: %v, reached the agent: %v", err, reloaded)
	}
	if err := c.LookAtData(ctx); err != nil || !looked {
		t.Errorf("LookAtData: %v, reached the agent: %v", err, looked)
	}
	keys, err := c.Keys(ctx)
	if err != nil || keys.Server != "srv1" {
		t.Errorf("Keys = %+v, %v", keys, err)
	}
	rotation := KeyRequest{DryRun: true, Reason: "a laptop was lost", By: "root"}
	keys, err = c.RotateKey(ctx, rotation)
	if err != nil || keys.Stage != KeysSpreading || gotKey != rotation {
		t.Errorf("RotateKey = %+v, %v; the agent saw %+v", keys, err, gotKey)
	}
	raised, err := c.Alarms(ctx)
	if err != nil || len(raised.Alarms) != 1 || raised.Alarms[0].Handle != 12 {
		t.Errorf("Alarms = %+v, %v", raised, err)
	}
	noticed, err := c.Notice(ctx, NoticeRequest{Handle: 12, By: "root", Comment: "known", Clear: true})
	if err != nil || noticed.Alarm.Handle != 12 || noticed.Alarm.Text != "root known" || !noticed.Already {
		t.Errorf("Notice = %+v, %v", noticed, err)
	}
	x := ExchangeRequest{Undo: true, Exchanges: []clusterconf.Exchange{{Server: "srv1", LIM: 1, Interface: "eth0",
		NewBase: netip.MustParsePrefix("192.0.2.21/24"), Direction: clusterconf.DirectionEnter}}}
	if err := c.Exchange(ctx, x); err != nil || !reflect.DeepEqual(gotExchange, x) {
		t.Errorf("Exchange: %v; the agent saw %+v", err, gotExchange)
	}
}

func TestErrorsKeepCodeAndHint(t *testing.T) {
	codes := map[fault.Code]int{
		fault.Failed: 500, fault.Refused: 412, fault.NotFound: 404, fault.Unreachable: 502, fault.Busy: 423,
		fault.Conflict: 409, fault.Unknown: 504, fault.Usage: 400, fault.NotPermitted: 403, fault.Invalid: 422, fault.Interrupted: 503,
	}
	var answer error
	b := &fake{reload: func() error { return answer }}
	c := start(t, b)
	for code, want := range codes {
		answer = fmt.Errorf("outer: %w", fault.New(code, "do this", "LIM %d is locked", 3))
		wantFault(t, c.Reload(t.Context()), code, "outer: LIM 3 is locked", "do this")
		if got := httpStatus(answer); got != want {
			t.Errorf("HTTP status of code %d is %d, want %d", code, got, want)
		}
	}
}

func TestPanicIsAnErrorOfOneCall(t *testing.T) {
	c := start(t, &fake{status: func() (*status.ClusterStatus, error) { panic("boom") }})
	_, err := c.Status(t.Context())
	wantFault(t, err, fault.Failed, "GET /v1/status: internal error: boom", "log")
	if _, err := c.Agent(t.Context()); err != nil {
		t.Errorf("after the panic: %v", err)
	}
}

func TestStopIsAnsweredThoughTheAgentEnds(t *testing.T) {
	l, err := Listen(SocketPath(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	b := &fake{stop: func(call context.Context, _ StopRequest) (*StopResult, error) {
		cancel()
		waitGone(t, l.Addr().String())
		return &StopResult{PID: 42}, call.Err()
	}}
	go func() {
		defer close(ended)
		if err := Serve(ctx, l, b, slog.New(slog.DiscardHandler)); err != nil {
			t.Error(err)
		}
	}()
	res, err := (&Client{Path: l.Addr().String()}).Stop(t.Context(), StopRequest{})
	if err != nil || res.PID != 42 {
		t.Errorf("Stop = %+v, %v", res, err)
	}
	<-ended
}

// waitGone waits until nobody listens at path.
func waitGone(t *testing.T, path string) {
	t.Helper()
	tick, limit := time.NewTicker(time.Millisecond), time.After(10*time.Second)
	defer tick.Stop()
	for (&Client{Path: path}).Running(context.Background()) {
		select {
		case <-tick.C:
		case <-limit:
			t.Errorf("%s still takes connections", path)
			return
		}
	}
}

// request sends raw bytes as this process's own user.
func request(who context.Context, h http.Handler, method, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(who, method, path, strings.NewReader(body)))
	return w
}

func self() context.Context {
	return context.WithValue(context.Background(), peerKey{}, peer{uid: 0})
}

func TestBadRequests(t *testing.T) {
	h := newHandler(&fake{}, "", slog.New(slog.DiscardHandler)) // a call that reached it would panic
	tests := []struct {
		name, method, path, body string
		status                   int
		code                     fault.Code
		message                  string
	}{
		{"empty", "POST", "/v1/order", ``, 400, 64, "EOF"},
		{"not JSON", "POST", "/v1/order", `order!`, 400, 64, "invalid character"},
		{"cut off", "POST", "/v1/order", `{"kind":"fallb`, 400, 64, "unexpected EOF"},
		{"unknown field", "POST", "/v1/order", `{"kind":"fallback","lim":1,"dryrum":true}`, 400, 64, `unknown field "dryrum"`},
		{"two values", "POST", "/v1/order", `{"kind":"fallback","lim":1}{}`, 400, 64, "more than one JSON value"},
		{"garbage behind", "POST", "/v1/stop", `{} x`, 400, 64, "invalid character"},
		{"wrong type", "POST", "/v1/order", `{"kind":"fallback","lim":"one"}`, 400, 64, "cannot unmarshal string"},
		{"unknown kind", "POST", "/v1/order", `{"kind":"explode","lim":1}`, 400, 64, `unknown order "explode"`},
		{"no LIM", "POST", "/v1/order", `{"kind":"fallback"}`, 400, 64, "LIM number 0 is not valid"},
		{"too large", "POST", "/v1/order", `{"reason":"` + strings.Repeat("x", maxBody) + `"}`, 413, 64, "larger than 65536 bytes"},
		{"unknown call", "GET", "/v2/status", ``, 404, 1, "the agent has no call GET /v2/status"},
		{"wrong method", "GET", "/v1/order", ``, 404, 1, "the agent has no call GET /v1/order"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := request(self(), h, tt.method, tt.path, tt.body)
			if w.Code != tt.status || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("HTTP status %d, type %q, want %d and JSON", w.Code, w.Header().Get("Content-Type"), tt.status)
			}
			wantFault(t, decodeError(w.Body.Bytes()), tt.code, tt.message, "")
		})
	}
}

func TestUnknownCallerMayNotChange(t *testing.T) {
	h := newHandler(&fake{}, "", slog.New(slog.DiscardHandler))
	w := request(context.Background(), h, "POST", "/v1/stop", `{}`)
	wantFault(t, decodeError(w.Body.Bytes()), fault.NotPermitted, "identity is not known", "")
}

func TestClientWithoutAgent(t *testing.T) {
	dir := t.TempDir()
	c := &Client{Path: SocketPath(dir)}
	_, err := c.Agent(t.Context())
	wantFault(t, err, fault.Unreachable, "no agent answers at "+c.Path, "start it: mxcluster agent run")
	wantFault(t, c.Reload(t.Context()), fault.Unreachable, "no agent answers at "+c.Path, "start it: mxcluster agent run")
	if c.Running(t.Context()) {
		t.Error("Running is true without an agent")
	}
}

// raw answers each connection with the same bytes; none at all means that it
// keeps silent until the test ends.
func raw(t *testing.T, answer string) *Client {
	t.Helper()
	path := SocketPath(t.TempDir())
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if answer == "" {
				t.Cleanup(func() { conn.Close() })
				continue
			}
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.WriteString(conn, answer)
			}
			conn.Close()
		}
	}()
	return &Client{Path: path}
}

func TestAnswersThatAreNone(t *testing.T) {
	t.Run("not JSON", func(t *testing.T) {
		_, err := raw(t, "HTTP/1.1 200 OK\r\n\r\n<html>").Agent(t.Context())
		wantFault(t, err, fault.Failed, "reading the agent's answer", "")
	})
	t.Run("error without a reason", func(t *testing.T) {
		_, err := raw(t, "HTTP/1.1 500 Oops\r\n\r\n{}").Agent(t.Context())
		wantFault(t, err, fault.Failed, "answered 500 Oops", "")
	})
	t.Run("closed while reading", func(t *testing.T) {
		_, err := raw(t, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{").Agent(t.Context())
		wantFault(t, err, fault.Unreachable, "gave no answer", "its log")
	})
	t.Run("closed while changing", func(t *testing.T) {
		err := raw(t, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{").Reload(t.Context())
		wantFault(t, err, fault.Unknown, "may have been carried out", "mxcluster status")
	})
}

func TestAgentThatHangs(t *testing.T) {
	c := raw(t, "")
	if !c.Running(t.Context()) {
		t.Error("Running is false beside an agent that hangs")
	}
	soon := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	_, err := c.Status(soon())
	wantFault(t, err, fault.Unreachable, "gave no answer", "its log")
	wantFault(t, c.Reload(soon()), fault.Unknown, "may have been carried out", "mxcluster status")

	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(30*time.Millisecond, cancel)
	_, err = c.Stop(ctx, StopRequest{})
	wantFault(t, err, fault.Interrupted, "calling the agent", "")
}

// FuzzRequest sends arbitrary bodies to every call that takes one. Whatever
// comes, the answer is JSON, and only a well-formed request reaches the agent.
func FuzzRequest(f *testing.F) {
	f.Add("/v1/order", []byte(`{"kind":"fallback","lim":1,"now":true,"reason":"x"}`))
	f.Add("/v1/order", []byte(`{"kind":"fallback","lim":-1}`))
	f.Add("/v1/stop", []byte(`{"release":true}`))
	f.Add("/v1/stop", []byte(`{"release":true}{}`))
	f.Add("/v1/reload", []byte(``))
	f.Add("/v1/order", []byte("{\"kind\":\"fall\xff\"}"))
	requests, _ := dialogsOf(f, append(compat.Recorded(f, "control"), compat.OfTheFuture(f, "control")...))
	for _, in := range requests {
		if req, body := requestOf(f, in.Content); req.Method == http.MethodPost {
			f.Add(req.URL.Path, body)
		}
	}
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		req, err := http.NewRequestWithContext(self(), http.MethodPost, "http://agent"+path, bytes.NewReader(body))
		if err != nil || req.URL.Host != "agent" {
			return
		}
		reached := errors.New("reached")
		h := newHandler(&fake{
			order: func(_ context.Context, o Order) (*OrderResult, error) {
				if o.check() != nil {
					t.Errorf("order %+v reached the agent", o)
				}
				return nil, reached
			},
			stop:   func(context.Context, StopRequest) (*StopResult, error) { return nil, reached },
			reload: func() error { return reached },

			rotate:   func(KeyRequest) (*KeyInfo, error) { return nil, reached },
			exchange: func(ExchangeRequest) error { return reached },
			edit:     func(EditRequest) (*EditResult, error) { return nil, reached },
		}, "", slog.New(slog.DiscardHandler))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code == http.StatusTemporaryRedirect { // the mux cleans a path such as //v1
			return
		}
		if w.Code == http.StatusOK && strings.HasPrefix(path, "/v1/alarms/") {
			return // the fake answers these itself
		}
		if err := decodeError(w.Body.Bytes()); err == nil || strings.Contains(err.Error(), "internal error") {
			t.Errorf("POST %s %q: status %d, body %s", path, body, w.Code, w.Body)
		}
	})
}
