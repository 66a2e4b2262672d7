package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/failover"
	"mxcluster/internal/services"
	"mxcluster/internal/services/servicestest"
)

// fault does one random thing to the cluster.
func (s *simulation) fault() {
	if s.arb.fault(s) || s.disorders.fault(s) {
		s.touched()
		return
	}
	name := pick(s.rnd, s.names()...)
	if s.rnd.IntN(4) == 0 {
		name = s.standby()
	}
	lim := 1 + s.rnd.IntN(len(s.doc.LIMs))
	do := pick(s.rnd,
		s.power, s.power, s.toggle, s.toggle, s.stopOne, s.freezeOne, s.freezeOne, s.cutOff, s.cutOff, s.split, s.healAll, s.healAll,
		s.roughen, s.setClock, s.orderSome, s.orderSome, s.troubleSoftware, s.troubleSoftware, s.troubleDisk,
		s.dropAlias, s.setLink, s.editSome, s.editSome, s.lockSome, s.rotateSome)
	if s.preloaded() && s.rnd.IntN(4) == 0 {
		do = pick(s.rnd, s.newData, s.newData, s.troubleReload)
	}
	s.deafen()
	do(name, lim)
	s.touched()
}

// touched notes that something was done, and who cannot hear whom since.
func (s *simulation) touched() {
	s.disturb = time.Now()
	s.deafen()
}

func (s *simulation) power(name string, _ int) {
	if s.servers[name].down {
		s.note("boot %s", name)
		s.boot(name)
		return
	}
	s.note("power cut of %s", name)
	s.trouble[name].thaw()
	s.powerCut(name)
	s.terms.powerCut(name, s.servers[name].state.known())
}

func (s *simulation) toggle(name string, _ int) {
	m := s.servers[name]
	switch {
	case m.down:
	case m.agent != nil:
		s.note("kill the agent of %s", name)
		s.trouble[name].thaw()
		s.kill(name)
	case !s.canStart(name):
	default:
		s.note("start the agent of %s", name)
		s.start(name)
	}
}

func (s *simulation) stopOne(name string, _ int) {
	m := s.servers[name]
	if m.agent == nil || s.trouble[name].isFrozen() {
		return
	}
	r := control.StopRequest{Release: s.rnd.IntN(2) == 0}
	s.note("stop the agent of %s, release %v", name, r.Release)
	if _, err := m.agent.Stop(s.t.Context(), r); err != nil {
		s.note("stop: %v", err)
	}
	<-m.ended
	m.agent = nil
}

// freezeOne pauses an agent, for a while that is drawn now.
func (s *simulation) freezeOne(name string, _ int) {
	if s.servers[name].agent == nil {
		return
	}
	d := pick(s.rnd, s.limit/2, s.limit*2, s.lease/2, s.lease*2, time.Minute)
	s.note("the agent of %s is paused for %s", name, d)
	s.trouble[name].freeze()
	s.live(d)
	s.trouble[name].thaw()
	s.note("the agent of %s goes on", name)
}

func (s *simulation) cutOff(name string, _ int) {
	others := slices.DeleteFunc(s.names(), func(n string) bool { return n == name })
	other := pick(s.rnd, others...)
	switch s.rnd.IntN(3) {
	case 0:
		s.note("%s is cut off", name)
		s.partition(true, name, append(others, s.disorders.routers.names()...)...)
	case 1:
		s.note("%s and %s are cut off from each other", name, other)
		s.partition(true, name, other)
	case 2:
		s.note("%s is not heard by %s", name, other)
		s.mu.Lock()
		s.cut[[2]string{name, other}] = true
		s.mu.Unlock()
	}
}

// split cuts the network into two parts.
func (s *simulation) split(string, int) {
	var left, right []string
	for _, n := range s.names() {
		if s.rnd.IntN(2) == 0 {
			left = append(left, n)
		} else {
			right = append(right, n)
		}
	}
	s.note("%v and %v are cut off from each other", left, right)
	for _, n := range left {
		s.partition(true, n, right...)
	}
}

func (s *simulation) healAll(string, int) {
	s.note("all cuts are healed, the line is good")
	s.line.set(0, 0, 0)
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.cut)
}

func (s *simulation) roughen(string, int) {
	loss := pick(s.rnd, 0, 0.05, 0.3, 0.5)
	twice := pick(s.rnd, 0, 0.2)
	late := pick(s.rnd, 0, time.Millisecond, 20*time.Millisecond, s.limit/4)
	s.note("the line loses %.0f %%, doubles %.0f %%, delays up to %s", loss*100, twice*100, late)
	s.line.set(loss, twice, late)
}

func (s *simulation) setClock(name string, _ int) {
	by := pick(s.rnd, 0, 3*time.Second, -3*time.Second, time.Hour, -time.Hour, 400*24*time.Hour, -400*24*time.Hour)
	s.note("the clock of %s is %s ahead", name, by)
	s.trouble[name].set(func(x *trouble) { x.clock = by })
}

