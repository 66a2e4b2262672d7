package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"mxcluster/internal/alarms"
	"mxcluster/internal/control"
	"mxcluster/internal/events"
	"mxcluster/internal/failover"
	"mxcluster/internal/fault"
	"mxcluster/internal/manager"
)

// ManagementSystem is what the agent asks of this server's half of the management system
// (package manager). Calls take as long as they need, beside the main loop, one at a time.
type ManagementSystem interface {
	// Look tells how it stands.
	Look(ctx context.Context) manager.Report
	// Promote has it accept writes once it has what the other server ended with; zero: at once.
	Promote(ctx context.Context, after manager.Position) (manager.Report, error)
	// Settle does, where it accepts writes, what need not be waited for.
	Settle(ctx context.Context, synchronous bool) error
	// Release ends it in order, for the other server to accept writes.
	Release(ctx context.Context) (manager.Position, error)
	// Follow makes it read-only and has it follow the other server; what it alone had is kept
	// aside in a file.
	Follow(ctx context.Context) (manager.Followed, error)
	// Serve starts or stops the web server.
	Serve(ctx context.Context, on bool) error
}

const (
	managementLook  = time.Second           // from one look to the next
	managementRetry = 2 * time.Second       // after something failed
	managementProbe = 20 * time.Millisecond // from one probe of an address in use to the next
	managementWants = time.Minute           // how long an order to fall back stands
	managementSlow  = 30 * time.Second      // how long it may not be redundant before that is an alarm
	managementLimit = 4 * time.Hour         // of one call: a copy takes long
)

// management is this server's half of the management system's pair. It is of the main loop.
type management struct {
	*core
	aliases *aliases
	copies  *copies
	lims    *lims
	link    *link
	peers   *peers

	report   manager.Report
	alone    time.Time // since when it is read-only and does not stream; zero: it does, or is not
	known    bool      // it was seen how PostgreSQL stands
	calls    int       // that were begun; what was seen before one is not how things are after it
	looked   time.Time
	looking  bool
	state    manager.State
	since    time.Time        // of the state
	released manager.Position // state released: how far its data go
	settled  *settled         // how things were when it was settled last; nil: it was not since it became active
	why      string           // of the last decision
	want     manager.Want
	ordered  time.Time // when somebody ordered the fallback; zero: nobody did

	op      context.CancelFunc // ends the call in progress; nil: none is
	doing   manager.Want       // that call is for
	retry   time.Time          // when to try again what failed
	failed  manager.Want       // what that was for
	failure string             // why; "": nothing failed
	gaveUp  bool               // the agent stops, and has begun to give up what is active here
	serves  bool               // the web server was started
	stopped bool               // it was stopped

	wanted  bool    // the virtual address is to be here
	hold    *holder // of the virtual address; nil: it is not held
	endHold context.CancelFunc
	addr    netip.Prefix
}

// settled is how things were when PostgreSQL was settled.
type settled struct{ followed, synchronous bool }

// tend decides and acts.
func (m *management) tend(now time.Time) {
	d := m.doc.Management
	pair, err := manager.Find(m.doc)
	role, ours := pair.RoleOf(m.cfg.Server)
	if d == nil || err != nil || !ours || m.deps.Management == nil {
		if m.op != nil {
			m.op() // it is no pair any more
		}
		m.letGo()
		m.state, m.report = "", manager.Report{}
		return
	}
	if m.stopping {
		return
	}
	if m.look(now); !m.known {
		return
	}
	v := m.view(pair, role, now)
	want, why := manager.Decide(v)
	if want != m.want || why != m.why {
		m.log.Info("the management system", "want", want, "why", why)
	}
	m.want, m.why = want, why
	m.tendAddress(d.Address, v)
	takesOver := want == manager.Lead && m.state != manager.Active
	if m.op != nil {
		if takesOver && m.doing != manager.Lead {
			m.op() // a takeover does not wait for it
		}
		return
	}
	if now.Before(m.retry) && (!takesOver || m.failed == manager.Lead) {
		return
	}
	switch {
	case takesOver:
		m.lead(d.Address, v)
	case want == manager.Lead && (m.settled == nil || *m.settled != settled{m.report.Followed, d.Synchronous}):
		m.settle(settled{m.report.Followed, d.Synchronous})
	case want == manager.Lead && !m.serves:
		m.serve(true)
	case want == manager.Release:
		m.release()
	case want == manager.Follow && m.mustFollow(v, now):
		m.follow()
	case want != manager.Lead && m.state == manager.Passive && !m.stopped:
		m.serve(false)
	}
}

