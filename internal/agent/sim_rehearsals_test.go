package agent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/failover"
	"mxcluster/internal/rehearsal"
	"mxcluster/internal/services"
	"mxcluster/internal/services/servicestest"
)

// rehearsing are rehearsals, by order and nightly, while all kinds of things happen.
type rehearsing struct{}

func (rehearsing) begin(s *simulation, rnd *rand.Rand, on string) {
	lim, takes := pick(rnd, s.doc.LIMs...).Number, pick(rnd, time.Second, 5*time.Second, time.Minute, 10*time.Minute)
	ending := pick(rnd, 0, 40*time.Millisecond, 400*time.Millisecond)
	result := pick(rnd, failover.RehearsalOK, failover.RehearsalOK, failover.RehearsalFailed)
	nightly := pick(rnd, clusterconf.RehearseOff, clusterconf.RehearseNightly)
	for _, m := range s.servers {
		m.stage.change(takes, ending, result)
	}
	if rnd.IntN(3) == 0 {
		s.note("rehearse %s on %s", nightly, on)
		s.change(on, func(c *clusterconf.Cluster) { c.Rehearse = nightly })
		return
	}
	agent := s.servers[on].agent
	if agent == nil {
		return
	}
	s.note("rehearsal of LIM %d via %s; one takes %s and is %s", lim, on, takes, result)
	s.pumps.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		res, err := agent.Order(ctx, control.Order{Kind: control.OrderRehearse, LIM: lim})
		s.note("answer to a rehearsal of LIM %d: %+v, %v", lim, res, err)
	})
}

// end checks that nobody shows a rehearsal as good that did not come to its end.
func (rehearsing) end(s *simulation, _ string) { s.onlyRehearsed() }

// onlyRehearsed checks what standbys show of rehearsals.
func (s *simulation) onlyRehearsed() {
	for name, m := range s.servers {
		st := s.published(name)
		if st == nil {
			continue
		}
		for _, l := range s.doc.LIMs {
			shown := st.LIM(l.Number)
			if shown == nil || shown.Rehearsal == nil || st.Observer != s.standby() {
				continue
			}
			r := shown.Rehearsal
			if good := m.stage.good(l.Number); r.Result == string(failover.RehearsalOK) && (good.IsZero() || good.After(r.At.Add(time.Second))) {
				s.violated("%s shows the rehearsal of LIM %d as %+v, and it came to its end at %s", name, l.Number, *r, good)
			}
		}
	}
}

// change sets how rehearsals go that begin from now on.
func (s *stage) change(takes, ending time.Duration, result failover.RehearsalResult) {
	s.set(result, "on trial")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takes, s.ending = takes, ending
}

// good is when a rehearsal of a LIM came to its end first; zero: none did.
func (s *stage) good(lim int) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended[lim]
}

// rehearses gives an agent a place to rehearse, and checks that software is started only
// when nothing of a rehearsal is there.
func (s *simulation) rehearses(m *machine, d Deps) Deps {
	x := s.trouble[m.name]
	d.Rehearse = func(ctx context.Context, spec rehearsal.Spec) (failover.Rehearsal, error) {
		x.pass()
		r, err := m.stage.rehearse(ctx, spec)
		x.pass()
		return r, err
	}
	d.EndRehearsals = func(limit time.Duration) error { x.pass(); return m.stage.endAll(limit) }
	d.Software = func(l *clusterconf.LIM, _ clusterconf.Side) (services.Set, error) {
		return services.Set{watchedSoftware{m.softs[l.Number], s, m, l.Number}}, nil
	}
	return d
}

// watchedSoftware is a LIM's software of which is seen when it starts.
type watchedSoftware struct {
	*servicestest.Fake
	s   *simulation
	m   *machine
	lim int
}

func (w watchedSoftware) Start(ctx context.Context, env services.Env) error {
	if lim := w.m.stage.onStage(); lim != 0 {
		w.s.violated("LIM %d is started on %s while LIM %d is rehearsed there", w.lim, w.m.name, lim)
	}
	return w.Fake.Start(ctx, env)
}

// onStage is the LIM that is rehearsed; 0: none is.
func (s *stage) onStage() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone == nil {
		return 0
	}
	return s.lims[len(s.lims)-1]
}

// drainingCalls are planned moves that let a LIM's calls end first, while all kinds of
// things happen; some are called off.
type drainingCalls struct{}

func (drainingCalls) begin(s *simulation, rnd *rand.Rand, via string) {
	m, lim := s.servers[via], pick(rnd, s.doc.LIMs...).Number
	o := control.Order{Kind: pick(rnd, control.OrderFailover, control.OrderFallback), LIM: lim, Now: rnd.IntN(2) == 0, DrainCalls: pick(rnd, time.Second, time.Minute, 10*time.Minute)}
	patience := pick(rnd, 5*time.Second, time.Minute, 3*time.Minute)
	step := pick(rnd, servicestest.Step{}, servicestest.Step{After: 2 * time.Second}, servicestest.Step{After: time.Minute}, servicestest.Step{After: time.Hour},
		servicestest.Step{After: time.Second, Err: errBroken}, servicestest.Step{Err: servicestest.ErrUnknown})
	if m.agent == nil {
		return
	}
	for _, other := range s.servers {
		other.softs[lim].Script(servicestest.VerbDrain, step)
	}
	s.note("order via %s: %s %d, its calls have %s to end, and take %s (%v); called off after %s", via, o.Kind, lim, o.DrainCalls, step.After, step.Err, patience)
	agent := m.agent
	s.pumps.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		began := time.Now()
		res, err := agent.Order(ctx, o)
		s.note("answer to %s %d after %s: %+v, %v", o.Kind, lim, time.Since(began), res, err)
	})
}

func (drainingCalls) end(*simulation, string) {}

// wrongDrains says where calls are drained though nobody waits for that any more; "": nowhere.
func (s *simulation) wrongDrains() string {
	for name, m := range s.servers {
		if m.agent == nil || m.agent.hasEnded() {
			continue
		}
		n, err := on(s.t.Context(), m.agent.core, func() (int, error) { return len(m.agent.orders.draining), nil })
		if err == nil && n > 0 {
			return fmt.Sprintf("%s drains calls for nobody", name)
		}
	}
	return ""
}
