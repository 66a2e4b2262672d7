//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"mxcluster/internal/fault"
	"mxcluster/internal/nearest"
	"mxcluster/internal/status"
)

const (
	playFailoverAfter = time.Second
	playPatience      = time.Minute     // for any one step of coming up
	statusPatience    = 2 * time.Second // for a server that is asked where the LIMs run
	redundantPatience = 10 * time.Second
)

// playRequest is a request to the host of a lab that is up; a connection carries one, and its
// answer.
type playRequest struct {
	Server string `json:"server,omitempty"` // of Fail and Heal
	Fail   Fault  `json:"fail,omitempty"`
	Heal   bool   `json:"heal,omitempty"`
	Down   bool   `json:"down,omitempty"` // otherwise, and without the others, the state is asked for
}

// playReply is the answer.
type playReply struct {
	Outcome outcome `json:"outcome"`
	State   *State  `json:"state,omitempty"`
	Changed bool    `json:"changed,omitempty"` // of Fail
	Healed  []Fault `json:"healed,omitempty"`
}

// playSocket is the path of the host's socket.
func playSocket(dir string) string { return filepath.Join(dir, "lab.sock") }

// play is a lab that stays up.
type play struct {
	*site
	o      UpOptions
	phones []*phone
	down   context.CancelFunc

	mu sync.Mutex // the servers are changed by one request at a time
}

// PlayScenario is the scenario of a lab that stays up: a cluster that can be used and hurt until it
// is taken down. What is done to make it is told on out.
func PlayScenario(out io.Writer, o UpOptions) Scenario {
	return func(ctx context.Context, l *Lab) error {
		ctx, down := context.WithCancel(ctx)
		defer down()
		p := &play{site: &site{Lab: l, narrator: newNarrator(out, false), lims: o.LIMs}, o: o, down: down}
		return p.run(ctx)
	}
}

func (p *play) run(ctx context.Context) error {
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"building the lab", p.build},
		{"making the system", p.makeSystem},
		{"creating the cluster", func(ctx context.Context) error { return p.create(ctx, playFailoverAfter) }},
		{"preloading the cluster", p.preload},
		{"backing data up", p.backUpAll},
		{"connecting the phones", p.connectPhones},
	} {
		if err := within(ctx, playPatience, step.run); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	// It is as good a lab without, so that this ends nothing.
	_ = within(ctx, redundantPatience, p.awaitRedundant)
	return p.serve(ctx)
}

// awaitRedundant returns when the loss of any one server is covered: the copies of the data are seen
// on the standby.
func (p *play) awaitRedundant(ctx context.Context) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		out, err := p.standby.Mxcluster(ctx, "status", "-o", "json")
		var answer status.ClusterStatus
		if err == nil && json.Unmarshal(out, &answer) == nil && answer.Redundant != nil && *answer.Redundant {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
}

func (p *play) preload(ctx context.Context) error {
	if !p.o.Preloaded {
		return nil
	}
	if err := p.mx(ctx, p.srv1, "preload", "c1"); err != nil {
		return err
	}
	return awaitLIM(ctx, p.standby, 1, "is preloaded on "+p.standby.Name, func(l *status.StatusLIM) bool {
		return runsOn("srv1")(l) && l.Preload != nil && *l.Preload == "preloaded"
	})
}

func (p *play) connectPhones(context.Context) (err error) {
	var aliases []netip.Addr
	for i := range p.regulars {
		aliases = append(aliases, p.address(byte(11+i)).Addr())
	}
	p.phones, err = p.addPhones(aliases)
	return err
}

// serve says that the lab is up, and answers requests until it is taken down.
func (p *play) serve(ctx context.Context) error {
	listener, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: playSocket(p.Dir), Net: "unixpacket"})
	if err != nil {
		return fmt.Errorf("waiting for orders: %w", err)
	}
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	if err := p.ready(); err != nil {
		return fmt.Errorf("telling that the lab is up: %w", err)
	}
	for {
		conn, err := listener.AcceptUnix()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("waiting for orders: %w", err)
		}
		go func() {
			defer conn.Close()
			var req playRequest
			if files, err := receive(conn, &req); err != nil || len(files) > 0 {
				closeAll(files)
				return
			}
			// Who asked may be gone.
			_ = send(conn, p.answer(ctx, req))
			if req.Down {
				p.down()
			}
		}()
	}
}