// mustFollow reports whether PostgreSQL has to be brought to follow the other server: where it
// accepts writes or does not run at once, else when it does not stream again by itself.
func (m *management) mustFollow(v manager.View, now time.Time) bool {
	if !m.report.Running {
		return true
	}
	if !v.Heard || v.Other.State != manager.Active {
		return false
	}
	return m.report.Writes || !m.alone.IsZero() && now.Sub(m.alone) >= managementRetry
}

// view gathers what is decided by.
func (m *management) view(pair manager.Pair, role manager.Role, now time.Time) manager.View {
	l := m.lims.of(manager.Home)
	v := manager.View{Role: role, Fallback: m.doc.Management.Fallback, Here: m.word(now), LIM: l.serves(), Since: now.Sub(m.since)}
	p := m.peers.all[pair.Server(role.Other()).Name]
	if p == nil || p.Claim == nil {
		return v
	}
	v.Heard = p.Liveness == failover.Alive
	v.Other = p.management
	other := p.Claim.LIM(manager.Home)
	v.OtherLIM = v.Heard && (other.State == failover.Running || other.State == failover.Starting)
	return v
}

// word is what the other server is told.
func (m *management) word(now time.Time) manager.Word {
	w := manager.Word{State: m.state, Wants: !m.ordered.IsZero() && now.Sub(m.ordered) < managementWants}
	if !m.known && m.doc.Management != nil && m.deps.Management != nil {
		w.State = manager.Unseen
	}
	switch m.state {
	case manager.Released:
		w.Position = m.released
	case manager.Passive:
		w.Leads = m.op != nil && m.doing == manager.Lead
		if w.Ready = m.report.Streams && m.op == nil; !w.Ready {
			w.Position = m.report.Position
		}
	}
	return w
}

// look asks PostgreSQL how it stands, beside the main loop.
func (m *management) look(now time.Time) {
	if m.looking || m.op != nil || now.Sub(m.looked) < managementLook {
		return
	}
	m.looking = true
	calls := m.calls
	m.wg.Go(func() {
		r := m.deps.Management.Look(m.ctx)
		m.post(func() {
			m.looking, m.looked = false, time.Now()
			if m.op == nil && m.calls == calls {
				m.take(r)
			}
		})
	})
}

// take notes how PostgreSQL stands.
func (m *management) take(r manager.Report) {
	if r.Unclear { // what serves is not given up because it is slow
		m.report.Problem = r.Problem
		return
	}
	m.report, m.known = r, true
	switch {
	case !r.Running || r.Writes || r.Streams:
		m.alone = time.Time{}
	case m.alone.IsZero():
		m.alone = time.Now()
	}
	switch {
	case !r.SetUp:
		m.become("")
	case r.Running && r.Writes:
		m.become(manager.Active)
	case m.state != manager.Released || r.Running:
		m.become(manager.Passive)
	}
}

func (m *management) become(s manager.State) {
	if s == m.state {
		return
	}
	m.state, m.since, m.settled = s, time.Now(), nil
	if s == manager.Active {
		m.ordered = time.Time{}
	}
	switch s {
	case manager.Active:
		m.journal.management("active", fmt.Sprintf("the management system is active on %s: %s", m.cfg.Server, m.why))
	case manager.Passive:
		m.journal.management("passive", fmt.Sprintf("the management system is read-only on %s: %s", m.cfg.Server, m.why))
	case manager.Released:
		m.journal.management("released", fmt.Sprintf("the management system is given up on %s: %s", m.cfg.Server, m.why))
	}
}

