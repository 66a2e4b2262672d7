package agent

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/events"
	"mxcluster/internal/failover"
	"mxcluster/internal/services"
	"mxcluster/internal/services/servicestest"
	"mxcluster/netops"
)

// drawPreloaded makes half of the clusters of one regular server preloaded ones.
func (s *simulation) drawPreloaded(c *clusterconf.Cluster) {
	if len(c.LIMs) == 1 && s.rnd.IntN(2) == 0 {
		c.Failover = clusterconf.FailoverPreloaded
	}
}

func (s *simulation) preloaded() bool {
	return s.doc.Clusters[0].Failover == clusterconf.FailoverPreloaded
}

// onlyActive checks that a server lets an alias onto the wire only where it kept
// before that the LIM is active there. It is asked before each change that an agent
// makes to a kernel, so that no state between two of them is missed.
func (s *simulation) onlyActive(m *machine) {
	s.mu.Lock()
	down, edited := m.down, s.edited
	s.mu.Unlock()
	if down {
		return // it is being taken apart
	}
	m.state.mu.Lock()
	defer m.state.mu.Unlock()
	known := m.state.known()
	for _, l := range s.doc.LIMs {
		if known.LIMs[l.Number].Active || !s.onWire(m, l.Number) || time.Since(edited) <= time.Minute {
			continue
		}
		if self, ok := s.self(m.name, known); ok && self.Base != s.alias(l.Number) {
			s.violated("%s has the alias of LIM %d on the wire and did not keep that it is active", m.name, l.Number)
		}
	}
}

// onWire reports whether a server has a LIM's alias on any interface, and does not keep
// it off the wire.
func (s *simulation) onWire(m *machine, lim int) bool {
	alias := s.alias(lim).Addr()
	addrs, err := m.kernel.Addresses("")
	has := slices.ContainsFunc(addrs, func(a netops.Address) bool { return a.Prefix.Addr() == alias })
	denied, deniedErr := m.kernel.Denied()
	return err == nil && deniedErr == nil && has && !slices.Contains(denied, alias)
}

// newData has a new data version made on a server; the other one gets it at once,
// or later.
func (s *simulation) newData(name string, _ int) { s.newVersion(name, s.rnd.IntN(2) == 0) }

// copyData synchronises all servers that are up.
func (s *simulation) copyData() {
	var newest *failover.Data
	for _, m := range s.servers {
		if d := m.newestData(1).Newest; d != nil && !m.down && (newest == nil || d.Newest.After(newest.Newest)) {
			newest = d
		}
	}
	for _, m := range s.servers {
		if newest != nil && !m.down {
			m.setData(newest)
		}
	}
}

// troubleReload has software not take its role or its data, or take long for it.
func (s *simulation) troubleReload(name string, lim int) {
	step := pick(s.rnd, servicestest.Step{Err: errBroken}, servicestest.Step{After: time.Second}, servicestest.Step{After: 40 * time.Second})
	s.note("the software of LIM %d on %s reloads with %+v", lim, name, step)
	s.servers[name].softs[lim].Script(servicestest.VerbReload, step)
	s.slowed[fmt.Sprint(name, " ", lim)] = true
}

// wrongPair says what is not as it should be on the two sides of a preloaded
// cluster, of which one serves.
func (s *simulation) wrongPair(c *clusterconf.Cluster, lim int, active, left string) string {
	if role, _ := s.told(active, lim); role != roleActive {
		return fmt.Sprintf("LIM %d runs on %s, where it was told to be %q", lim, active, role)
	}
	for _, name := range []string{c.Standby, s.doc.RegularOf(lim).Name} {
		m := s.servers[name]
		if name == active || name == left {
			continue
		}
		role, version := s.told(name, lim)
		newest := m.newestData(lim).Path
		info, err := m.agent.Agent(s.t.Context())
		is := slices.ContainsFunc(info.LIMs, func(l control.LIMInfo) bool { return l.LIM == lim && l.State == string(failover.Preloaded) })
		switch addrs, _ := m.kernel.Addresses("eth0"); {
		case err != nil || !is:
			return fmt.Sprintf("LIM %d is not preloaded on %s (%v)", lim, name, err)
		case role != rolePassive || m.softs[lim].State() != services.Running:
			return fmt.Sprintf("the software of LIM %d on %s is %s, and was told to be %q", lim, name, m.softs[lim].State(), role)
		case version != newest:
			return fmt.Sprintf("%s has loaded %q for LIM %d, its newest is %q", name, version, lim, newest)
		case !slices.ContainsFunc(addrs, func(a netops.Address) bool { return a.Prefix == s.alias(lim) }):
			return fmt.Sprintf("%s, the passive side, lacks the alias of LIM %d", name, lim)
		}
	}
	return ""
}

// told is the role and the data folder that software was last told.
func (s *simulation) told(name string, lim int) (role, version string) {
	for _, c := range s.servers[name].softs[lim].Calls() {
		if c.Verb == servicestest.VerbStart || c.Verb == servicestest.VerbReload {
			role, version = c.Env.Role, c.Env.XData
		}
	}
	return role, version
}

// onlyWhenLoaded checks of the whole life that the standby gave the LIM back by
// itself only when the regular server had it preloaded, as far as it can have
// heard of that.
func (s *simulation) onlyWhenLoaded() {
	if !s.preloaded() {
		return
	}
	for name, m := range s.servers {
		if s.doc.Server(name).LIM == 0 {
			s.onlyWhenLoadedBy(m)
		}
	}
}

// onlyWhenLoadedBy checks that of one server that was the standby.
func (s *simulation) onlyWhenLoadedBy(standby *machine) {
	regular := s.servers[s.doc.RegularOf(1).Name]
	for _, e := range standby.events.of(events.Decision) {
		if e.Is != string(failover.Preload) || e.Rule != string(failover.RuleFallback) {
			continue
		}
		was, loaded := "", false
		for _, x := range regular.events.of(events.State) {
			untold := strings.Contains(x.Text, "the others are left out") // what it was meanwhile
			if x.Time.After(e.Time) {
				loaded = loaded || untold
				break
			}
			if x.Time.Before(e.Time.Add(-s.twiceFor())) {
				loaded = false
			}
			was, loaded = x.Is, loaded || untold || was == string(failover.Preloaded) || x.Is == string(failover.Preloaded)
		}
		if !loaded && was != string(failover.Preloaded) {
			s.violated("%s gave LIM 1 back at %s, when it was %s on %s: %s", standby.name, e.Time.Format("15:04:05.000"), was, regular.name, e.Reason)
		}
	}
}

// of returns all events of a kind.
func (m *memoryEvents) of(kind events.Kind) []events.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(m.all), func(e events.Event) bool { return e.Kind != kind })
}

func (k troubledKernel) Block(ifname string, addr netip.Addr) error {
	k.x.pass()
	return k.Kernel.Block(ifname, addr)
}

func (k troubledKernel) Unblock(ifname string, addr netip.Addr) error {
	k.x.pass()
	return k.Kernel.Unblock(ifname, addr)
}
