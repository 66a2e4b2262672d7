// Package web answers HTTP on metrics.listen: metrics, health, where LIMs are active, the
// status as JSON and as a page. It reads only. What it shows is asked for once in a while
// however many ask, so that no caller costs the agent more than one does.
package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"

	"mxcluster/internal/control"
	"mxcluster/internal/events"
	"mxcluster/internal/status"
)

// Backend is what is asked of the agent.
type Backend interface {
	Status(ctx context.Context) (*status.ClusterStatus, error)
	Agent(ctx context.Context) (*control.AgentInfo, error)
	Alarms(ctx context.Context) (*status.AlarmList, error)
	Events(ctx context.Context, q events.Query) (*events.List, error)
}

const (
	requestLimit  = 5 * time.Second // for a request to arrive, and for its answer to be taken in
	idleLimit     = 30 * time.Second
	maxHeader     = 8 << 10
	maxConns      = 32
	answerLimit   = 2 * time.Second // of the agent
	shutdownLimit = time.Second     // for answers under way when the agent ends

	freshStatus = time.Second      // that an answer of the agent serves all who ask
	freshEvents = 20 * time.Second // the same, of all servers' events
	eventsLimit = 4 * time.Second
	shownEvents = 24 * time.Hour // on the page
	listenAgain = 5 * time.Second
)

// Base is the word that stands for this server's base address in metrics.listen.
const Base = "base"

// Listen is where to listen, by the setting and the server's base address: loopback, or
// that base, alone. The error says why it must not be.
func Listen(setting string, base netip.Addr) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(setting)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is no address with a port", setting)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return netip.AddrPort{}, fmt.Errorf("%q is no port", port)
	}
	var addr netip.Addr
	switch host {
	case Base:
		addr = base
	case "localhost":
		addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	default:
		if addr, err = netip.ParseAddr(host); err != nil {
			return netip.AddrPort{}, fmt.Errorf("%q is no address", host)
		}
	}
	if !addr.IsLoopback() && !base.IsValid() { // listening at no address is listening at all of them
		return netip.AddrPort{}, errors.New("this server's base address is not known")
	}
	if !addr.IsLoopback() && addr != base {
		return netip.AddrPort{}, fmt.Errorf("%s is neither a loopback address nor this server's base address %s", addr, base)
	}
	return netip.AddrPortFrom(addr, uint16(n)), nil
}

// Config is what the server is told.
type Config struct {
	Setting string            // metrics.listen
	Base    func() netip.Addr // of this server, now
	Names   []string          // of this server, that callers may call it by besides addresses
	Log     *slog.Logger
	Now     func() time.Time
}

// Serve answers until ctx ends. An address that cannot be listened at is tried again, and
// one that is the base no more is left.
func Serve(ctx context.Context, cfg Config, b Backend) {
	handler := NewHandler(cfg, b)
	said := ""
	say := func(text string) {
		if text != said {
			cfg.Log.Warn("metrics.listen", "err", text)
		}
		said = text
	}
	for ctx.Err() == nil {
		at, err := Listen(cfg.Setting, cfg.Base())
		if err == nil {
			err = serveAt(ctx, cfg, at, handler, func() { said = "" })
		}
		if err != nil && ctx.Err() == nil {
			say(err.Error())
		}
		select {
		case <-ctx.Done():
		case <-time.After(listenAgain):
		}
	}
}

// serveAt answers at one address until ctx ends or the address is another one.
func serveAt(ctx context.Context, cfg Config, at netip.AddrPort, handler http.Handler, listens func()) error {
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
	if err != nil {
		return err
	}
	cfg.Log.Info("metrics and status are served", "address", at.String())
	listens()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	srv := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: requestLimit,
		ReadTimeout:       requestLimit,
		WriteTimeout:      2 * requestLimit,
		IdleTimeout:       idleLimit,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
	}
	var beside sync.WaitGroup
	beside.Go(func() {
		tick := time.NewTicker(listenAgain)
		defer tick.Stop()
		for moved := false; !moved; {
			select {
			case <-ctx.Done():
				moved = true
			case <-tick.C:
				now, err := Listen(cfg.Setting, cfg.Base())
				moved = err != nil || now != at
			}
		}
		end, stop := context.WithTimeout(context.WithoutCancel(ctx), shutdownLimit)
		defer stop()
		if srv.Shutdown(end) != nil {
			_ = srv.Close() // who has not taken its answer in by now does not get it
		}
	})
	err = srv.Serve(netutil.LimitListener(l, maxConns))
	cancel()
	beside.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// server answers the calls.
type server struct {
	Config
	status *cached[*status.ClusterStatus]
	agent  *cached[*control.AgentInfo]
	alarms *cached[*status.AlarmList]
	events *cached[*events.List]
}

