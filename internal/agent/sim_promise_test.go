package agent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/failover"
	"mxcluster/internal/status"
)

// betrayals put to the test what servers promise: whether the loss of the server where a
// LIM is active would be covered. They have dice of their own.
type betrayals struct {
	rnd   *rand.Rand
	sum   betrayed
	rules []string // of the promise, that would be missed: see [promiseRules]
}

// betrayed counts the answers of servers of which it was seen whether they are true.
type betrayed struct {
	yes, no, unknown int
	why              map[string]int // by the reason of a no
}

func (b *betrayed) add(other betrayed) {
	b.yes, b.no, b.unknown = b.yes+other.yes, b.no+other.no, b.unknown+other.unknown
	if b.why == nil {
		b.why = map[string]int{}
	}
	for why, n := range other.why {
		b.why[why] += n
	}
}

// answer is what one server says of a LIM.
type answer struct {
	by      string
	covered *bool
	why     string
}

func (a answer) String() string {
	switch {
	case a.covered == nil:
		return fmt.Sprintf("%s does not know (%s)", a.by, a.why)
	case *a.covered:
		return fmt.Sprintf("%s says yes (%s)", a.by, a.why)
	}
	return fmt.Sprintf("%s says no (%s)", a.by, a.why)
}

// ended reports whether what an answer rests on has ended by itself, as it says.
func (a answer) ended(now time.Time) bool {
	_, until, ok := strings.Cut(a.why, " until ")
	until, _, _ = strings.Cut(until, " ")
	end, err := time.Parse(time.RFC3339, until)
	return ok && err == nil && now.After(end)
}

func (a answer) yes() bool { return a.covered != nil && *a.covered }
func (a answer) no() bool  { return a.covered != nil && !*a.covered }

// seenFor is how old what a promise rests on may be: how long it may take until a standby
// sees what happens to the servers, and says what it follows from that.
func (s *simulation) seenFor() time.Duration {
	d := 2*s.limit + // silence, and an isolation that ends
		2*max(roomPeriod, softwarePeriod, chorePeriod) + // what is looked at
		max(time.Second, s.limit/2) + // the health of software
		2*chorePeriod + time.Second + 3*maxBeat // looking ahead, and telling
	if s.arb != nil {
		d += 2 * s.arb.lease
	}
	return d
}

// passing is for how long a no may be said that is true no more: locks and freezes end by
// themselves.
func (s *simulation) passing() time.Duration { return lookAgain + s.seenFor() }

// servedFor is how long a LIM may be away when it loses its server, and nothing else
// happens: silence, the lease at the arbiter, and the start of software, which may end
// another LIM's first.
func (s *simulation) servedFor(by string) time.Duration {
	d := s.servedSoon()
	if s.isAny(s.slowed, by) {
		d += 2 * 40 * time.Second
	}
	return d + 3*s.trouble[by].slow
}

// servedSoon is that where software is quick. What is served later, as when a LIM on the
// standby goes home by itself, is not covered.
func (s *simulation) servedSoon() time.Duration {
	d := 5*time.Second + 2*s.limit
	if s.arb != nil {
		d += 2*s.arb.lease + parkedKey
	}
	if s.line.rough() || s.arb != nil && s.arb.ill {
		d += 10*time.Second + 2*s.limit
	}
	return d
}

// isAny reports whether any software on a server is in a kind of trouble.
func (s *simulation) isAny(kind map[string]bool, name string) bool {
	return slices.ContainsFunc(s.doc.LIMs, func(l clusterconf.LIM) bool { return kind[fmt.Sprint(name, " ", l.Number)] })
}

// betray reads from time to time what all servers say of a LIM, takes its server away, and
// sees who was right. No second thing happens sooner than a promise may be old.
func (s *simulation) betray() {
	if rnd := s.betrayals.rnd; rnd.IntN(2) > 0 {
		s.betrayNow(pick(rnd, s.doc.LIMs...).Number)
	}
}

