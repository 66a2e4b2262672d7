package agent

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/events"
	"mxcluster/internal/failover"
	"mxcluster/internal/services"
)

// holding is who has a LIM's alias, as the kernels say.
type holding struct {
	by    []string
	since time.Time // that these have it
	told  bool      // that there are too many
}

// twiceFor is for how long two servers that hear each other may both have an
// alias: a heartbeat must arrive, and the one that stops must see it.
func (s *simulation) twiceFor() time.Duration {
	d := time.Second + 3*min(max(s.limit/beatsInLimit, minBeat), maxBeat)
	if s.line.rough() {
		d += 10*time.Second + 2*s.limit
	}
	return d
}

// deadFor is for how long a LIM may stay dead though a server could run it:
// silence, the lease of a stopped or hung holder, an agent's start, the longest
// start and stop of software that the faults make, and the wait after a failure.
func (s *simulation) deadFor() time.Duration {
	d := retryLongest + 3*time.Minute + 5*s.limit + 2*s.lease
	if s.arb != nil {
		d += parkedKey + 2*s.arb.lease
	}
	return d
}

// live lets time pass, and looks at the invariants whenever an address comes or
// goes, and from time to time.
func (s *simulation) live(d time.Duration) {
	end := time.Now().Add(d)
	for {
		next := s.look()
		now := time.Now()
		if !now.Before(end) {
			return
		}
		timer := time.NewTimer(min(next, end.Sub(now)))
		select {
		case <-s.changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// look checks what must hold at every moment; it returns when to look again
// though no address changes.
func (s *simulation) look() time.Duration {
	next := time.Minute
	guests := map[string]int{} // how many LIMs of others a server has
	for _, l := range s.doc.LIMs {
		by := s.holders(l.Number)
		was := s.held[l.Number]
		if !slices.Equal(by, was.by) {
			s.lockKept(l.Number, was.by, by)
			was = holding{by: by, since: time.Now()}
		}
		for _, name := range by {
			if name != s.doc.RegularOf(l.Number).Name {
				guests[name]++
			}
		}
		if len(by) > 1 {
			next = min(next, s.lookForTwo(l.Number, &was))
			if s.arb != nil {
				s.lookForTwoAtAll(l.Number)
			}
		}
		s.held[l.Number] = was
	}
	for name, m := range s.servers {
		own := s.doc.Server(name).LIM
		up := slices.DeleteFunc(s.running(name), func(lim int) bool { return lim == own || s.clings[fmt.Sprint(name, " ", lim)] })
		if len(up) > 1 && s.calmFor(name) > time.Minute+s.lease {
			s.violated("%s runs the software of LIMs %v of others", name, up)
		}
		if guests[name] > 1 {
			s.violated("%s has the aliases of %d LIMs of others", name, guests[name])
		}
		s.onlyActive(m)
	}
	if s.members.change {
		s.lookForTwoBases()
		s.lookForRemoved()
	}
	s.lookForDead()
	return next
}

// lookForTwo checks one LIM whose alias two servers have.
func (s *simulation) lookForTwo(lim int, h *holding) time.Duration {
	a, b := h.by[0], h.by[1]
	since := later(h.since, s.deaf[pair(a, b)])
	if !s.hears(a, b) || h.told {
		return time.Minute
	}
	allowed := s.twiceFor()
	if lasted := time.Since(since); lasted > allowed {
		s.violated("the alias of LIM %d is on %v for %s; %s", lim, h.by, lasted, s.reasons(lim))
		h.told = true
	}
	return max(allowed-time.Since(since), 0) + time.Millisecond
}

func pair(a, b string) [2]string { return [2]string{min(a, b), max(a, b)} }

// hears reports whether two servers are up and hear each other.
func (s *simulation) hears(a, b string) bool {
	return s.trouble[a].slow == 0 && s.trouble[b].slow == 0 && s.reaches(a, b)
}

// reaches is that of servers whose disks may take their time.
func (s *simulation) reaches(a, b string) bool {
	for _, name := range []string{a, b} {
		m := s.servers[name]
		link, err := m.kernel.Link("eth0")
		if err != nil || !link.Up || m.agent == nil || m.agent.hasEnded() || s.trouble[name].isFrozen() {
			return false
		}
	}
	return !s.isCut(a, b) && !s.isCut(b, a)
}

// deafen notes which servers cannot hear each other now.
func (s *simulation) deafen() {
	names := s.names()
	for i, a := range names {
		for _, b := range names[i+1:] {
			if !s.hears(a, b) {
				s.deaf[pair(a, b)] = time.Now()
			}
		}
	}
}

// lockKept checks that a locked LIM does not come up on the other side, on a
// server that knows of the lock. Where it has run since before the lock, it may
// stay until it can move; its alias comes and goes there with the line.
func (s *simulation) lockKept(lim int, was, is []string) {
	for _, name := range is {
		if slices.Contains(was, name) || s.servers[name].agent == nil {
			continue
		}
		// What its agent works by: a lock that is on disk alone was not heard yet.
		ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Millisecond)
		var runs time.Time
		m, err := on(ctx, s.servers[name].agent.core, func() (clusterconf.Member, error) {
			runs = s.servers[name].agent.lims.of(lim).since
			if c := s.servers[name].agent.doc.ClusterOfLIM(lim); c != nil {
				return *c.Member(lim), nil
			}
			return clusterconf.Member{}, nil
		})
		cancel()
		if err == nil && lockedAgainst(m, name != s.doc.RegularOf(lim).Name, s.twiceFor()+3*time.Second) && !runs.Before(m.Lock.Since) && !s.heardOfADocument(name, runs) {
			s.violated("LIM %d is locked to the %s side and came up on %s; before on %v; %s", lim, m.Lock.To, name, was, s.reasons(lim))
		}
	}
}

// heardOfADocument reports whether another document came into force on a server since a time: what
// it started before that, it started by the former one.
func (s *simulation) heardOfADocument(name string, since time.Time) bool {
	list, err := s.servers[name].agent.Events(s.t.Context(), events.Query{Since: since})
	return err == nil && slices.ContainsFunc(list.Events, func(e events.Event) bool {
		return e.Server == name && (e.Kind == events.Document || e.Kind == events.Conflict && e.LIM == 0)
	})
}

// lockedAgainst reports whether a LIM has been locked to the other side for a time.
func lockedAgainst(m clusterconf.Member, standby bool, d time.Duration) bool {
	to := m.LockedTo(time.Now())
	return to != "" && (to == clusterconf.SideStandby) != standby && time.Since(m.Lock.Since) > d
}

// calmFor is how long a server has been without a disturbance.
func (s *simulation) calmFor(name string) time.Duration {
	if m := s.servers[name]; m.agent == nil || m.agent.hasEnded() || s.trouble[name].isFrozen() {
		return 0
	}
	return time.Since(s.disturb)
}

// lookForDead checks that no LIM is dead, long after the last disturbance,
// though its regular server or the standby could run it. Where servers hear each
// other in part only, who is to act is a matter of what they hear; those cases
// are left to the end, when everything is mended.
func (s *simulation) lookForDead() {
	if time.Since(s.disturb) < s.deadFor() || s.line.rough() || s.arb != nil && s.arb.ill {
		return
	}
	for _, l := range s.doc.LIMs {
		h := s.held[l.Number]
		if len(h.by) > 0 || h.told || time.Since(h.since) < s.deadFor() {
			continue
		}
		if who := s.couldRun(l.Number); who != "" {
			s.violated("LIM %d is dead for %s though %s could run it; %s", l.Number, time.Since(h.since), who, s.reasons(l.Number))
			h.told = true
			s.held[l.Number] = h
		}
	}
}

// couldRun names a server that could run a LIM and may, or "".
func (s *simulation) couldRun(lim int) string {
	standby, regular := s.standby(), s.doc.RegularOf(lim).Name
	m, clustered := s.member(regular, lim)
	there, _ := s.member(standby, lim) // who gave it up knows, though its regular server is down
	clear := s.hears(regular, standby)
	switch d := s.newest(); {
	case m.LockedTo(time.Now()) != "" || s.cutInPart() || d.RegularOf(lim) == nil || s.maintained() || s.disorders.strangers.on == lim:
		return ""
	case s.fit(regular, lim) && s.trouble[regular].unfitness() == "" && (clear || s.servers[standby].down) && s.heardByMost(regular):
		return regular
	case clustered && !m.Leaving && !there.Leaving && s.isStandbyOf(standby, lim) && !s.untold(standby) && s.fit(standby, lim) && s.trouble[standby].unfitness() == "" && (clear || s.servers[regular].down) && len(s.aliasesOf(standby)) == 0 && (s.preloaded() || len(s.running(standby)) == 0) && s.heardByMost(standby):
		return standby
	}
	return ""
}

// isStandbyOf reports whether a server knows that it is a LIM's standby.
func (s *simulation) isStandbyOf(name string, lim int) bool {
	d := s.worksBy(name)
	return d != nil && d.ClusterOfLIM(lim) != nil && d.ClusterOfLIM(lim).Standby == name
}

// worksBy returns the document that an agent of a server works by, or would after a
// start; nil: none.
func (s *simulation) worksBy(name string) *clusterconf.Document {
	store := s.servers[name].store
	if d := store.Look().Document; d != nil && d.System == s.doc.System {
		return d.Document
	}
	if d := store.Remembered(); d != nil {
		return d.Document
	}
	return nil
}

// cutInPart reports whether any cut is in force.
func (s *simulation) cutInPart() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.cut) > 0
}