func newServer(cfg Config, b Backend) *server {
	return &server{Config: cfg,
		status: newCached(cfg.Now, freshStatus, answerLimit, b.Status),
		agent:  newCached(cfg.Now, freshStatus, answerLimit, b.Agent),
		alarms: newCached(cfg.Now, freshStatus, answerLimit, b.Alarms),
		events: newCached(cfg.Now, freshEvents, eventsLimit, func(ctx context.Context) (*events.List, error) {
			return b.Events(ctx, events.Query{Since: cfg.Now().Add(-shownEvents)})
		}),
	}
}

// NewHandler returns what answers the calls.
func NewHandler(cfg Config, b Backend) http.Handler {
	s := newServer(cfg, b)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry(), promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: requestLimit}))
	mux.HandleFunc("GET /health", s.health)
	mux.HandleFunc("GET /lims/{lim}/active", s.active)
	mux.HandleFunc("GET /status", s.json)
	mux.HandleFunc("GET /{$}", s.page)
	return s.guard(mux)
}

// guard lets only calls through that name this server by an address or one of its names: a
// page from elsewhere that has its own name lead here gets nothing.
func (s *server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.calledBy(r.Host) {
			http.Error(w, "this server is not called so", http.StatusMisdirectedRequest)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		defer func() {
			if v := recover(); v != nil {
				s.Log.Error("an answer over HTTP panicked", "path", r.URL.Path, "panic", v)
				http.Error(w, "internal error", http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// calledBy reports whether a Host header names this server.
func (s *server) calledBy(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if _, err := netip.ParseAddr(host); err == nil {
		return true // no name leads here by itself
	}
	return strings.EqualFold(host, "localhost") || slices.ContainsFunc(s.Names, func(n string) bool { return strings.EqualFold(n, host) })
}

// health says whether the agent works.
func (s *server) health(w http.ResponseWriter, r *http.Request) {
	info, err := s.agent.get(r.Context())
	switch {
	case err != nil:
		http.Error(w, "the agent does not answer", http.StatusServiceUnavailable)
	case !info.Ready:
		http.Error(w, "the agent waits to hear the other servers", http.StatusServiceUnavailable)
	default:
		fmt.Fprintln(w, "the agent works")
	}
}

// active says whether a LIM is active on this server.
func (s *server) active(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.PathValue("lim"))
	if err != nil || n < 1 {
		http.Error(w, "that is no number of a LIM", http.StatusNotFound)
		return
	}
	st, err := s.status.get(r.Context())
	if err != nil {
		http.Error(w, "the agent does not answer", http.StatusServiceUnavailable)
		return
	}
	for _, c := range st.Clusters {
		for i := range c.LIMs {
			switch l := &c.LIMs[i]; {
			case l.LIM != n:
			case l.ActiveOn == nil:
				http.Error(w, fmt.Sprintf("LIM %d is active nowhere that can be seen", n), http.StatusServiceUnavailable)
				return
			case *l.ActiveOn == st.Observer:
				fmt.Fprintf(w, "LIM %d is active here\n", n)
				return
			default:
				http.Error(w, fmt.Sprintf("LIM %d is active on %s", n, *l.ActiveOn), http.StatusServiceUnavailable)
				return
			}
		}
	}
	http.Error(w, fmt.Sprintf("LIM %d is in no cluster", n), http.StatusNotFound)
}

// json is the answer of `status -o json`.
func (s *server) json(w http.ResponseWriter, r *http.Request) {
	st, err := s.status.get(r.Context())
	if err != nil {
		http.Error(w, "the agent does not answer", http.StatusServiceUnavailable)
		return
	}
	raw, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(raw, '\n')) // a caller that has gone needs no answer
}

// page is the status for people.
func (s *server) page(w http.ResponseWriter, r *http.Request) {
	v := view{Now: s.Now().UTC()}
	var err error
	if v.Status, err = s.status.get(r.Context()); err != nil {
		v.Silent = true
	}
	if v.Alarms, err = s.alarms.get(r.Context()); err != nil {
		v.Alarms = &status.AlarmList{}
	}
	v.Events, v.EventsErr = s.events.get(r.Context())
	var out bytes.Buffer
	if err := v.render(&out); err != nil {
		s.Log.Error("making the status page", "err", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if v.Silent {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = w.Write(out.Bytes()) // a caller that has gone needs no answer
}

// cached is an answer that serves all who ask for some time. Who asks while it is being
// asked for waits for that.
type cached[T any] struct {
	now   func() time.Time
	fresh time.Duration
	ask   func() (T, error)

	turn chan struct{}
	at   time.Time
	v    T
	err  error
}

func newCached[T any](now func() time.Time, fresh, limit time.Duration, ask func(context.Context) (T, error)) *cached[T] {
	return &cached[T]{now: now, fresh: fresh, turn: make(chan struct{}, 1), ask: func() (T, error) {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		return ask(ctx)
	}}
}

func (c *cached[T]) get(ctx context.Context) (T, error) {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
	if age := c.now().Sub(c.at); c.at.IsZero() || age >= c.fresh || age < 0 {
		c.v, c.err = c.ask()
		c.at = c.now()
	}
	return c.v, c.err
}