// betrayNow does it to the server of a LIM.
func (s *simulation) betrayNow(lim int) {
	rnd := s.betrayals.rnd
	cutOff := rnd.IntN(3) == 0
	s.live(max(s.seenFor()-time.Since(s.disturb), 0) + time.Duration(rnd.Int64N(int64(5*time.Second))))
	from := s.server(lim)
	if from == "" {
		return
	}
	said := s.answers(lim, from)
	if slices.ContainsFunc(said, answer.no) {
		s.live(s.passing())
		said = s.stillSaid(said, lim, from)
	}
	if s.server(lim) != from || !slices.ContainsFunc(said, func(a answer) bool { return a.covered != nil }) {
		s.betrayals.sum.unknown += len(said)
		return
	}
	to, _ := s.otherOf(lim, from)
	rules := s.rulesSayingYes(loss{lim, from, to})
	s.note("LIM %d on %s, cut off %v; %v; yes without one of %q", lim, from, cutOff, said, rules)
	had, guests, soon := s.hadData(from), s.guests(to, lim), s.servedSoon()+3*s.trouble[to].slow
	makesRoom := slices.ContainsFunc(guests, func(guest int) bool { return s.goesHomeWithin(guest, to, soon) })
	failed := s.failedOn(to, lim) || slices.ContainsFunc(guests, func(guest int) bool { return s.failedOn(s.doc.RegularOf(guest).Name, guest) })
	// What is said is what the standby sees: of a server that it does not hear it does not know whom that one hears.
	unseen := from == s.newest().ClusterOfLIM(lim).Standby &&
		slices.ContainsFunc(s.names(), func(n string) bool { return (n == to || n != from && s.reaches(to, n)) && !s.reaches(from, n) })
	s.lose(from, cutOff)
	began, within := time.Now(), s.servedFor(to)
	covered := false
	for !covered && time.Since(began) < within {
		s.live(max(s.limit/10, 20*time.Millisecond))
		covered = s.nowServes(lim, to, had) && !slices.ContainsFunc(guests, func(guest int) bool { return !s.servedBeside(guest, to) })
	}
	took := time.Since(began)
	s.note("LIM %d is covered by %s: %v, after %s", lim, to, covered, took)
	for _, a := range said {
		if a.no() && covered && (makesRoom || failed || unseen || a.ended(time.Now())) { // it was true when it was said, or nobody has tried since
			s.betrayals.sum.unknown++
			continue
		}
		if a.no() && took > soon {
			s.judge(a, lim, from, to, false, soon)
		} else {
			s.judge(a, lim, from, to, covered, within)
		}
	}
	for _, rule := range rules {
		if !covered && (rule == failedRule || !s.unknowable(lim, to, rule == strangerRule)) {
			s.betrayals.rules = append(s.betrayals.rules, rule)
		}
	}
	if rnd.IntN(2) == 0 {
		s.giveBack(from, cutOff)
	}
}

// lose takes a server's power, or has nobody hear it.
func (s *simulation) lose(name string, cutOff bool) {
	s.deafen()
	if cutOff {
		s.partition(true, name, s.allBut(name)...)
		if s.arb != nil {
			s.arb.Cut(name, true)
			s.arb.ill = true
		}
	} else {
		s.power(name, 0)
	}
	s.touched()
}

// giveBack ends that.
func (s *simulation) giveBack(name string, cutOff bool) {
	s.note("%s is there again", name)
	s.deafen()
	switch {
	case cutOff:
		s.partition(false, name, s.allBut(name)...)
		if s.arb != nil {
			s.arb.Cut(name, false)
		}
	case s.servers[name].down:
		s.boot(name)
		s.live(100 * time.Millisecond) // until its agent denies what it does not hold; a unit of its own does so before the network is up
	}
	s.touched()
}

// allBut are all servers and routers that one server may hear.
func (s *simulation) allBut(name string) []string {
	return slices.Concat(slices.DeleteFunc(s.names(), func(n string) bool { return n == name }), s.disorders.routers.names())
}

// server is who serves a LIM of the cluster, and says so; "": nobody, or several.
func (s *simulation) server(lim int) string {
	by := s.holders(lim)
	if _, clustered := s.member(s.standby(), lim); !clustered || len(by) != 1 || !s.serves(lim, by[0]) && s.servers[by[0]].agent != nil {
		return ""
	}
	if _, ok := s.otherOf(lim, by[0]); !ok {
		return ""
	}
	return by[0]
}

// otherOf is the other server of a LIM.
func (s *simulation) otherOf(lim int, from string) (string, bool) {
	d := s.newest()
	c, regular := d.ClusterOfLIM(lim), d.RegularOf(lim)
	switch {
	case c == nil || regular == nil:
		return "", false
	case from == c.Standby:
		return regular.Name, true
	case from == regular.Name:
		return c.Standby, true
	}
	return "", false
}

// answers are what the live servers say of the loss of a LIM's server.
func (s *simulation) answers(lim int, from string) []answer {
	var out []answer
	for _, name := range s.names() {
		st := s.published(name)
		if st == nil {
			continue
		}
		l := st.LIM(lim)
		if l == nil || l.ActiveOn == nil || *l.ActiveOn != from {
			continue
		}
		out = append(out, answer{by: name, covered: l.Redundant, why: l.RedundantWhy})
	}
	return out
}

// stillSaid are the answers of those who say the same as a while ago.
func (s *simulation) stillSaid(before []answer, lim int, from string) []answer {
	var out []answer
	for _, a := range s.answers(lim, from) {
		if slices.ContainsFunc(before, func(b answer) bool { return b.by == a.by && b.yes() == a.yes() && b.no() == a.no() }) {
			out = append(out, a)
		}
	}
	return out
}