// heardByMost reports whether a server hears another one, or a client that it heard while
// all was well: one that hears nobody takes nothing over, and one that receives nothing at
// all hides what it has, unless there are two of them only.
func (s *simulation) heardByMost(name string) bool {
	pair := len(s.newest().Servers) == 2 // nobody else could be a witness
	if pair || slices.ContainsFunc(clustered(s.newest()), func(n string) bool { return n != name && s.hears(n, name) }) {
		return true
	}
	m := s.servers[name]
	return m.agent != nil && m.agent.net.detector.Witnesses(nil).Others > 0
}

// fit reports whether a server has been able to run a LIM for long enough.
func (s *simulation) fit(name string, lim int) bool {
	m := s.servers[name]
	link, err := m.kernel.Link("eth0")
	x := s.trouble[name]
	return err == nil && link.Up && !m.down && m.agent != nil && !m.agent.hasEnded() && !x.isFrozen() && (x.disk == nil || x.memory == nil) && x.store == nil && x.slow == 0 && !s.limp[fmt.Sprint(name, " ", lim)] && !s.lacking[fmt.Sprint(name, " ", lim)]
}

func (s *simulation) aliasesOf(name string) []int {
	var out []int
	for _, l := range s.doc.LIMs {
		if slices.Contains(s.held[l.Number].by, name) {
			out = append(out, l.Number)
		}
	}
	return out
}

