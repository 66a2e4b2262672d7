package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"mxcluster/internal/compat"
	"mxcluster/internal/events"
	"mxcluster/internal/fault"
	"mxcluster/internal/status"
	"mxcluster/internal/whatif"
)

// dialogsOf are the recorded requests, and the recorded answer of each.
func dialogsOf(t testing.TB, all []compat.Input) (requests []compat.Input, answers map[string][]byte) {
	t.Helper()
	answers = map[string][]byte{}
	for _, in := range all {
		if name, ok := strings.CutSuffix(in.Name, ".response"); ok {
			answers[in.Release+name] = in.Content
		} else {
			in.Name = strings.TrimSuffix(in.Name, ".request")
			requests = append(requests, in)
		}
	}
	return requests, answers
}

func requestOf(t testing.TB, raw []byte) (req *http.Request, body []byte) {
	t.Helper()
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	if body, err = io.ReadAll(req.Body); err != nil {
		t.Fatal(err)
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	return req.WithContext(self()), body
}

// listener is a backend that keeps what reaches it.
type listener struct {
	fake
	got any
}

func (l *listener) Events(_ context.Context, q events.Query) (*events.List, error) {
	l.got = q
	return &events.List{}, nil
}

func (l *listener) Simulate(_ context.Context, s whatif.Scenario) (*whatif.Result, error) {
	l.got = s
	return &whatif.Result{}, nil
}

func (l *listener) Notice(_ context.Context, r NoticeRequest) (*NoticeResult, error) {
	l.got = r
	return &NoticeResult{}, nil
}

func (l *listener) TestSinks(_ context.Context, r TestRequest) (*TestResult, error) {
	l.got = r
	return &TestResult{}, nil
}

func listen() *listener {
	l := &listener{}
	l.fake = fake{
		order:    func(_ context.Context, o Order) (*OrderResult, error) { l.got = o; return &OrderResult{}, nil },
		stop:     func(_ context.Context, r StopRequest) (*StopResult, error) { l.got = r; return &StopResult{}, nil },
		reload:   func() error { return nil },
		rotate:   func(r KeyRequest) (*KeyInfo, error) { l.got = r; return &KeyInfo{}, nil },
		exchange: func(r ExchangeRequest) error { l.got = r; return nil },
		edit:     func(r EditRequest) (*EditResult, error) { l.got = r; return &EditResult{}, nil },
	}
	return l
}

// What commands of earlier versions ask reaches the agent in all of its parts.
func TestRequestsOfEarlierVersions(t *testing.T) {
	requests, _ := dialogsOf(t, compat.Recorded(t, "control"))
	calls := map[string]bool{}
	compat.Each(t, requests, func(t *testing.T, in compat.Input) {
		req, body := requestOf(t, in.Content)
		if q := req.URL.Query().Get("q"); q != "" {
			body = []byte(q)
		}
		l, w := listen(), httptest.NewRecorder()
		newHandler(l, "", slog.New(slog.DiscardHandler)).ServeHTTP(w, req)
		if w.Code != http.StatusOK {
			t.Fatalf("answered %d %s", w.Code, w.Body)
		}
		calls[req.Method+" "+req.URL.Path] = true
		if len(body) == 0 {
			return
		}
		is, err := json.Marshal(l.got)
		if err != nil {
			t.Fatal(err)
		}
		if lost := compat.Lost(t, body, is); lost != nil {
			t.Errorf("lost are %q", lost)
		}
	})
	for _, c := range []string{"GET /v1/status", "GET /v1/agent", "GET /v1/events", "GET /v1/simulate", "GET /v1/alarms", "GET /v1/keys",
		"POST /v1/order", "POST /v1/exchange", "POST /v1/edit", "POST /v1/keys/rotate", "POST /v1/alarms/notice", "POST /v1/alarms/test", "POST /v1/reload"} {
		if !calls[c] {
			t.Errorf("no %s is recorded", c)
		}
	}
}

// understood reads an agent's answer to a call as a command does, and encodes what it understood.
func understood(t *testing.T, path string, raw []byte) ([]byte, error) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	parsers := map[string]func() (any, error){
		"/v1/status":        func() (any, error) { return parse[status.ClusterStatus](resp, body) },
		"/v1/agent":         func() (any, error) { return parse[AgentInfo](resp, body) },
		"/v1/events":        func() (any, error) { return parse[events.List](resp, body) },
		"/v1/simulate":      func() (any, error) { return parse[whatif.Result](resp, body) },
		"/v1/alarms":        func() (any, error) { return parse[status.AlarmList](resp, body) },
		"/v1/keys":          func() (any, error) { return parse[KeyInfo](resp, body) },
		"/v1/keys/rotate":   func() (any, error) { return parse[KeyInfo](resp, body) },
		"/v1/order":         func() (any, error) { return parse[OrderResult](resp, body) },
		"/v1/exchange":      func() (any, error) { return parse[struct{}](resp, body) },
		"/v1/reload":        func() (any, error) { return parse[struct{}](resp, body) },
		"/v1/edit":          func() (any, error) { return parse[EditResult](resp, body) },
		"/v1/alarms/notice": func() (any, error) { return parse[NoticeResult](resp, body) },
		"/v1/alarms/test":   func() (any, error) { return parse[TestResult](resp, body) },
	}
	v, err := parsers[path]()
	if err != nil {
		return nil, err
	}
	is, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if lost := compat.Lost(t, body, is); lost != nil {
		return is, errors.New("lost are " + strings.Join(lost, ", "))
	}
	return is, nil
}

