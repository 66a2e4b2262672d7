package control

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
)

// maxBody bounds a request's body; the largest real one is far below 1 KiB.
const maxBody = 64 << 10

// maxEdit bounds an edit, which has a whole document in it.
const maxEdit = 2 * clusterconf.MaxSize

// handler routes the calls to the agent.
type handler struct {
	backend Backend
	log     *slog.Logger
}

func newHandler(b Backend, group string, log *slog.Logger) http.Handler {
	h := &handler{backend: b, log: log}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", h.read(func(ctx context.Context) (any, error) { return b.Status(ctx) }))
	mux.HandleFunc("GET /v1/agent", h.read(func(ctx context.Context) (any, error) { return b.Agent(ctx) }))
	mux.HandleFunc("GET /v1/events", question(h, b.Events))
	mux.HandleFunc("GET /v1/simulate", question(h, b.Simulate))
	mux.HandleFunc("POST /v1/order", h.change(maxBody, group, h.order))
	mux.HandleFunc("POST /v1/exchange", h.change(maxBody, "", h.exchange))
	mux.HandleFunc("POST /v1/edit", h.change(maxEdit, "", h.edit))
	mux.HandleFunc("POST /v1/stop", h.change(maxBody, "", h.stop))
	mux.HandleFunc("POST /v1/reload", h.change(maxBody, "", h.reload))
	mux.HandleFunc("POST /v1/data", h.change(maxBody, "", h.lookAtData))
	mux.HandleFunc("GET /v1/keys", h.read(func(ctx context.Context) (any, error) { return b.Keys(ctx) }))
	mux.HandleFunc("POST /v1/keys/rotate", h.change(maxBody, "", h.rotateKey))
	mux.HandleFunc("GET /v1/alarms", h.read(func(ctx context.Context) (any, error) { return b.Alarms(ctx) }))
	mux.HandleFunc("POST /v1/alarms/notice", h.change(maxBody, group, h.notice))
	mux.HandleFunc("POST /v1/alarms/test", h.change(maxBody, group, h.testSinks))
	mux.HandleFunc("/", h.unknown)
	return h.guard(mux)
}

func (h *handler) order(r *http.Request) (any, error) {
	o, err := decode[Order](r.Body)
	if err != nil {
		return nil, err
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	return h.backend.Order(r.Context(), o)
}

func (h *handler) exchange(r *http.Request) (any, error) {
	x, err := decode[ExchangeRequest](r.Body)
	if err != nil {
		return nil, err
	}
	return struct{}{}, h.backend.Exchange(r.Context(), x)
}

func (h *handler) edit(r *http.Request) (any, error) {
	e, err := decode[EditRequest](r.Body)
	if err != nil {
		return nil, err
	}
	return h.backend.Edit(r.Context(), e)
}

func (h *handler) stop(r *http.Request) (any, error) {
	s, err := decode[StopRequest](r.Body)
	if err != nil {
		return nil, err
	}
	return h.backend.Stop(r.Context(), s)
}

func (h *handler) rotateKey(r *http.Request) (any, error) {
	k, err := decode[KeyRequest](r.Body)
	if err != nil {
		return nil, err
	}
	return h.backend.RotateKey(r.Context(), k)
}

func (h *handler) notice(r *http.Request) (any, error) {
	n, err := decode[NoticeRequest](r.Body)
	if err != nil {
		return nil, err
	}
	return h.backend.Notice(r.Context(), n)
}

func (h *handler) testSinks(r *http.Request) (any, error) {
	t, err := decode[TestRequest](r.Body)
	if err != nil {
		return nil, err
	}
	return h.backend.TestSinks(r.Context(), t)
}

func (h *handler) reload(r *http.Request) (any, error) {
	return struct{}{}, h.backend.Reload(r.Context())
}

func (h *handler) lookAtData(r *http.Request) (any, error) {
	return struct{}{}, h.backend.LookAtData(r.Context())
}

// unknown answers calls of a command that is newer or older than the agent.
func (h *handler) unknown(w http.ResponseWriter, r *http.Request) {
	h.answer(w, nil, &httpError{http.StatusNotFound, fault.New(fault.Failed,
		"command and agent may be of different versions: compare mxcluster version and mxcluster agent status",
		"the agent has no call %s %s", r.Method, r.URL.Path)})
}

// read makes a call that is open to every local user.
func (h *handler) read(call func(context.Context) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := call(r.Context())
		h.answer(w, v, err)
	}
}

