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
	"mxcluster/internal/services/servicestest"
	"mxcluster/netops"
)

// edits are commands that make, change and delete the cluster, and that change which
// servers there are, while servers crash between their steps.
type edits struct{}

// command is one of them, as it is given on a server.
type command struct {
	what  string
	leave *control.LeaveRequest               // nil: nothing leaves
	adds  string                              // a server that is to come in; "": none
	apply func(d *clusterconf.Document) error // what it has the document say next
	pause time.Duration                       // from making ready to the new document

	undoes bool // it is not killed when it fails
}

func (edits) begin(s *simulation, rnd *rand.Rand, via string) {
	s.comeIn(rnd)
	switch rnd.IntN(8) {
	case 0:
		s.editInAnothersPlace(rnd)
	case 1:
		s.loseForGood(rnd)
	default:
		s.give(rnd, via, nil)
	}
	s.comeIn(rnd)
}

// editInAnothersPlace has somebody give commands while the server is dead on which they
// are carried out.
func (s *simulation) editInAnothersPlace(rnd *rand.Rand) {
	editor := s.newest().EditedOn()
	if s.servers[editor].down {
		return
	}
	s.fail(editor)
	for range 1 + rnd.IntN(3) {
		s.give(rnd, pick(rnd, s.names()...), nil)
		s.live(pick(rnd, 100*time.Millisecond, 2*time.Second, 20*time.Second))
	}
	if rnd.IntN(3) > 0 && s.servers[editor].down {
		s.comeBack(editor)
	}
}

// loseForGood has a server of the cluster fail, somebody take its LIMs out without it and
// remove it; it may come back.
func (s *simulation) loseForGood(rnd *rand.Rand) {
	d := s.newest()
	names := clustered(d)
	if len(names) == 0 {
		return
	}
	dead, via := pick(rnd, names...), pick(rnd, s.names()...)
	if !s.servers[dead].down {
		s.fail(dead)
	}
	var lims []int
	if lim := d.Server(dead).LIM; lim != 0 {
		lims = append(lims, lim)
	}
	s.members.lost = append(s.members.lost, dead)
	s.give(rnd, via, leaveCommand(fmt.Sprintf("delete or remove-lim %v without %s", lims, dead), dead, lims...))
	s.live(pick(rnd, time.Second, 10*time.Second+s.limit))
	if s.members.change && rnd.IntN(3) > 0 {
		s.give(rnd, via, &command{what: "server remove " + dead, apply: func(d *clusterconf.Document) error { return d.RemoveServer(dead) }})
		s.live(pick(rnd, time.Second, 10*time.Second))
	}
	if rnd.IntN(2) == 0 && s.servers[dead].down {
		s.comeBack(dead)
	}
}

// slowStop has all software on a server take its time to stop.
func (s *simulation) slowStop(name string, d time.Duration) {
	s.note("the software on %s takes %s to stop", name, d)
	for lim, soft := range s.servers[name].softs {
		soft.Script(servicestest.VerbStop, servicestest.Step{After: d})
		s.slowed[fmt.Sprint(name, " ", lim)] = true
	}
}

// comeBack ends a crash.
func (s *simulation) comeBack(name string) {
	s.note("%s is back", name)
	s.revive(name)
	s.touched()
	s.live(time.Millisecond) // its agent has begun
}

// fail takes a server's power for longer than its silence takes to count.
func (s *simulation) fail(name string) {
	s.deafen()
	s.power(name, 0)
	s.touched()
	s.live(2*s.limit + 5*time.Second)
}

