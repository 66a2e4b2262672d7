package agent

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/failover"
	"mxcluster/internal/services"
	"mxcluster/internal/services/servicestest"
	"mxcluster/internal/whatif"
)

// promiseRule is one rule of the promise (package whatif). The promise is one without it
// where what the rule goes by is hidden from it.
type promiseRule struct {
	name string
	hide func(p *whatif.Present, x loss)
}

// loss is that of the server of a LIM, which another one is to cover.
type loss struct {
	lim      int
	from, to string
}

// promiseRules are those that betrayals put to the test, each by itself.
func promiseRules() []promiseRule {
	return []promiseRule{
		{"the server is down", func(p *whatif.Present, x loss) { revive(p, x, failover.Gone) }},
		{"its agent does not answer", func(p *whatif.Present, x loss) { revive(p, x, failover.AgentLost) }},
		{"it would hear nobody", func(p *whatif.Present, _ loss) {
			p.Gateway = true
			eachLIM(p, func(_ string, l *failover.LIMClaim) { l.NotTaken = "" })
		}},
		{"its software cannot start there", func(p *whatif.Present, _ loss) {
			eachLIM(p, func(_ string, l *failover.LIMClaim) { l.Unable = "" })
		}},
		{"its checks fail there", func(p *whatif.Present, _ loss) {
			eachLIM(p, func(_ string, l *failover.LIMClaim) { l.Unfit, l.Unchecked, l.Failing = "", "", "" })
		}},
		{failedRule, func(p *whatif.Present, x loss) {
			eachLIM(p, func(name string, l *failover.LIMClaim) {
				if name == x.to && l.LIM == x.lim && l.State == failover.Failed {
					l.State, l.Failure = failover.Stopped, ""
				}
			})
		}},
		{"there is no room for state", func(p *whatif.Present, x loss) { unhinder(p, x, "no room") }},
		{"the arbiter is not reached", func(p *whatif.Present, x loss) {
			unhinder(p, x, "arbiter")
			for _, s := range p.Servers {
				if s.Claim != nil && s.Claim.Arbiter == failover.ArbiterSilent {
					s.Claim.Arbiter = failover.ArbiterReached
				}
			}
		}},
		{strangerRule, func(p *whatif.Present, _ loss) {
			eachLIM(p, func(_ string, l *failover.LIMClaim) { l.ForeignMAC = "" })
		}},
		{"it has no data", func(p *whatif.Present, x loss) {
			have := p.Servers[x.from].Claim.LIM(x.lim).Data
			eachLIM(p, func(name string, l *failover.LIMClaim) {
				if name == x.to && l.LIM == x.lim && l.Data == nil {
					l.Data = have
				}
			})
		}},
		{"it has an older document", func(p *whatif.Present, _ loss) {
			for _, s := range p.Servers {
				if s.Claim != nil {
					s.Claim.Revision, s.Claim.Epoch = p.Document.Revision, p.Document.Epoch
				}
			}
		}},
		{"it runs another LIM", alone},
		{"the server is drained", func(p *whatif.Present, x loss) { p.Document.Server(x.to).Drained = nil }},
		{"the cluster is frozen", func(p *whatif.Present, x loss) { p.Document.ClusterOfLIM(x.lim).Frozen = nil }},
		{"the LIM is locked", func(p *whatif.Present, x loss) { p.Document.ClusterOfLIM(x.lim).Member(x.lim).Lock = nil }},
	}
}

// What these go by nobody knows who has not met the stranger, or started the software.
const (
	strangerRule = "a stranger uses the alias"
	failedRule   = "its software failed there"
)

// eachLIM changes what servers say of LIMs.
func eachLIM(p *whatif.Present, change func(name string, l *failover.LIMClaim)) {
	for name, s := range p.Servers {
		if s.Claim != nil {
			for i := range s.Claim.LIMs {
				change(name, &s.Claim.LIMs[i])
			}
		}
	}
}

// revive has a server that is as dead as that count as one that has just started.
func revive(p *whatif.Present, x loss, was failover.Liveness) {
	s := p.Servers[x.to]
	if s.Liveness != was && (was != failover.AgentLost || s.Claim == nil || !s.Claim.Parked && !s.Claim.Leaving) {
		return
	}
	s.Liveness = failover.Alive
	if s.Claim == nil {
		s.Claim = &failover.Claim{Server: x.to}
	}
	c := s.Claim
	c.Parked, c.Leaving, c.Isolated, c.Settled, c.Revision, c.Epoch = false, false, false, true, p.Document.Revision, p.Document.Epoch
	for i := range c.LIMs {
		c.LIMs[i].State, c.LIMs[i].Holds, c.LIMs[i].Released = failover.Stopped, false, false
	}
	p.Servers[x.to] = s
}