// operate makes one call beside the main loop; what it returns is then done by that.
func (m *management) operate(does manager.Want, f func(ctx context.Context) (func(), error)) {
	ctx, cancel := context.WithTimeout(m.ctx, managementLimit)
	m.op, m.doing = cancel, does
	m.calls++
	m.wg.Go(func() {
		then, err := f(ctx)
		called := ctx.Err() != nil
		m.post(func() {
			cancel()
			m.op, m.doing = nil, ""
			if then != nil {
				then()
			}
			m.note(does, err, called)
		})
	})
}

// note notes what came of a call.
func (m *management) note(does manager.Want, err error, called bool) {
	switch {
	case err == nil:
		m.failure = ""
	case called:
	default:
		m.retry, m.failed = time.Now().Add(managementRetry), does
		if text := errText(err); text != m.failure {
			m.failure = text
			m.journal.management("failed", fmt.Sprintf("the management system on %s: %s", m.cfg.Server, text))
		}
	}
}

// lead has PostgreSQL accept writes, and takes the virtual address. Unless the other server
// gave it up it is probed for first: who answers for it may accept writes.
func (m *management) lead(addr netip.Prefix, v manager.View) {
	after, given := manager.Position{}, false
	if v.Other.State == manager.Released && v.Heard {
		after, given = v.Other.Position, true
	}
	n, here := m.net, m.hold != nil
	m.operate(manager.Lead, func(ctx context.Context) (func(), error) {
		if !given && !here {
			if err := m.fence(ctx, n, addr); err != nil {
				return nil, err
			}
		}
		r, err := m.deps.Management.Promote(ctx, after)
		if err != nil && !r.Running { // read-only as ever, it starts
			f, wrong := m.deps.Management.Follow(ctx)
			return func() { m.tell(f) }, errors.Join(err, wrong)
		}
		if err != nil {
			return nil, err
		}
		return func() {
			m.take(r)
			if m.hold == nil && m.wantsAddress(v) {
				m.takeAddress(addr)
			}
		}, nil
	})
}

// settle does what need not be waited for.
func (m *management) settle(s settled) {
	m.operate(manager.Stay, func(ctx context.Context) (func(), error) {
		err := m.deps.Management.Settle(ctx, s.synchronous)
		return func() {
			if err == nil {
				m.settled = &s
			}
		}, err
	})
}

// release gives the writes up. The virtual address stays until the other server has it: whoever
// calls is refused at once, and tries again.
func (m *management) release() {
	m.operate(manager.Release, func(ctx context.Context) (func(), error) {
		at, err := m.deps.Management.Release(ctx)
		return func() {
			if err == nil {
				m.released = at
				m.report = manager.Report{SetUp: true, Position: at}
				m.become(manager.Released)
			}
		}, err
	})
}

// follow has PostgreSQL follow the other server. What it alone had is told.
func (m *management) follow() {
	m.operate(manager.Follow, func(ctx context.Context) (func(), error) {
		f, err := m.deps.Management.Follow(ctx)
		r := m.deps.Management.Look(ctx)
		return func() {
			m.take(r)
			m.tell(f)
		}, err
	})
}

// tell tells that changes were kept aside in a file, and what was put right.
func (m *management) tell(f manager.Followed) {
	if f.Aside != "" {
		m.journal.management("kept-aside", fmt.Sprintf("%s had changes of the management system that the other server has not; they are kept aside in %s", m.cfg.Server, f.Aside))
	}
	for _, text := range f.Notes {
		m.journal.management("put-right", text)
	}
}

// serve starts or stops the web server.
func (m *management) serve(on bool) {
	m.operate(manager.Stay, func(ctx context.Context) (func(), error) {
		err := m.deps.Management.Serve(ctx, on)
		return func() {
			if err == nil {
				m.serves, m.stopped = on, !on
			}
		}, err
	})
}