// published is what a server's agent tells of the cluster; nil: it does not answer.
func (s *simulation) published(by string) *status.ClusterStatus {
	m := s.servers[by]
	if m.agent == nil || m.agent.hasEnded() || s.trouble[by].isFrozen() {
		return nil
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
	defer cancel()
	st, err := m.agent.Status(ctx)
	if err != nil {
		return nil
	}
	return st
}

// guests are the other LIMs that a server serves.
func (s *simulation) guests(on string, but int) []int {
	var out []int
	for _, l := range s.doc.LIMs {
		if l.Number != but && s.nowServes(l.Number, on, false) {
			out = append(out, l.Number)
		}
	}
	return out
}

// goesHomeWithin reports whether a LIM leaves the standby by itself within a time: what holds
// its fallback back ends then.
func (s *simulation) goesHomeWithin(lim int, standby string, d time.Duration) bool {
	st := s.published(standby)
	if st == nil || st.LIM(lim) == nil {
		return false
	}
	held := time.Duration(st.LIM(lim).Fallback.HeldForMs) * time.Millisecond
	return held > 0 && held <= d
}

// servedBeside reports whether a LIM is served by a server or by one that it hears.
func (s *simulation) servedBeside(lim int, name string) bool {
	return slices.ContainsFunc(s.holders(lim), func(by string) bool { return (by == name || s.reaches(by, name)) && s.serves(lim, by) })
}

// hadData reports whether a server has a data version.
func (s *simulation) hadData(name string) bool { return s.servers[name].newestData(0).Newest != nil }

// nowServes reports whether a server serves a LIM that it has taken over: on data, where
// there are some.
func (s *simulation) nowServes(lim int, on string, data bool) bool {
	if !slices.Contains(s.holders(lim), on) || !s.serves(lim, on) {
		return false
	}
	_, version := s.told(on, lim)
	return !data || version != ""
}

// judge compares an answer with what came.
func (s *simulation) judge(a answer, lim int, from, to string, covered bool, within time.Duration) {
	switch {
	case a.covered == nil:
		s.betrayals.sum.unknown++
		return
	case *a.covered && s.unknowable(lim, to, false):
		return
	case !*a.covered && (s.line.rough() || s.cutInPart() && !s.hears(a.by, to)): // who does not hear a server takes it for dead
		return
	case *a.covered:
		s.betrayals.sum.yes++
	default:
		s.betrayals.sum.no++
		s.betrayals.sum.add(betrayed{why: map[string]int{plain(a.why): 1}})
	}
	if *a.covered != covered {
		s.violated("LIM %d loses %s: %s, and within %s it is covered by %s: %v; %s", lim, from, a, within, to, covered, strings.TrimSpace(s.reasons(lim)))
	}
}

// unknowable reports whether something keeps a LIM from starting on a server that nobody can
// know before: its software, or a stranger on its alias whom nobody has met.
func (s *simulation) unknowable(lim int, to string, met bool) bool {
	return s.limp[fmt.Sprint(to, " ", lim)] || s.isAny(s.clings, to) || s.disorders.strangers.on == lim && !met
}

// failedOn reports whether a LIM's software failed on a server.
func (s *simulation) failedOn(name string, lim int) bool {
	m := s.servers[name]
	if m.agent == nil || m.agent.hasEnded() {
		return false
	}
	info, err := m.agent.Agent(s.t.Context())
	return err == nil && slices.ContainsFunc(info.LIMs, func(l control.LIMInfo) bool { return l.LIM == lim && l.State == string(failover.Failed) })
}

var names = regexp.MustCompile(`\b(srv|sb|free)\d+\b|\b[0-9][0-9:.TZ-]*\b`)

// plain is a reason without names and numbers.
func plain(why string) string {
	return strings.TrimSpace(names.ReplaceAllString(strings.SplitN(why, ":", 2)[0], "*"))
}

// answered collects what all lives have tested.
type answered struct {
	mu    sync.Mutex
	sum   betrayed
	rules betrayedRules
}

func (a *answered) add(b betrayed) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sum.add(b)
}

// tell prints how many promises of each kind were put to the test, and which reasons.
func (a *answered) tell(t *testing.T) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t.Logf("promises put to the test: %d true, %d false, %d not known", a.sum.yes, a.sum.no, a.sum.unknown)
	var lines []string
	for why, n := range a.sum.why {
		lines = append(lines, fmt.Sprintf("%6d false: %s", n, why))
	}
	slices.Sort(lines)
	for _, l := range slices.Backward(lines) {
		t.Log(l)
	}
}
