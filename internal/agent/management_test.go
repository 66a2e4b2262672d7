package agent

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
	"mxcluster/internal/arbiter/arbitertest"
	"mxcluster/internal/control"
	"mxcluster/internal/manager"
	"mxcluster/netops"
)

// managementPair are two servers' databases, as far as the agent meets them.
type managementPair struct {
	w *world

	mu     sync.Mutex
	all    map[string]*fakeDatabase
	aside  int // how often something was kept aside
	twice  int // moments at which two servers accepted writes behind the virtual address
	broken error
}

// fakeDatabase is one of them. It outlives the agent, and starts read-only.
type fakeDatabase struct {
	running, writes bool
	at              manager.Position
	alone           bool // it took rows that the other one has not
	web             bool
}

// half is what the agent of a server has of the pair.
type half struct {
	*managementPair
	name, peer string
}

var managementAddress = netip.MustParsePrefix("192.0.2.40/24")

// managed gives the servers of LIM 1 a management system, and watches the virtual address.
func (w *world) managed() *managementPair {
	p := &managementPair{w: w, all: map[string]*fakeDatabase{
		"srv1": {running: true, writes: true, at: manager.Position{Timeline: 1, LSN: 100}},
		"sb1":  {running: true, at: manager.Position{Timeline: 1, LSN: 100}},
	}}
	m := &clusterconf.Management{Address: managementAddress, ReplicationUser: "replica", Fallback: w.doc.Clusters[0].Fallback}
	for _, s := range w.doc.Servers {
		_, err := w.servers[s.Name].store.Edit(w.t.Context(), clusterconf.Change{By: "test", On: "srv1", At: w.doc.Changed.At}, func(d *clusterconf.Document) error { return d.SetManagement(*m) })
		if err != nil {
			w.t.Fatal(err)
		}
	}
	w.wrap = func(m *machine, d Deps) Deps {
		if p.all[m.name] != nil {
			d.Management = half{p, m.name, map[string]string{"srv1": "sb1", "sb1": "srv1"}[m.name]}
		}
		return d
	}
	w.watchers.Add(1)
	go p.watch()
	return p
}

// watch counts the moments at which two accept writes behind the virtual address, on one network.
func (p *managementPair) watch() {
	defer p.w.watchers.Done()
	tick := time.NewTicker(sample)
	defer tick.Stop()
	for {
		select {
		case <-p.w.ended:
			return
		case <-tick.C:
		}
		if p.w.isCut("srv1", "sb1") {
			continue
		}
		on := p.holders()
		p.mu.Lock()
		if len(on) == 2 && p.all["srv1"].writes && p.all["sb1"].writes {
			p.twice++
		}
		p.mu.Unlock()
	}
}

// holders are the servers that have the virtual address.
func (p *managementPair) holders() (on []string) {
	for _, name := range []string{"sb1", "srv1"} {
		addrs, err := p.w.servers[name].kernel.Addresses("eth0")
		if err == nil && slices.ContainsFunc(addrs, func(a netops.Address) bool { return a.Prefix == managementAddress }) {
			on = append(on, name)
		}
	}
	return on
}

// off stops a server's database, as its death does.
func (p *managementPair) off(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all[name].running, p.all[name].writes = false, false
}

// writesOn reports whether a server, and it alone, serves the virtual address and accepts writes.
func (p *managementPair) writesOn(name string) func() bool {
	return func() bool {
		on := p.holders()
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.all[name].writes && slices.Equal(on, []string{name})
	}
}

// follows reports whether a server streams from the other one.
func (p *managementPair) follows(name string) func() bool {
	return func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.streams(name)
	}
}

func other(name string) string {
	if name == "srv1" {
		return "sb1"
	}
	return "srv1"
}

// streams is follows; the lock must be held.
func (p *managementPair) streams(name string) bool {
	a, b := p.all[name], p.all[other(name)]
	return a.running && !a.writes && b.running && b.writes && a.at.Timeline == b.at.Timeline && !p.w.isCut(name, other(name))
}

func (h half) Look(context.Context) manager.Report {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := h.all[h.name]
	if d.writes {
		d.at.LSN += 10
		if !h.streams(h.peer) {
			d.alone = true
		}
	}
	if h.streams(h.name) {
		d.at = h.all[h.peer].at
	}
	return manager.Report{SetUp: true, Running: d.running, Writes: d.writes, Streams: h.streams(h.name), Followed: h.streams(h.peer), Position: d.at}
}

func (h half) Promote(ctx context.Context, _ manager.Position) (manager.Report, error) {
	pass(20 * time.Millisecond)
	h.mu.Lock()
	d := h.all[h.name]
	switch {
	case h.broken != nil:
		h.mu.Unlock()
		return manager.Report{SetUp: true, Running: true}, h.broken
	case !d.running:
		h.mu.Unlock()
		return manager.Report{SetUp: true}, errors.New("it is not running")
	case !d.writes:
		d.writes, d.alone = true, false
		d.at.Timeline++
	}
	h.mu.Unlock()
	return h.Look(ctx), nil
}

