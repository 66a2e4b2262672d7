package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
	"mxcluster/internal/failover"
	"mxcluster/internal/status"
	"mxcluster/internal/whatif"
)

// promiseFor is how long a standby must have said that it is ready before that is put to
// the test: as long as anything that it looks at itself may take to be seen.
func (s *simulation) promiseFor() time.Duration {
	d := 2*roomPeriod + 2*s.limit
	if s.arb != nil {
		d += 2 * s.arb.lease
	}
	return d
}

// servedFor is how long a LIM may be away when the power of its server is cut, and
// nothing else happens.
func (s *simulation) servedFor() time.Duration {
	d := 5*time.Second + 2*s.limit
	if s.arb != nil {
		d += 2 * s.arb.lease
	}
	if s.line.rough() || s.arb != nil && s.arb.ill {
		d += 10*time.Second + 2*s.limit
	}
	return d
}

// keepPromises asks the brain whether what is promised now would be kept, and from time
// to time puts a promise to the test: when it has stood for its time, the power of a
// LIM's server is cut.
func (s *simulation) keepPromises() {
	rnd := s.disorders.rnd
	test := rnd.IntN(2) == 0
	which := rnd.IntN(len(s.doc.LIMs))
	lims := s.promised()
	for _, lim := range lims {
		if s.wouldNot(lim) == "" {
			continue
		}
		s.live(s.promiseFor()) // it may be about to say so
		if why := s.wouldNot(lim); why != "" && slices.Contains(s.promised(), lim) {
			s.violated("%s", why)
		}
	}
	if !test || len(lims) == 0 {
		return
	}
	lim := lims[which%len(lims)]
	s.live(s.promiseFor())
	if !slices.Contains(s.promised(), lim) {
		return
	}
	s.betray(lim)
}

// promised lists the LIMs that run on their own servers while the standby says that it
// is ready, and nothing that it or anybody tells speaks against a takeover.
func (s *simulation) promised() []int {
	standby := s.standby()
	st := s.published(standby)
	if st == nil || len(st.Clusters) == 0 {
		return nil
	}
	if !s.allAtHome() || s.troubledSoftware(standby) {
		return nil
	}
	ready := slices.ContainsFunc(st.Clusters[0].Servers, func(x status.StatusServer) bool { return x.Name == standby && x.Ready != nil && *x.Ready })
	var lims []int
	for i := range st.Clusters[0].LIMs {
		l := &st.Clusters[0].LIMs[i]
		regular := s.doc.RegularOf(l.LIM).Name
		told := slices.ContainsFunc(st.Clusters[0].Alarms, func(a status.Alarm) bool { return a.Name == string(alarms.NotRedundant) && a.LIM == l.LIM })
		if s.arb != nil && s.servers[regular].agent == nil {
			continue // a stopped agent leaves its key for a minute
		}
		if ready && !told && l.Lock == nil && l.ActiveOn != nil && *l.ActiveOn == regular && l.State == string(failover.Running) && !s.servers[regular].down {
			lims = append(lims, l.LIM)
		}
	}
	return lims
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

// allAtHome reports whether every LIM is served by its own server: the standby is free,
// and nothing waits for it.
func (s *simulation) allAtHome() bool {
	return !slices.ContainsFunc(s.doc.LIMs, func(l clusterconf.LIM) bool {
		return !slices.Equal(s.holders(l.Number), []string{s.doc.RegularOf(l.Number).Name})
	})
}

// troubledSoftware reports whether software on a server is such that nobody can know
// beforehand how its start would go.
func (s *simulation) troubledSoftware(name string) bool {
	for _, l := range s.doc.LIMs {
		key := fmt.Sprint(name, " ", l.Number)
		if s.limp[key] || s.clings[key] || s.slowed[key] {
			return true
		}
	}
	return false
}

// wouldNot asks the standby's brain why it would not take a LIM over if its server were
// taken away now; "": it would.
func (s *simulation) wouldNot(lim int) string {
	standby, regular := s.standby(), s.doc.RegularOf(lim).Name
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
	defer cancel()
	if s.published(standby) == nil || s.arb != nil && s.cutInPart() { // of an arbiter it is assumed that it goes by the standby's view
		return ""
	}
	r, err := s.servers[standby].agent.Simulate(ctx, whatif.Scenario{Down: []string{regular}})
	if err != nil || r.LIM(lim) == nil {
		s.note("simulate: %v", err)
		return ""
	}
	o := r.LIM(lim)
	if slices.Equal(o.After, []string{standby}) {
		return ""
	}
	return fmt.Sprintf("%s says that it is ready, and would not take LIM %d over from %s: after it is on %v, by %s: %s", standby, lim, regular, o.After, o.Rule, o.Reason)
}

// betray cuts the power of a LIM's server, and checks that the standby serves.
func (s *simulation) betray(lim int) {
	standby, regular := s.standby(), s.doc.RegularOf(lim).Name
	s.note("LIM %d is promised: power cut of %s", lim, regular)
	s.betrayed++
	s.deafen()
	s.power(regular, 0)
	s.touched()
	for began := time.Now(); time.Since(began) < s.servedFor(); {
		if slices.Equal(s.holders(lim), []string{standby}) && s.serves(lim, standby) {
			s.note("%s serves LIM %d after %s", standby, lim, time.Since(began))
			return
		}
		s.live(max(s.limit/10, 20*time.Millisecond))
	}
	s.violated("%s was ready, and does not serve LIM %d %s after the power cut of %s: its alias is on %v; %s",
		standby, lim, s.servedFor(), regular, s.holders(lim), strings.TrimSpace(s.reasons(lim)))
}