// What agents of earlier versions answer is understood in all of its parts, errors with their code.
func TestAnswersOfEarlierVersions(t *testing.T) {
	requests, answers := dialogsOf(t, compat.Recorded(t, "control"))
	compat.Each(t, requests, func(t *testing.T, in compat.Input) {
		req, _ := requestOf(t, in.Content)
		_, err := understood(t, req.URL.Path, answers[in.Release+in.Name])
		if strings.HasSuffix(in.Name, "-404") {
			if fault.CodeOf(err) != fault.NotFound || !strings.Contains(err.Error(), "9999") {
				t.Errorf("error %v with code %d, want %d", err, fault.CodeOf(err), fault.NotFound)
			}
		} else if err != nil {
			t.Error(err)
		}
	})
}

// A request of a later version in which something is not known is refused, for it would be another
// one; nothing is done. An answer is read for what is known, and an error whatever is in it.
func TestControlOfTheFuture(t *testing.T) {
	requests, answers := dialogsOf(t, compat.OfTheFuture(t, "control"))
	want := map[string][]string{"POST-v1-order": {"gently"}, "POST-v1-order-other": {"swap"}, "GET-v1-weather": {"GET /v1/weather", "version"}, "GET-v1-status": nil, "GET-v1-agent": nil}
	compat.Each(t, requests, func(t *testing.T, in compat.Input) {
		req, _ := requestOf(t, in.Content)
		l, w := listen(), httptest.NewRecorder()
		newHandler(l, "", slog.New(slog.DiscardHandler)).ServeHTTP(w, req)
		words, known := want[in.Name]
		if !known || len(words) == 0 != (w.Code == http.StatusOK) || l.got != nil {
			t.Errorf("answered %d %s, done was %+v", w.Code, w.Body, l.got)
		}
		for _, word := range words {
			if !strings.Contains(w.Body.String(), word) {
				t.Errorf("the answer does not say %q: %s", word, w.Body)
			}
		}
		answer := answers[in.Release+in.Name]
		if answer == nil {
			return
		}
		switch is, err := understood(t, req.URL.Path, answer); in.Name {
		case "POST-v1-order":
			if fault.CodeOf(err) != fault.Code(99) || fault.HintOf(err) != "do it gently" {
				t.Errorf("error %v with code %d, hint %q", err, fault.CodeOf(err), fault.HintOf(err))
			}
		case "GET-v1-status":
			if !bytes.Contains(is, []byte(`"observer":"srv1"`)) || !bytes.Contains(is, []byte(`"state":"hovering"`)) {
				t.Errorf("understood is %s", is)
			}
		case "GET-v1-agent":
			if !bytes.Contains(is, []byte(`"server":"srv1"`)) || !bytes.Contains(is, []byte(`"document":9`)) {
				t.Errorf("understood is %s", is)
			}
		}
	})
}

// FuzzAnswer reads any answer to any call, as commands do.
func FuzzAnswer(f *testing.F) {
	_, answers := dialogsOf(f, append(compat.Recorded(f, "control"), compat.OfTheFuture(f, "control")...))
	for _, raw := range answers {
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), nil)
		if err != nil {
			f.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			f.Fatal(err)
		}
		resp.Body.Close()
		f.Add(resp.StatusCode, body)
	}
	f.Fuzz(func(t *testing.T, code int, body []byte) {
		resp := &http.Response{StatusCode: code, Status: http.StatusText(code)}
		answers := []error{}
		check := func(_ any, err error) { answers = append(answers, err) }
		check(parse[status.ClusterStatus](resp, body))
		check(parse[AgentInfo](resp, body))
		check(parse[events.List](resp, body))
		check(parse[whatif.Result](resp, body))
		check(parse[EditResult](resp, body))
		check(parse[OrderResult](resp, body))
		for _, err := range answers {
			if code != http.StatusOK && err == nil || err != nil && fault.CodeOf(err) == fault.OK {
				t.Errorf("status %d, error %v with code %d", code, err, fault.CodeOf(err))
			}
		}
	})
}