// orderSome gives an order; its answer is noted when it comes.
func (s *simulation) orderSome(via string, lim int) {
	m := s.servers[via]
	if m.agent == nil {
		return
	}
	o := control.Order{Kind: pick(s.rnd, control.OrderFailover, control.OrderFallback), LIM: lim, Now: s.rnd.IntN(3) == 0, Evict: s.rnd.IntN(3)}
	s.note("order via %s: %s %d, now %v", via, o.Kind, o.LIM, o.Now)
	agent := m.agent
	s.pumps.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		res, err := agent.Order(ctx, o)
		s.note("answer to %s %d: %+v, %v", o.Kind, o.LIM, res, err)
	})
}

func (s *simulation) troubleSoftware(name string, lim int) {
	if r := s.doc.Server(name); r.LIM != 0 {
		lim = r.LIM
	}
	soft, key := s.servers[name].softs[lim], fmt.Sprint(name, " ", lim)
	switch s.rnd.IntN(6) {
	case 0, 1:
		s.note("the software of LIM %d on %s exits", lim, name)
		soft.SetState(services.Stopped)
	case 2:
		s.note("the software of LIM %d on %s does not start", lim, name)
		soft.Script(servicestest.VerbStart, servicestest.Step{Err: errBroken})
		s.limp[key] = true
	case 3:
		s.note("the software of LIM %d on %s is slow", lim, name)
		soft.Script(servicestest.VerbStart, servicestest.Step{After: pick(s.rnd, time.Second, 10*time.Second, 40*time.Second)})
		soft.Script(servicestest.VerbStop, servicestest.Step{After: pick(s.rnd, time.Second, 10*time.Second, 40*time.Second)})
		s.slowed[key] = true
	case 4:
		s.note("the software of LIM %d on %s does not stop in order", lim, name)
		soft.Script(servicestest.VerbStop, servicestest.Step{Err: errBroken})
		s.clings[key] = true
	case 5:
		s.note("the software of LIM %d on %s is mended", lim, name)
		s.mendSoftware(name, lim)
	}
}

func (s *simulation) mendSoftware(name string, lim int) {
	for _, kind := range []map[string]bool{s.limp, s.clings, s.slowed, s.lacking} {
		delete(kind, fmt.Sprint(name, " ", lim))
	}
	soft := s.servers[name].softs[lim]
	soft.Script(servicestest.VerbAble, servicestest.Step{})
	soft.Script(servicestest.VerbStart, servicestest.Step{})
	soft.Script(servicestest.VerbStop, servicestest.Step{})
	soft.Script(servicestest.VerbReload, servicestest.Step{})
}

func (s *simulation) troubleDisk(name string, _ int) {
	switch s.rnd.IntN(3) {
	case 0:
		s.note("the disk of %s fails", name)
		s.trouble[name].set(func(x *trouble) { x.disk, x.store = errDisk, errDisk })
	case 1:
		d := pick(s.rnd, 100*time.Millisecond, 2*time.Second, 10*time.Second)
		s.note("each write to the disk of %s takes %s", name, d)
		s.trouble[name].set(func(x *trouble) { x.slow = d })
	case 2:
		s.note("the disk of %s is mended", name)
		s.trouble[name].set(func(x *trouble) { x.disk, x.store, x.slow = nil, nil, 0 })
	}
}