func (h half) Settle(context.Context, bool) error { return nil }

func (h half) Release(context.Context) (manager.Position, error) {
	pass(30 * time.Millisecond)
	h.mu.Lock()
	defer h.mu.Unlock()
	d := h.all[h.name]
	d.running, d.writes = false, false
	return d.at, nil
}

func (h half) Follow(context.Context) (manager.Followed, error) {
	pass(time.Second)
	h.mu.Lock()
	defer h.mu.Unlock()
	d, up := h.all[h.name], h.all[h.peer]
	d.running, d.writes = true, false
	if h.w.isCut(h.name, h.peer) || !up.writes {
		return manager.Followed{}, nil
	}
	var f manager.Followed
	if d.alone {
		f.Aside = "/kept"
		h.aside++
	}
	d.at, d.alone, up.alone = up.at, false, false
	return f, nil
}

func (h half) Serve(_ context.Context, on bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all[h.name].web = on
	return nil
}

// check holds the pair to what it must never do.
func (p *managementPair) check() {
	p.w.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.twice > 0 {
		p.w.t.Errorf("two servers accepted writes behind the virtual address, %d times", p.twice)
	}
}

// keptAside expects how often something was kept aside.
func (p *managementPair) keptAside(times int) {
	p.w.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.aside != times {
		p.w.t.Errorf("kept aside %d times, not %d", p.aside, times)
	}
}

func inManagedWorld(t *testing.T, fallback clusterconf.FallbackType, f func(w *world, p *managementPair)) {
	t.Helper()
	inWorld(t, fallback, func(w *world) {
		p := w.managed()
		w.settled()
		w.until(5*time.Second, "the pair stands", func() bool { return p.writesOn("srv1")() && p.follows("sb1")() })
		f(w, p)
		p.check()
	})
}

// The management system goes over with LIM 1, and comes back by itself or by order, as its
// fallback type says; a returning old master is read-only until then.
func TestManagementSystemFollowsItsLIM(t *testing.T) {
	for _, fallback := range []clusterconf.FallbackType{manual, automatic} {
		inManagedWorld(t, fallback, func(w *world, p *managementPair) {
			pass(3 * time.Second)
			began := time.Now()
			p.off("srv1")
			w.powerCut("srv1")
			w.until(2*time.Second, "the standby writes", p.writesOn("sb1"))
			if took := time.Since(began); took > limit+200*time.Millisecond {
				t.Errorf("the takeover took %s", took)
			}
			w.until(5*time.Second, "the web server runs", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.all["sb1"].web })
			w.boot("srv1")
			w.until(10*time.Second, "the old master follows", p.follows("srv1"))
			if fallback == manual {
				if _, err := w.order("srv1", control.Order{Kind: control.OrderManagement, LIM: 1}); err == nil {
					t.Error("it falls back before LIM 1 has")
				}
				if _, err := w.order("sb1", control.Order{Kind: "fallback", LIM: 1}); err != nil {
					t.Fatal(err)
				}
				w.await(1, "srv1", time.Minute)
				pass(5 * time.Second)
				if !p.writesOn("sb1")() {
					t.Error("it fell back by itself")
				}
				if r, err := w.order("srv1", control.Order{Kind: control.OrderManagement, LIM: 1}); err != nil || !r.Accepted {
					t.Fatalf("%+v, %v", r, err)
				}
			}
			w.until(time.Minute, "the master writes", p.writesOn("srv1"))
			w.until(10*time.Second, "the standby follows", p.follows("sb1"))
			p.keptAside(0)
		})
	}
}

// A planned move of LIM 1 takes the management system along without a loss.
func TestManagementSystemMovesInOrder(t *testing.T) {
	inManagedWorld(t, manual, func(w *world, p *managementPair) {
		if _, err := w.order("srv1", control.Order{Kind: "failover", LIM: 1, Now: true}); err != nil {
			t.Fatal(err)
		}
		w.until(10*time.Second, "the standby writes", p.writesOn("sb1"))
		w.until(10*time.Second, "the master follows", p.follows("srv1"))
		p.keptAside(0)
	})
}

// After a partition the side that LIM 1 leaves gives way, and keeps aside what it alone had.
func TestManagementSystemAfterAPartition(t *testing.T) {
	inManagedWorld(t, manual, func(w *world, p *managementPair) {
		w.partition(true, "srv1", "sb1", "srv2")
		w.until(10*time.Second, "both write", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.all["srv1"].writes && p.all["sb1"].writes })
		pass(5 * time.Second)
		w.partition(false, "srv1", "sb1", "srv2")
		w.until(20*time.Second, "the standby alone writes", func() bool { return p.writesOn("sb1")() && p.follows("srv1")() })
		p.keptAside(1)
	})
}