// unhinder takes away what a server says of what would keep it from taking anything over.
func unhinder(p *whatif.Present, x loss, words string) {
	c := p.Servers[x.to].Claim
	c.Hindered = slices.DeleteFunc(slices.Clone(c.Hindered), func(why string) bool { return strings.Contains(why, words) })
}

// alone has nothing run on a server, and nothing else be to run there.
func alone(p *whatif.Present, x loss) {
	c := p.Document.ClusterOfLIM(x.lim)
	for i := range c.LIMs {
		if m := &c.LIMs[i]; m.LIM != x.lim {
			m.Lock = &clusterconf.Lock{To: clusterconf.SideRegular, Since: p.Now.Add(-time.Hour)}
		}
	}
	eachLIM(p, func(name string, l *failover.LIMClaim) {
		if name == x.to && l.LIM != x.lim && l.State.Active() {
			l.State, l.Holds = failover.Stopped, false
		}
	})
}

// ownPresent is a copy of what a server knows that may be changed.
func ownPresent(p whatif.Present) whatif.Present {
	p.Document = p.Document.Clone()
	servers := map[string]whatif.Server{}
	for name, s := range p.Servers {
		if s.Claim != nil {
			c := *s.Claim
			c.LIMs = slices.Clone(c.LIMs)
			s.Claim = &c
		}
		servers[name] = s
	}
	p.Servers = servers
	return p
}

// rulesSayingYes are the rules without any one of which the standby would promise, now, that
// the loss of a LIM's server is covered. It does not promise it with all of them.
func (s *simulation) rulesSayingYes(x loss) []string {
	standby := s.servers[s.standby()]
	if standby.agent == nil || standby.agent.hasEnded() || s.trouble[standby.name].isFrozen() {
		return nil
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
	defer cancel()
	present, err := on(ctx, standby.agent.core, func() (whatif.Present, error) { return standby.agent.present(), nil })
	if err != nil || promised(present, x) || present.Servers[x.to].Claim == nil {
		return nil
	}
	var rules []string
	for _, r := range promiseRules() {
		p := ownPresent(present)
		if p.Document.ClusterOfLIM(x.lim) == nil {
			return nil
		}
		if r.hide(&p, x); promised(p, x) {
			rules = append(rules, r.name)
		}
	}
	return rules
}

// promised reports whether the loss of a LIM's server is promised to be covered.
func promised(p whatif.Present, x loss) bool {
	c := p.Document.ClusterOfLIM(x.lim)
	if c == nil {
		return false
	}
	promise := whatif.Promises(p, c)[x.lim]
	return promise.Covered != nil && *promise.Covered && promise.By == x.to
}

// betrayedRules are the rules of the promise that were found to be missed.
type betrayedRules struct {
	mu    sync.Mutex
	first map[string]betrayedRule
	times map[string]int
}

// betrayedRule is where a rule was missed first.
type betrayedRule struct {
	seed  uint64
	after time.Duration // of clusters' lives
}

func (b *betrayedRules) add(seed uint64, after time.Duration, rules []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.first == nil {
		b.first, b.times = map[string]betrayedRule{}, map[string]int{}
	}
	for _, name := range rules {
		if b.times[name]++; b.times[name] == 1 {
			b.first[name] = betrayedRule{seed, after}
		}
	}
}

// missing are the rules that were not missed yet.
func (b *betrayedRules) missing() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for _, r := range promiseRules() {
		if b.times[r.name] == 0 {
			out = append(out, r.name)
		}
	}
	return out
}

// tell prints where the promise would have been broken without one of its rules.
func (b *betrayedRules) tell(t *testing.T) {
	missing := b.missing()
	for _, r := range promiseRules() {
		if slices.Contains(missing, r.name) {
			t.Logf("without %q: not found", r.name)
			continue
		}
		first := b.first[r.name]
		t.Logf("without %q: found by seed %d, after %.1f cluster-hours; %d times in all", r.name, first.seed, first.after.Hours(), b.times[r.name])
	}
}

// betrayalsEach is how often a life of betrayals alone is betrayed.
const betrayalsEach = 8