// question makes a call that is open to every local user and takes a value, as
// JSON in the parameter q.
func question[Q, A any](h *handler, ask func(context.Context, Q) (*A, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q, err := decode[Q](strings.NewReader(r.URL.Query().Get("q")))
		if err != nil {
			h.answer(w, nil, err)
			return
		}
		v, err := ask(r.Context(), q)
		h.answer(w, v, err)
	}
}

// change makes a call that is open to root, the agent's own user and the members of a group, if one
// is given. Edits are not for a group: a document names programs that root runs.
func (h *handler) change(limit int64, group string, call func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p, err := authorize(r.Context(), group)
		if err != nil {
			h.answer(w, nil, err)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		v, err := call(r)
		h.log.Info("control call", "path", r.URL.Path, "uid", p.uid, "pid", p.pid, "error", err)
		h.answer(w, v, err)
	}
}

// guard turns a panic of one call into its error, so that a fault in what
// somebody asks never ends the supervision of the cluster.
func (h *handler) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if v := recover(); v != nil {
				h.log.Error("control call panicked", "path", r.URL.Path, "panic", v, "stack", string(debug.Stack()))
				h.answer(w, nil, fault.New(fault.Failed, "see the agent's log",
					"%s %s: internal error: %v", r.Method, r.URL.Path, v))
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// answer encodes before it writes, so that a value that does not encode is an
// error to the caller and not half an answer. The time limit starts here: a
// call may take long, taking the answer in may not.
func (h *handler) answer(w http.ResponseWriter, v any, err error) {
	code := http.StatusOK
	var body []byte
	if err == nil {
		body, err = json.Marshal(v)
	}
	if err != nil {
		code = httpStatus(err)
		body = encodeError(err)
	}
	w.Header().Set("Content-Type", "application/json")
	// Writers that know no deadline exist in tests only.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeLimit))
	w.WriteHeader(code)
	if _, err := w.Write(append(body, '\n')); err != nil {
		h.log.Debug("control answer not delivered", "error", err)
	}
}

// decode reads one JSON value and nothing else. Unknown fields are refused: a
// misspelt one would be an order that does something else than was asked.
func decode[T any](body io.Reader) (T, error) {
	var v T
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	err := d.Decode(&v)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return v, nil
		}
		if err == nil {
			err = errors.New("more than one JSON value")
		}
	}
	var zero T
	var tooBig *http.MaxBytesError
	if errors.As(err, &tooBig) {
		return zero, &httpError{http.StatusRequestEntityTooLarge,
			fault.New(fault.Usage, "", "request body is larger than %d bytes", tooBig.Limit)}
	}
	return zero, fault.Wrap(err, fault.Usage, "", "reading the request body")
}

// check refuses what no agent could carry out.
func (o Order) check() error {
	if o.Kind != OrderFallback && o.Kind != OrderFailover && o.Kind != OrderRehearse && o.Kind != OrderManagement {
		return fault.New(fault.Usage, "orders are fallback, failover, rehearse and management-fallback", "unknown order %q", o.Kind)
	}
	if o.LIM < 1 {
		return fault.New(fault.Usage, "LIM numbers start at 1", "LIM number %d is not valid", o.LIM)
	}
	switch {
	case o.DrainCalls < 0 || o.DrainCalls > MaxDrain:
		return fault.New(fault.Usage, "give a time such as 10m", "calls are drained for %s at most, not for %s", MaxDrain, o.DrainCalls)
	case o.DrainCalls > 0 && o.Kind == OrderRehearse:
		return fault.New(fault.Usage, "", "a rehearsal ends no calls")
	case o.DrainCalls > 0 && o.Dead != "":
		return fault.New(fault.Usage, "leave out --drain-calls", "a server that is dead has no calls to drain")
	}
	return nil
}
