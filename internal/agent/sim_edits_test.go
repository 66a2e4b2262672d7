package agent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/failover"
)

// edits are commands that make, change and delete the cluster, while servers crash
// between their steps.
type edits struct{}

// command is one of them, as it is given on a server.
type command struct {
	what  string
	leave *control.LeaveRequest               // nil: nothing leaves
	apply func(d *clusterconf.Document) error // what it has the document say next
	pause time.Duration                       // from making ready to the new document
}

func (edits) begin(s *simulation, rnd *rand.Rand, via string) {
	pause := pick(rnd, 0, 0, 10*time.Millisecond, 100*time.Millisecond, time.Second)
	crashes := rnd.IntN(3)
	m, d := s.servers[via], s.worksBy(via)
	if d == nil || m.down || m.agent == nil || m.agent.hasEnded() || s.trouble[via].isFrozen() {
		return
	}
	c := s.drawCommand(rnd, d)
	c.pause = pause
	s.note("%s, given on %s", c.what, via)
	s.mu.Lock()
	s.edited = time.Now()
	s.mu.Unlock()
	agent := m.agent
	s.pumps.Go(func() {
		err := s.carryOut(m, agent, c)
		s.note("%s: %v", c.what, err)
	})
	for range crashes {
		s.live(pick(rnd, 0, 5*time.Millisecond, 20*time.Millisecond, 50*time.Millisecond, 200*time.Millisecond, 2*time.Second))
		s.crash(rnd, pick(rnd, s.names()...))
	}
}

func (edits) end(*simulation, string) {}

// drawCommand draws one of those that a document allows.
func (s *simulation) drawCommand(rnd *rand.Rand, d *clusterconf.Document) *command {
	c, lim := d.Cluster("c1"), pick(rnd, s.doc.LIMs...).Number
	all := len(s.doc.LIMs)
	switch {
	case c == nil:
		spec := clusterconf.CreateSpec{Name: "c1", Standby: s.doc.Clusters[0].Standby, FailoverAfter: s.limit,
			Fallback: s.doc.Clusters[0].Fallback, SplitBrainStop: s.doc.Clusters[0].SplitBrainStop}
		for _, l := range s.doc.LIMs[:1+rnd.IntN(all)] {
			spec.LIMs = append(spec.LIMs, clusterconf.CreateLIM{LIM: l.Number, NewBase: s.newBase(l.Number), Priority: 100})
		}
		return &command{what: fmt.Sprintf("create of %d LIMs", len(spec.LIMs)), apply: func(d *clusterconf.Document) error { return d.CreateCluster(spec) }}
	case all == 1 && c.Failover != clusterconf.FailoverPreloaded && rnd.IntN(2) == 0:
		return &command{what: "preload", apply: func(d *clusterconf.Document) error { return d.PreloadCluster("c1") }}
	case c.Member(lim) == nil:
		return &command{what: fmt.Sprintf("add-lim %d", lim), apply: func(d *clusterconf.Document) error { return d.AddLIM("c1", lim, s.newBase(lim), 50) }}
	case rnd.IntN(2) == 0:
		return leaveCommand(fmt.Sprintf("remove-lim %d", lim), lim)
	}
	return leaveCommand("delete")
}

func leaveCommand(what string, lims ...int) *command {
	return &command{what: what, leave: &control.LeaveRequest{Cluster: "c1", LIMs: lims}, apply: func(d *clusterconf.Document) error {
		if d.Cluster("c1") == nil {
			return nil
		}
		return d.BeginLeave("c1", "", lims...)
	}}
}

// newBase is the base of a LIM's server while that is in the cluster.
func (s *simulation) newBase(lim int) string { return s.doc.RegularOf(lim).Base.Addr().String() }

// carryOut does what a command does: it has the servers make ready, has the next
// document stored where edits are carried out.
func (s *simulation) carryOut(m *machine, agent *Agent, c *command) error {
	change := clusterconf.Change{By: "test", On: m.name, Command: c.what}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	info, err := agent.Agent(ctx)
	if err != nil {
		return err
	}
	apply := func(d *clusterconf.Document) error {
		before := d.Clone()
		if err := c.apply(d); err != nil {
			return err
		}
		return d.KeepReached(before, func(server string) bool {
			return server == m.name || slices.ContainsFunc(info.Members, func(x control.MemberInfo) bool {
				return x.Server == server && x.Liveness == string(failover.Alive)
			})
		})
	}
	plan, err := m.store.Preview(change, apply)
	if err != nil || !plan.Changed {
		return err
	}
	request := control.ExchangeRequest{Leave: c.leave, Exchanges: clusterconf.Exchanges(plan.Before, plan.After)}
	if c.leave != nil || len(request.Exchanges) > 0 {
		if err := agent.Exchange(ctx, request); err != nil {
			return err
		}
	}
	pass(c.pause)
	_, err = agent.Edit(ctx, control.EditRequest{Base: clusterconf.Hash(plan.Before), Document: clusterconf.Encode(plan.After), Change: change})
	return err
}

// crash takes a server's power, or kills its agent, for a while.
func (s *simulation) crash(rnd *rand.Rand, name string) {
	d, power := pick(rnd, 100*time.Millisecond, 5*time.Second, 40*time.Second), rnd.IntN(2) == 0
	m := s.servers[name]
	if m.down || m.agent == nil {
		return
	}
	s.deafen()
	if power {
		s.power(name, 0)
	} else {
		s.toggle(name, 0)
	}
	s.touched()
	s.live(d)
	if rnd.IntN(5) > 0 && (m.down || m.agent == nil) {
		s.note("%s is back", name)
		s.revive(name)
		s.touched()
	}
}

// member returns a LIM as a member of a cluster by a server's document; false: it is in
// none.
func (s *simulation) member(by string, lim int) (clusterconf.Member, bool) {
	d := s.worksBy(by)
	if d == nil || d.ClusterOfLIM(lim) == nil {
		return clusterconf.Member{}, false
	}
	return *d.ClusterOfLIM(lim).Member(lim), true
}

// wrongFree says what is wrong at the end with LIMs that are in no cluster.
func (s *simulation) wrongFree(d *clusterconf.Document, left string) string {
	for _, l := range s.doc.LIMs {
		regular, by := s.doc.RegularOf(l.Number).Name, s.holders(l.Number)
		switch {
		case d.ClusterOfLIM(l.Number) != nil || left == regular && len(by) == 0:
		case !slices.Equal(by, []string{regular}):
			return fmt.Sprintf("LIM %d is in no cluster, its address is on %v; %s", l.Number, by, s.reasons(l.Number))
		case left != regular && !s.serves(l.Number, regular):
			return fmt.Sprintf("LIM %d is in no cluster and does not run on %s; %s", l.Number, regular, s.reasons(l.Number))
		}
	}
	return ""
}

// wrongPending says which step of the document does not come; "": none, or it waits for
// a server that is out of order, or for somebody to bring a LIM back.
func (s *simulation) wrongPending(d *clusterconf.Document, left string) string {
	if left != "" || !failover.Pending(d) {
		return ""
	}
	for _, c := range d.Clusters {
		for _, m := range c.LIMs {
			if m.Leaving && slices.Contains(s.holders(m.LIM), c.Standby) {
				return ""
			}
		}
	}
	return fmt.Sprintf("revision %d of the document asks for steps that nobody takes", d.Revision)
}