// terms checks every state that a server keeps: a term never goes back, but where the
// power went before it was saved.
type terms struct {
	mu      sync.Mutex
	highest map[string]uint64
	second  time.Time // that saves are counted in
	saves   map[string]int
}

// savesASecond is more than a server has reason for, whatever goes on; so many at
// one instant of virtual time would never come to the next.
const savesASecond = 500

func (x *terms) kept(s *simulation, server string, p persisted) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if second := time.Now().Truncate(time.Second); !second.Equal(x.second) {
		x.second, x.saves = second, map[string]int{}
	}
	if x.saves[server]++; x.saves[server] > savesASecond {
		panic(fmt.Sprintf("%s saves its state without end: %+v", server, p))
	}
	for lim, l := range p.LIMs {
		key := fmt.Sprint(server, " ", lim)
		if l.Known.Term < x.highest[key] {
			s.violated("the term of LIM %d went back from %d to %d on %s", lim, x.highest[key], l.Known.Term, server)
		}
		x.highest[key] = l.Known.Term
	}
}

// powerCut has a server know what it had saved, and no more: nothing of a LIM that is not
// in there, as where its disk failed from the start.
func (x *terms) powerCut(server string, p persisted) {
	x.mu.Lock()
	defer x.mu.Unlock()
	maps.DeleteFunc(x.highest, func(key string, _ uint64) bool { return strings.HasPrefix(key, server+" ") })
	for lim, l := range p.LIMs {
		x.highest[fmt.Sprint(server, " ", lim)] = l.Known.Term
	}
}

// finish mends everything but one server, and checks that the state comes which
// the rules demand, and stays.
func (s *simulation) finish() {
	defer s.onlyWhenLoaded()
	left := s.mend()
	s.live(brokenFor + 10*time.Second + 5*s.limit)
	s.joinLate(left)
	s.unlockAll(left) // again: what was edited while servers were apart may have won
	deadline := time.Now().Add(s.deadFor() + time.Minute)
	for s.wrong(left) != "" && time.Now().Before(deadline) {
		s.live(5 * time.Second)
	}
	for range 5 {
		if why := s.wrong(left); why != "" {
			s.violated("at the end: %s", why)
			return
		}
		s.live(2 * time.Second)
	}
}