// answer carries a request out. Taking the lab down waits for no other request.
func (p *play) answer(ctx context.Context, req playRequest) (r playReply) {
	if req.Down {
		return r
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if req.Server == "" {
		r.State = p.state(ctx)
		return r
	}
	s := p.Server(req.Server)
	if s == nil {
		r.Outcome = outcomeOf(noServer(req.Server, p.names()))
		return r
	}
	ctx, cancel := context.WithTimeoutCause(ctx, demoPatience, fault.New(fault.Unknown, "", "not done within %s", demoPatience))
	defer cancel()
	var err error
	if req.Heal {
		r.Healed, err = s.Heal(ctx)
	} else {
		r.Changed, err = s.Fail(ctx, req.Fail)
	}
	r.Outcome = outcomeOf(err)
	return r
}

func (p *play) names() []string {
	var names []string
	for _, s := range p.servers {
		names = append(names, s.Name)
	}
	return names
}

// noServer is the error for a server that the lab does not have.
func noServer(name string, names []string) error {
	hint := "the lab has " + strings.Join(names, ", ")
	if near := nearest.To(name, names); near != "" {
		hint = "did you mean " + near + "?"
	}
	return fault.New(fault.NotFound, hint, "no such server in the lab: %q", name)
}

// state looks at the servers, asks one of them where the LIMs run, and the phones what they see.
func (p *play) state(ctx context.Context) *State {
	st := &State{Dir: p.Dir, Preloaded: p.o.Preloaded}
	for _, s := range p.servers {
		st.Servers = append(st.Servers, ServerState{
			Name: s.Name, Base: s.base.String(), Power: s.first != nil, Agent: s.agentRuns(), Faults: append([]Fault{}, s.faults...),
		})
	}
	said := p.askWhere(ctx)
	for i, s := range p.regulars {
		l := LIMState{LIM: i + 1, Regular: s.Name, Alias: p.address(byte(11 + i)).String(), State: "unknown"}
		if at := slices.IndexFunc(said, func(x status.StatusLIM) bool { return x.LIM == l.LIM }); at >= 0 {
			l.ActiveOn, l.State = said[at].ActiveOn, said[at].State
		}
		p.phones[i].tell(&l, time.Now())
		st.LIMs = append(st.LIMs, l)
	}
	return st
}

// askWhere returns the LIMs of the status of the first server that can tell, the standby before the
// others; nil: none can.
func (p *play) askWhere(ctx context.Context) []status.StatusLIM {
	for _, s := range append([]*Server{p.standby}, p.regulars...) {
		if !s.agentRuns() || len(s.faults) > 0 {
			continue
		}
		limited, cancel := context.WithTimeout(ctx, statusPatience)
		out, err := s.Mxcluster(limited, "status", "-o", "json")
		cancel()
		var answer status.ClusterStatus
		if err != nil || json.Unmarshal(out, &answer) != nil {
			continue
		}
		var lims []status.StatusLIM
		for _, c := range answer.Clusters {
			lims = append(lims, c.LIMs...)
		}
		return lims
	}
	return nil
}

// Fail makes a server of the lab in dir fail. It reports whether anything changed.
func Fail(ctx context.Context, dir, server string, how Fault) (bool, error) {
	r, err := order(ctx, dir, playRequest{Server: server, Fail: how})
	return r.Changed, err
}

// Heal ends all faults of a server of the lab in dir, and returns them.
func Heal(ctx context.Context, dir, server string) ([]Fault, error) {
	r, err := order(ctx, dir, playRequest{Server: server, Heal: true})
	return r.Healed, err
}

// Look returns the state of the lab that is up in dir; none is fault.NotFound.
func Look(ctx context.Context, dir string) (*State, error) {
	r, err := order(ctx, dir, playRequest{})
	return r.State, err
}

// order sends a request to the lab in dir and returns its answer.
func order(ctx context.Context, dir string, req playRequest) (r playReply, err error) {
	conn, err := dialHost(ctx, dir)
	if err != nil {
		return r, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := send(conn, req); err != nil {
		return r, fmt.Errorf("asking the lab: %w", err)
	}
	switch _, err := receive(conn, &r); {
	case ctx.Err() != nil:
		return r, ctx.Err()
	case errors.Is(err, io.EOF):
		return r, fault.New(fault.Unknown, "", "the lab was taken down meanwhile")
	case err != nil:
		return r, fmt.Errorf("asking the lab: %w", err)
	}
	return r, r.Outcome.err()
}

// dialHost opens a connection to the host of the lab that is up in dir.
func dialHost(ctx context.Context, dir string) (*net.UnixConn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unixpacket", playSocket(dir))
	if err != nil {
		return nil, fault.New(fault.NotFound, "start one with 'mxcluster lab up'", "no lab is up in %s", dir)
	}
	return conn.(*net.UnixConn), nil
}

// Servers returns the names of the servers of the lab in dir, as far as they can be seen.
func Servers(dir string) []string {
	found, _ := filepath.Glob(filepath.Join(dir, "*", "exec.sock")) // no error: the pattern is well formed
	var names []string
	for _, path := range found {
		names = append(names, filepath.Base(filepath.Dir(path)))
	}
	return names
}

// left reports whether dir holds anything.
func left(dir string) bool {
	_, err := os.Lstat(dir)
	return err == nil
}