// playBetrayals plays a life in which one thing is out of order at a time, long enough to
// be seen, before a LIM loses its server.
func playBetrayals(t *testing.T, seed uint64, sum *played) {
	s := newSimulation(t, seed)
	defer s.end(seed)
	began := time.Now()
	defer func() {
		sum.answered.add(s.betrayals.sum)
		sum.answered.rules.add(seed, sum.played()+time.Since(began), s.betrayals.rules)
	}()
	if s.clients = seed%2 == 0; s.clients { // who ask whoever has the alias, and are heard where nobody else is
		s.talkEvery(min(s.limit/4, time.Second))
	}
	s.start(s.names()...)
	s.live(20*time.Second + 5*s.limit)
	rnd := s.betrayals.rnd
	for _, kind := range rnd.Perm(disarrangements)[:betrayalsEach] {
		lim := s.disarrange(kind, pick(rnd, s.doc.LIMs...).Number)
		s.touched()
		s.live(s.seenFor() + 3*s.limit)
		s.betrayNow(lim)
		s.arrange()
		s.live(20*time.Second + 5*s.limit)
	}
	s.finish()
}

// disarrangements is how many kinds of things there are that may be out of order.
const disarrangements = 15

// disarrange has one thing be out of order that a promise about a LIM takes in. It returns
// the LIM that this is about, which may be another one.
func (s *simulation) disarrange(kind, lim int) int {
	rnd, regular := s.betrayals.rnd, s.doc.RegularOf(lim).Name
	on := pick(rnd, regular, s.standby())
	s.deafen()
	switch kind {
	case 0:
		s.drain(regular, on, time.Hour)
	case 13:
		s.freeze(regular, time.Hour)
	case 1:
		s.lockSome(on, lim)
	case 2:
		failingChecks{}.begin(s, rnd, on)
	case 3:
		s.loseProgram(on, lim)
	case 4:
		s.newVersion(on, true)
	case 5:
		s.trouble[on].set(func(x *trouble) { x.disk, x.memory = errDisk, errDisk })
		s.note("no room on %s", on)
	case 6:
		s.disorders.strangers.begin(s, rnd, on)
		s.disorders.strangers.announce(s)
		return s.disorders.strangers.on
	case 7:
		if s.arb != nil {
			s.note("%s does not reach the arbiter", on)
			s.arb.Cut(on, true)
			s.arb.ill = true
		}
	case 8: // the server where it would go back to has no agent
		s.orderFailover(lim)
		s.live(10 * time.Second)
		s.toggle(regular, lim)
	case 9:
		s.power(on, lim)
	case 10:
		s.leaveAlone(lim)
	case 11: // an older document
		s.trouble[on].set(func(x *trouble) { x.store = errDisk })
		s.note("%s stores no document", on)
		s.editSome(pick(rnd, regular, s.standby()), lim)
	case 12: // software that does not start any more on its own server
		m := s.servers[regular]
		s.note("the software of LIM %d fails on %s", lim, m.name)
		m.softs[lim].Script(servicestest.VerbStart, servicestest.Step{Err: errBroken})
		s.limp[m.name+" "+strconv.Itoa(lim)] = true
		m.softs[lim].SetState(services.Stopped)
	default:
		s.orderFailover(lim)
	}
	return lim
}

// leaveAlone leaves the standby with the server of one LIM, and no gateway. The others are
// locked to their servers, so that it is free.
func (s *simulation) leaveAlone(lim int) {
	for _, l := range s.doc.LIMs {
		if l.Number != lim {
			s.lock(s.standby(), l.Number, &clusterconf.Lock{To: clusterconf.SideRegular, Since: time.Now().UTC().Truncate(time.Millisecond), By: "test"})
		}
	}
	s.live(10 * time.Second)
	s.note("%s and the server of LIM %d are left", s.standby(), lim)
	for _, r := range s.disorders.routers.all {
		s.segment.Disconnect(r.kernel)
		r.down = true
	}
	for _, name := range s.names() {
		if name != s.standby() && s.doc.Server(name).LIM != lim && !s.servers[name].down {
			s.power(name, 0)
		}
	}
}

// orderFailover moves a LIM to the standby.
func (s *simulation) orderFailover(lim int) {
	if m := s.servers[s.standby()]; m.agent != nil && !m.agent.hasEnded() {
		ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
		defer cancel()
		_, err := m.agent.Order(ctx, control.Order{Kind: control.OrderFailover, LIM: lim, Now: true})
		s.note("failover of LIM %d: %v", lim, err)
	}
}

// arrange has all be in order again.
func (s *simulation) arrange() {
	s.deafen()
	s.healAll("", 0)
	s.arb.heal(s)
	s.disorders.heal(s)
	for _, name := range s.names() {
		m := s.servers[name]
		s.trouble[name].set(func(x *trouble) { x.disk, x.memory, x.store = nil, nil, nil })
		for lim := range m.softs {
			s.mendSoftware(name, lim)
		}
		if m.down || m.agent == nil || m.agent.hasEnded() {
			s.revive(name)
		}
	}
	s.copyData()
	s.unlockAll("")
	s.touched()
}