func (s *simulation) dropAlias(name string, lim int) {
	s.note("the alias of LIM %d is deleted on %s", lim, name)
	if err := s.servers[name].kernel.Drop("eth0", s.alias(lim)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *simulation) setLink(name string, _ int) {
	up := s.rnd.IntN(2) == 0
	s.note("the link of %s is up: %v", name, up)
	s.servers[name].kernel.SetUp("eth0", up)
}

// editSome changes the document on one server, as a command does there.
func (s *simulation) editSome(on string, lim int) {
	fallback := pick(s.rnd, manual, automatic)
	stop := pick(s.rnd, clusterconf.SideRegular, clusterconf.SideStandby)
	priority := pick(s.rnd, 100, 50, 20)
	s.note("edit on %s: fallback %s, split brain stops the %s side, priority of LIM %d is %d", on, fallback, stop, lim, priority)
	s.change(on, func(c *clusterconf.Cluster) {
		c.Fallback, c.SplitBrainStop = fallback, stop
		if m := c.Member(lim); m != nil {
			m.Priority = priority
		}
	})
}

// lockSome locks a LIM where it runs, or takes a lock off.
func (s *simulation) lockSome(on string, lim int) {
	at := s.holders(lim)
	if len(at) != 1 || s.rnd.IntN(3) == 0 {
		s.note("unlock LIM %d on %s", lim, on)
		s.lock(on, lim, nil)
		return
	}
	side := clusterconf.SideRegular
	if at[0] != s.doc.RegularOf(lim).Name {
		side = clusterconf.SideStandby
	}
	lasts := pick(s.rnd, 0, time.Minute, time.Hour)
	s.note("lock LIM %d to the %s side on %s for %s", lim, side, on, lasts)
	lock := &clusterconf.Lock{To: side, Since: time.Now().UTC().Truncate(time.Millisecond), By: "test"}
	if lasts > 0 {
		end := lock.Since.Add(lasts)
		lock.Expires = &end
	}
	s.lock(on, lim, lock)
}

// lock gives a LIM that is in the cluster a lock; nil takes it off.
func (s *simulation) lock(on string, lim int, lock *clusterconf.Lock) {
	s.change(on, func(c *clusterconf.Cluster) {
		if m := c.Member(lim); m != nil {
			m.Lock = lock
		}
	})
}

func (s *simulation) change(on string, f func(*clusterconf.Cluster)) {
	s.command(on, func(d *clusterconf.Document) error {
		if len(d.Clusters) == 0 {
			return errors.New("there is no cluster")
		}
		f(&d.Clusters[0])
		return nil
	})
}

// command edits the document on one server, as a command does there.
func (s *simulation) command(on string, f func(*clusterconf.Document) error) {
	m := s.servers[on]
	if m.down {
		return
	}
	_, err := m.store.Edit(s.t.Context(), clusterconf.Change{By: "test", On: on, Command: "test"}, f)
	if err != nil {
		s.note("edit: %v", err)
	}
	m.tellEdited()
}

// tellEdited tells the agent of a server that its document's file has changed.
func (m *machine) tellEdited() {
	select {
	case m.edited <- struct{}{}:
	default:
	}
}

// mend ends all faults but one: a server, which it returns, may stay out of order.
func (s *simulation) mend() (left string) {
	s.deafen()
	s.healAll("", 0)
	s.arb.heal(s)
	s.disorders.heal(s)
	if s.rnd.IntN(2) == 0 {
		left = pick(s.rnd, s.names()...)
		if !s.servers[left].down {
			s.power(left, 0)
		}
		s.note("%s stays out of order", left)
	}
	for _, name := range s.names() {
		m := s.servers[name]
		m.kernel.SetUp("eth0", true)
		s.trouble[name].thaw()
		s.trouble[name].set(func(x *trouble) { x.slow, x.clock = 0, 0 })
		for lim := range m.softs {
			s.mendSoftware(name, lim)
		}
		if name != left && (m.down || m.agent == nil || m.agent.hasEnded()) {
			s.note("start %s", name)
			s.revive(name)
		}
	}
	s.copyData()
	s.unlockAll(left)
	s.touched()
	return left
}

// unlockAll takes all locks, drains and freezes off: at the end they would hold everything
// up.
func (s *simulation) unlockAll(left string) {
	s.command(s.editor(left), func(d *clusterconf.Document) error {
		for i := range d.Servers {
			d.Servers[i].Drained = nil
		}
		for i := range d.Clusters {
			c := &d.Clusters[i]
			c.Frozen = nil
			for k := range c.LIMs {
				c.LIMs[k].Lock = nil
			}
		}
		return nil
	})
}

// revive starts a server or its agent, whichever is not there.
func (s *simulation) revive(name string) {
	m := s.servers[name]
	switch {
	case m.down:
		s.boot(name)
	default:
		if m.agent != nil {
			<-m.ended
			m.agent = nil
		}
		if s.canStart(name) {
			s.start(name)
		}
	}
}

// canStart reports whether a server's agent knows what it is.
func (s *simulation) canStart(name string) bool {
	_, ok := s.self(name, s.servers[name].known())
	return ok
}

// editor is where the document is edited at the end: any server of the system that is up.
func (s *simulation) editor(left string) string {
	d := s.newest(left)
	standby := ""
	if c := d.Cluster("c1"); c != nil {
		standby = c.Standby
	}
	for _, x := range d.Servers {
		if x.Name != left && x.Name != standby {
			return x.Name
		}
	}
	return standby
}

func (x *trouble) isFrozen() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.frozen != nil
}

// hasEnded reports whether an agent's run is over.
func (a *Agent) hasEnded() bool {
	select {
	case <-a.done:
		return true
	default:
		return false
	}
}

// released reports whether a LIM was given up by order by a server.
func (s *simulation) released(name string, lim int) bool {
	m := s.servers[name]
	if m.agent == nil {
		return false
	}
	given, err := on(s.t.Context(), m.agent.core, func() (bool, error) {
		l := m.agent.lims.of(lim)
		return !l.Released.IsZero() || l.State == failover.Failed, nil
	})
	return err == nil && given
}