// denied reports whether a server's kernel keeps the virtual address off the wire.
func (p *managementPair) denied(name string) bool {
	all, err := p.w.servers[name].kernel.Denied()
	return err == nil && slices.Contains(all, managementAddress.Addr())
}

// The virtual address is denied where it is not held: an old master that boots with it in a network
// file, denied before the network came up, answers for it at no moment, and its agent takes it off.
func TestManagementAddressIsDeniedWhereItIsNotHeld(t *testing.T) {
	inManagedWorld(t, manual, func(w *world, p *managementPair) {
		w.until(time.Second, "it is denied on the others", func() bool { return !p.denied("srv1") && p.denied("sb1") && p.denied("srv2") })
		p.off("srv1")
		w.powerCut("srv1")
		w.until(2*time.Second, "the standby writes", p.writesOn("sb1"))
		if p.denied("sb1") {
			t.Error("it is denied where it is held")
		}
		kernel := w.servers["srv1"].kernel
		if err := errors.Join(kernel.Deny(managementAddress.Addr()), kernel.Hold("eth0", managementAddress, 0)); err != nil {
			t.Fatal(err)
		}
		w.boot("srv1")
		for !slices.Equal(p.holders(), []string{"sb1"}) {
			if !p.denied("srv1") {
				t.Fatal("the old master answers for the virtual address")
			}
			pass(time.Millisecond)
		}
		w.until(10*time.Second, "the old master follows", p.follows("srv1"))
		if !p.denied("srv1") || !p.writesOn("sb1")() {
			t.Error("it is not denied any more")
		}
		kernel.FlushRules()
		w.until(time.Second, "it is denied again", func() bool { return p.denied("srv1") })
	})
}

// With an arbiter a master that is cut off from all others and from the arbiter gives the virtual
// address up with the key of LIM 1, before the standby has it: never have both. Neither has a master
// that boots and gets no key.
func TestManagementAddressGoesWithTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		arb := &arbitertest.Fake{}
		w := newWorld(t, manual)
		defer w.close()
		w.arbitrated(arb)
		arbitrated := w.wrap
		p := w.managed()
		managed := w.wrap
		w.wrap = func(m *machine, d Deps) Deps { return managed(m, arbitrated(m, d)) }
		w.settled()
		w.until(5*time.Second, "the pair stands", func() bool { return p.writesOn("srv1")() && p.follows("sb1")() })
		w.talk()
		w.partition(true, "srv1", "srv2", "sb1")
		arb.Cut("srv1", true)
		for end := time.Now().Add(keyLease + 5*time.Second); !p.writesOn("sb1")(); pass(time.Millisecond) {
			if len(p.holders()) > 1 {
				t.Fatal("two have the virtual address")
			}
			if time.Now().After(end) {
				t.Fatal("the standby does not take it over")
			}
		}
		w.powerCut("srv1")
		p.off("srv1")
		w.boot("srv1") // as cut off as before
		for range 40 * 100 {
			pass(10 * time.Millisecond)
			if !p.writesOn("sb1")() {
				t.Fatalf("the virtual address is on %v", p.holders())
			}
		}
		w.partition(false, "srv1", "srv2", "sb1")
		arb.Cut("srv1", false)
		w.until(20*time.Second, "the old master follows", p.follows("srv1"))
		w.wantKey(arb, 1, "sb1")
		p.check()
	})
}

// Restarted, or killed and started again, the agent of the active server disturbs nothing; a dead
// agent's address goes with its lease.
func TestManagementSystemOutlivesItsAgent(t *testing.T) {
	inManagedWorld(t, manual, func(w *world, p *managementPair) {
		w.kill("srv1")
		pass(time.Second)
		w.start("srv1")
		for range 2000 {
			pass(5 * time.Millisecond)
			if !p.writesOn("srv1")() {
				t.Fatal("it was disturbed by a restart of the agent")
			}
		}
		w.kill("srv1")
		w.until(10*time.Second, "the standby writes", p.writesOn("sb1"))
	})
}

// What fails is tried again, and told by an alarm, which goes with its cause.
func TestManagementSystemThatFailsIsTold(t *testing.T) {
	inManagedWorld(t, manual, func(w *world, p *managementPair) {
		p.mu.Lock()
		p.broken = errors.New("no room")
		p.mu.Unlock()
		p.off("srv1")
		w.powerCut("srv1")
		w.until(2*time.Minute, "an alarm", func() bool { return w.alarmOf("sb1", alarms.ManagementNotRedundant) != nil })
		p.mu.Lock()
		p.broken = nil
		p.mu.Unlock()
		w.until(10*time.Second, "the standby writes", p.writesOn("sb1"))
		w.boot("srv1")
		w.until(time.Minute, "no alarm", func() bool { return w.alarmOf("sb1", alarms.ManagementNotRedundant) == nil })
	})
}