// give gives a command on a server; nil: one that is drawn. Servers crash meanwhile.
func (s *simulation) give(rnd *rand.Rand, via string, c *command) {
	pause := pick(rnd, 0, 0, 10*time.Millisecond, 100*time.Millisecond, time.Second)
	crashes := rnd.IntN(3)
	m, d := s.servers[via], s.worksBy(via)
	if d == nil || m.down || m.agent == nil || m.agent.hasEnded() || s.trouble[via].isFrozen() {
		return
	}
	if c == nil {
		c = s.drawCommand(rnd, d, via)
	}
	c.pause, c.undoes = pause, rnd.IntN(2) == 0
	if c.leave != nil && rnd.IntN(3) == 0 { // the steps of leaving are to take their time
		s.slowStop(s.standby(), pick(rnd, time.Second, 10*time.Second))
	}
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
func (s *simulation) drawCommand(rnd *rand.Rand, d *clusterconf.Document, via string) *command {
	c, lim := d.Cluster("c1"), pick(rnd, s.doc.LIMs...).Number
	all := len(s.doc.LIMs)
	switch {
	case s.members.change && rnd.IntN(3) == 0:
		return s.drawMembership(rnd, d, via)
	case c == nil:
		return s.drawCreate(rnd, d)
	case all == 1 && c.Failover != clusterconf.FailoverPreloaded && rnd.IntN(2) == 0:
		return &command{what: "preload", apply: func(d *clusterconf.Document) error { return d.PreloadCluster("c1") }}
	case c.Member(lim) == nil:
		return &command{what: fmt.Sprintf("add-lim %d", lim), apply: func(d *clusterconf.Document) error { return d.AddLIM("c1", lim, s.newBase(lim), 50) }}
	case rnd.IntN(2) == 0:
		return leaveCommand(fmt.Sprintf("remove-lim %d", lim), "", lim)
	}
	return leaveCommand("delete", "")
}

// drawCreate draws a cluster of the LIMs that there are, with a standby that there is.
func (s *simulation) drawCreate(rnd *rand.Rand, d *clusterconf.Document) *command {
	spec := clusterconf.CreateSpec{Name: "c1", Standby: s.doc.Clusters[0].Standby, FailoverAfter: s.limit,
		Fallback: s.doc.Clusters[0].Fallback, SplitBrainStop: s.doc.Clusters[0].SplitBrainStop}
	standbys := slices.DeleteFunc(slices.Clone(d.Servers), func(x clusterconf.Server) bool { return !x.Standby })
	if len(standbys) > 0 {
		spec.Standby = pick(rnd, standbys...).Name
	}
	for _, l := range s.doc.LIMs[:1+rnd.IntN(len(s.doc.LIMs))] {
		if d.RegularOf(l.Number) != nil {
			spec.LIMs = append(spec.LIMs, clusterconf.CreateLIM{LIM: l.Number, NewBase: s.newBase(l.Number), Priority: 100})
		}
	}
	return &command{what: fmt.Sprintf("create of %d LIMs with %s", len(spec.LIMs), spec.Standby), apply: func(d *clusterconf.Document) error { return d.CreateCluster(spec) }}
}

// leaveCommand takes LIMs out of the cluster, all with none named; dead is a server that
// is lost for good, "": none is.
func leaveCommand(what, dead string, lims ...int) *command {
	return &command{what: what, leave: &control.LeaveRequest{Cluster: "c1", LIMs: lims, Dead: dead}, apply: func(d *clusterconf.Document) error {
		if d.Cluster("c1") == nil {
			return nil
		}
		return d.BeginLeave("c1", dead, lims...)
	}}
}

// newBase is the base of a LIM's server while that is in the cluster.
func (s *simulation) newBase(lim int) string { return s.doc.RegularOf(lim).Base.Addr().String() }

// carryOut does what a command does: it has the servers make ready, has the next
// document stored where edits are carried out.
func (s *simulation) carryOut(m *machine, agent *Agent, c *command) (failed error) {
	change := clusterconf.Change{By: "test", On: m.name, Command: c.what}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	info, err := agent.Agent(ctx)
	if err != nil {
		return err
	}
	lives := func(server string) bool {
		return server == m.name || slices.ContainsFunc(info.Members, func(x control.MemberInfo) bool {
			return x.Server == server && x.Liveness == string(failover.Alive)
		})
	}
	apply := func(d *clusterconf.Document) error {
		before := d.Clone()
		if err := c.apply(d); err != nil {
			return err
		}
		return d.KeepReached(before, lives)
	}
	plan, err := m.store.Preview(change, apply)
	if err != nil || !plan.Changed {
		return err
	}
	request := control.ExchangeRequest{Leave: c.leave, Exchanges: clusterconf.Exchanges(plan.Before.Document, plan.After.Document)}
	for _, x := range clusterconf.Moves(plan.Before.Document, plan.After.Document) {
		if lives(x.Server) {
			request.Exchanges = append(request.Exchanges, x)
		}
	}
	if c.leave != nil || len(request.Exchanges) > 0 {
		if err := agent.Exchange(ctx, request); err != nil {
			return err
		}
	}
	pass(c.pause)
	if len(request.Exchanges) > 0 {
		defer func() { // unless the command is killed
			if failed != nil && c.undoes {
				s.note("undoing %s: %v", c.what, agent.Exchange(ctx, control.ExchangeRequest{Exchanges: request.Exchanges, Undo: true}))
			}
		}()
	}
	_, err = agent.Edit(ctx, control.EditRequest{Base: plan.Before.Hash(), Document: plan.After.Bytes(), Change: change})
	if err == nil && c.adds != "" {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.members.added = append(s.members.added, c.adds)
	}
	return err
}

// leftInOrder checks what the steps of leaving a cluster are for: the one that takes a LIM
// out is stored only when its standby, by the document before, has given its alias up. One
// that was lost for good is not waited for, and one that works by a document that was
// edited apart is a matter of the conflict.
func (s *simulation) leftInOrder(on string, before, after *clusterconf.Encoded) {
	for _, c := range before.Clusters {
		s.mu.Lock()
		down := s.servers[c.Standby].down
		s.mu.Unlock()
		if down {
			continue
		}
		own := s.worksBy(c.Standby)
		for _, m := range c.LIMs {
			if !m.Leaving || m.Dead == c.Standby || after.ClusterOfLIM(m.LIM) != nil || own == nil || clusterconf.Relate(after, clusterconf.Freeze(own)) != clusterconf.Follows {
				continue
			}
			here, err := s.servers[c.Standby].kernel.Addresses("")
			if err != nil {
				s.t.Fatal(err)
			}
			if slices.ContainsFunc(here, func(a netops.Address) bool { return a.Prefix.Addr() == m.Alias.Addr() && !a.Permanent }) {
				s.violated("%s stores revision %d, in which LIM %d is out of its cluster, while %s, which has revision %d, has its alias", on, after.Revision, m.LIM, c.Standby, own.Revision)
			}
		}
	}
}

// watchedDocuments are a store of which is seen what is edited in it.
type watchedDocuments struct {
	Documents
	s    *simulation
	name string
}

func (d watchedDocuments) Edit(ctx context.Context, change clusterconf.Change, fn func(*clusterconf.Document) error) (clusterconf.Result, error) {
	return d.watch(d.Documents.Edit(ctx, change, fn))
}

func (d watchedDocuments) EditFrom(ctx context.Context, hash string, change clusterconf.Change, fn func(*clusterconf.Document) error) (clusterconf.Result, error) {
	return d.watch(d.Documents.EditFrom(ctx, hash, change, fn))
}

func (d watchedDocuments) watch(res clusterconf.Result, err error) (clusterconf.Result, error) {
	if err == nil && res.Changed {
		d.s.leftInOrder(d.name, res.Before, res.After)
	}
	return res, err
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
		s.comeBack(name)
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
		case d.ClusterOfLIM(l.Number) != nil || d.RegularOf(l.Number) == nil || left == regular && len(by) == 0:
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