// stop ends calls that an agent which stops does not wait for.
func (m *management) stop() {
	if m.op != nil && m.doing != manager.Release {
		m.op()
	}
}

// giveUp begins to give up what is active here, for the other server to take over at once.
func (m *management) giveUp() {
	if m.op == nil && m.state == manager.Active && !m.gaveUp {
		m.gaveUp = true
		m.release()
	}
}

// busy reports whether a call is in progress whose end the agent waits for.
func (m *management) busy() bool { return m.op != nil }

// leave ends with the agent: what is active stays so, and its address for the stop lease.
func (m *management) leave() {
	switch {
	case m.hold == nil:
	case m.state == manager.Released:
		m.letGo()
	default:
		m.endHold()
		if err := m.hold.with(func() error { return m.deps.Kernel.Hold(m.hold.ifname, m.hold.alias, m.cfg.StopLease) }); err != nil {
			m.log.Error("leaving the virtual address of the management system with its stop lease", "err", err)
		}
	}
}

// order takes the order to have the management system fall back to this server.
func (m *management) order(o control.Order) (*control.OrderResult, error) {
	d := m.doc.Management
	pair, err := manager.Find(m.doc)
	if err != nil {
		return nil, err
	}
	role, _ := pair.RoleOf(m.cfg.Server)
	if d == nil {
		return nil, fault.New(fault.Refused, "mxcluster manager setup", "the management system is not set up to be redundant")
	}
	switch l := m.lims.of(manager.Home); {
	case role != manager.Master:
		return nil, fault.New(fault.Refused, "run it on "+pair.Master.Name, "the management system falls back to %s, this is %s", pair.Master.Name, m.cfg.Server)
	case m.state == manager.Active:
		return &control.OrderResult{Accepted: true, Already: true, Target: m.cfg.Server, Text: "the management system is active on " + m.cfg.Server + " already"}, nil
	case l.State != failover.Running:
		return nil, fault.New(fault.Refused, "mxcluster fallback 1", "LIM %d is not back on %s yet", manager.Home, m.cfg.Server)
	case m.state == "" || !m.report.Streams:
		return nil, fault.New(fault.Refused, "mxcluster manager status", "the management system on %s has not caught up yet: %s", m.cfg.Server, m.words())
	case o.DryRun:
	default:
		m.ordered = time.Now()
		m.journal.order(o, m.cfg.Server)
	}
	return &control.OrderResult{Accepted: !o.DryRun, Target: m.cfg.Server, Text: "the management system falls back to " + m.cfg.Server}, nil
}

// words say how this half of the pair is.
func (m *management) words() string {
	for _, text := range []string{m.failure, m.report.Problem, m.why} {
		if text != "" {
			return text
		}
	}
	return "nothing is known of it"
}

// managementNotRedundant tells, where the management system is active, that nobody follows it,
// and anywhere that something of it fails.
func (a *conditions) managementNotRedundant() []alarms.Condition {
	m := a.management
	c := alarms.Condition{Name: alarms.ManagementNotRedundant, Severity: alarms.Warning, Server: a.cfg.Server, After: managementSlow}
	switch {
	case a.doc.Management == nil || m.state == "":
		return nil
	case m.failure != "":
		c.Text = fmt.Sprintf("the management system on %s fails: %s", a.cfg.Server, m.failure)
	case m.state == manager.Active && !m.report.Followed:
		c.Text = fmt.Sprintf("the management system is active on %s, and the other server does not follow it", a.cfg.Server)
	case m.state == manager.Passive && !m.report.Running:
		c.Text = fmt.Sprintf("PostgreSQL of the management system does not run on %s: %s", a.cfg.Server, m.words())
	default:
		return nil
	}
	return []alarms.Condition{c}
}

// management tells what the management system does on this server.
func (j *journal) management(is, text string) {
	j.record(slog.LevelWarn, events.Event{Kind: events.Management, Subject: j.name, Is: is, Text: text})
}