// wrong says what is not as the rules demand it, worked out from the document
// and from who is up alone; "" is as it should be.
func (s *simulation) wrong(left string) string {
	d, err := s.servers[s.editor(left)].store.Read()
	switch {
	case s.untold(s.editor(left)):
		return "" // nobody else is up
	case err != nil:
		return err.Error()
	}
	if why := cmp.Or(s.wrongFree(d, left), s.wrongPending(d, left), s.wrongMembers(d, left), s.wrongDrains()); why != "" {
		return why
	}
	for _, x := range d.Servers {
		if own, err := s.servers[x.Name].store.Read(); x.Name != left && (err != nil || clusterconf.Hash(own) != clusterconf.Hash(d)) {
			return fmt.Sprintf("%s has another document than %s", x.Name, s.editor(left))
		}
	}
	if len(d.Clusters) == 0 {
		return s.wrongKeys(d, left)
	}
	c := &d.Clusters[0]
	guest := 0 // the LIM that the standby has
	for _, m := range c.LIMs {
		if slices.Contains(s.holders(m.LIM), c.Standby) {
			guest = m.LIM
		}
	}
	for _, m := range c.LIMs {
		if why := s.wrongLIM(c, m, left, guest); why != "" {
			return why + "; " + s.reasons(m.LIM)
		}
	}
	return s.wrongKeys(d, left)
}

func (s *simulation) wrongLIM(c *clusterconf.Cluster, m clusterconf.Member, left string, guest int) string {
	regular, by := s.doc.RegularOf(m.LIM).Name, s.holders(m.LIM)
	switch {
	case len(by) > 1:
		return fmt.Sprintf("LIM %d is on %v", m.LIM, by)
	case len(by) == 0 && left == regular && guest != 0 && c.Member(guest).Priority <= m.Priority && s.staysAway(c, guest):
		return "" // it waits: the standby runs one LIM
	case len(by) == 0 && left == regular && m.Leaving:
		return "" // it is not taken over any more
	case len(by) == 0:
		return fmt.Sprintf("LIM %d is dead", m.LIM)
	case !s.serves(m.LIM, by[0]):
		return fmt.Sprintf("LIM %d has its alias on %s and does not run there", m.LIM, by[0])
	case by[0] != regular && left != regular && c.Fallback == clusterconf.FallbackAutomatic && !s.staysAway(c, m.LIM):
		return fmt.Sprintf("LIM %d is on the standby, though fallback is automatic and %s is up", m.LIM, regular)
	}
	if c.Failover == clusterconf.FailoverPreloaded {
		return s.wrongPair(c, m.LIM, by[0], left)
	}
	for _, name := range s.names() {
		if name != by[0] && name != left && s.servers[name].softs[m.LIM].State() == services.Running {
			return fmt.Sprintf("the software of LIM %d runs on %s, its alias is on %s", m.LIM, name, by[0])
		}
	}
	return ""
}

// staysAway reports whether a LIM may stay on the standby: by manual fallback,
// or because it was moved there by order or failed on its regular server lately.
func (s *simulation) staysAway(c *clusterconf.Cluster, lim int) bool {
	return c.Fallback == clusterconf.FallbackManual || s.released(s.doc.RegularOf(lim).Name, lim) || s.heldBack(lim)
}

// heldBack reports whether flapping, or a fallback that failed, holds a LIM back
// from its automatic fallback.
func (s *simulation) heldBack(lim int) bool {
	m := s.servers[s.standby()]
	if m.agent == nil {
		return false
	}
	held, err := on(s.t.Context(), m.agent.core, func() (bool, error) {
		l := m.agent.lims.of(lim)
		return l.Suspended.Why != "" || l.Flaps.Recent(time.Now()) > 0, nil
	})
	return err == nil && held
}

// serves reports whether a LIM's software runs on a server, and its agent says so.
func (s *simulation) serves(lim int, on string) bool {
	m := s.servers[on]
	if m.agent == nil || m.softs[lim].State() != services.Running {
		return false
	}
	info, err := m.agent.Agent(s.t.Context())
	return err == nil && slices.ContainsFunc(info.LIMs, func(l control.LIMInfo) bool {
		return l.LIM == lim && l.State == string(failover.Running)
	})
}
