package agent

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/failover"
	"mxcluster/internal/services"
	"mxcluster/internal/services/servicestest"
)

// inPreloaded runs a test in a preloaded cluster of srv1 with LIM 1 and sb1; both
// are up, and the standby has loaded.
func inPreloaded(t *testing.T, fallback clusterconf.FallbackType, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		doc := worldDocument(fallback)
		doc.Clusters[0].Failover = clusterconf.FailoverPreloaded
		doc.Clusters[0].LIMs = doc.Clusters[0].LIMs[:1]
		w := newWorldOf(t, doc)
		w.watchers.Add(1)
		go w.watchAliases()
		defer w.close()
		w.start("srv1", "srv2", "sb1")
		w.await(1, "srv1", soon)
		w.awaitState(1, "sb1", failover.Preloaded, soon)
		f(w)
		w.neverTwice()
	})
}

// awaitState lets time pass until a LIM is in a state on a server.
func (w *world) awaitState(lim int, on string, want failover.State, within time.Duration) {
	w.t.Helper()
	for began := time.Now(); time.Since(began) <= within; pass(time.Millisecond) {
		info, err := w.servers[on].agent.Agent(w.t.Context())
		if err == nil && slices.ContainsFunc(info.LIMs, func(l control.LIMInfo) bool { return l.LIM == lim && l.State == string(want) }) {
			return
		}
	}
	w.t.Fatalf("LIM %d is not %s on %s after %s: %s", lim, want, on, within, w.reasons(lim))
}

// passive fails the test unless a server has LIM 1 as the passive side should.
func (w *world) passive(on string) {
	w.t.Helper()
	m := w.servers[on]
	alias := w.doc.Clusters[0].LIMs[0].Alias
	blocked, err := m.kernel.Blocked("eth0")
	if err != nil || !slices.Equal(blocked, []netip.Addr{alias.Addr()}) {
		w.t.Errorf("%s blocks %v (%v)", on, blocked, err)
	}
	addrs, err := m.kernel.Addresses("eth0")
	if err != nil || len(addrs) != 2 || addrs[1].Prefix != alias || addrs[1].Permanent {
		w.t.Errorf("%s has %v (%v), want a lease of the alias", on, addrs, err)
	}
	if s := w.software(on); s != services.Running {
		w.t.Errorf("the software on %s is %s", on, s)
	}
	if r := w.lastRole(on); r != rolePassive {
		w.t.Errorf("the software on %s was last told that it is %s", on, r)
	}
}

// lastRole is what a server's software was last told of its role.
func (w *world) lastRole(on string) string {
	role := ""
	for _, c := range w.servers[on].soft.Calls() {
		if c.Verb == servicestest.VerbStart || c.Verb == servicestest.VerbReload {
			role = c.Env.Role
		}
	}
	return role
}

func TestPreloadedPowerCutAndFallback(t *testing.T) {
	inPreloaded(t, manual, func(w *world) {
		w.passive("sb1")
		cut := w.powerCut("srv1")
		w.await(1, "sb1", soon)
		t.Logf("taken over %s after the power cut", time.Since(cut))
		if n := w.count("sb1", servicestest.VerbStart); n != 1 || w.lastRole("sb1") != roleActive {
			t.Errorf("the software was started %d times, and is %s", n, w.lastRole("sb1"))
		}
		w.boot("srv1")
		w.awaitState(1, "srv1", failover.Preloaded, soon)
		w.passive("srv1")
		pass(3 * time.Second) // the others hear of it
		w.await(1, "sb1", 0)  // manual: it stays
		stops := w.count("sb1", servicestest.VerbStop)
		if _, err := w.order("srv2", control.Order{Kind: control.OrderFallback, LIM: 1}); err != nil {
			t.Fatal(err)
		}
		w.await(1, "srv1", soon)
		w.awaitState(1, "sb1", failover.Preloaded, soon)
		w.passive("sb1")
		if n := w.count("sb1", servicestest.VerbStop); n != stops {
			t.Error("the software was stopped by a fallback")
		}
		pass(3 * time.Second) // srv1 hears that the standby is preloaded
		w.movedToStandby(1)
		w.awaitState(1, "srv1", failover.Preloaded, soon)
		w.passive("srv1")
	})
}

// Automatic fallback waits until the regular server has loaded.
func TestPreloadedAutomaticFallbackWaits(t *testing.T) {
	inPreloaded(t, clusterconf.FallbackAutomatic, func(w *world) {
		w.powerCut("srv1")
		w.await(1, "sb1", soon)
		loaded := make(chan struct{})
		w.servers["srv1"].soft.Script(servicestest.VerbStart, servicestest.Step{Until: loaded})
		w.boot("srv1")
		w.awaitState(1, "srv1", failover.Loading, soon)
		pass(20 * time.Second)
		w.await(1, "sb1", 0)
		close(loaded)
		w.await(1, "srv1", soon)
	})
}

// A standby that still loads takes over when it has loaded.
func TestPreloadedTakeoverWhileLoading(t *testing.T) {
	inPreloaded(t, manual, func(w *world) {
		loaded := make(chan struct{})
		w.servers["sb1"].soft.Script(servicestest.VerbReload, servicestest.Step{Until: loaded})
		w.servers["sb1"].setData(&failover.Data{Version: "xdata_1_20260301000000", Newest: time.Now()})
		w.awaitState(1, "sb1", failover.Loading, soon)
		w.powerCut("srv1")
		pass(10 * time.Second)
		if h := w.holders(1); len(h) > 0 {
			t.Errorf("the alias is on %v while the standby loads", h)
		}
		close(loaded)
		w.await(1, "sb1", soon)
	})
}

// A new data version is loaded by the passive side, and by that alone.
func TestPreloadedLoadsNewData(t *testing.T) {
	inPreloaded(t, manual, func(w *world) {
		before := w.count("srv1", servicestest.VerbReload)
		d := &failover.Data{Version: "xdata_1_20260301000000", Newest: time.Now()}
		for _, on := range []string{"srv1", "sb1"} {
			w.servers[on].setData(d)
		}
		pass(2 * time.Second)
		w.awaitState(1, "sb1", failover.Preloaded, 0)
		calls := w.servers["sb1"].soft.Calls()
		last := calls[len(calls)-1]
		for _, c := range calls {
			if c.Verb == servicestest.VerbReload {
				last = c
			}
		}
		if last.Verb != servicestest.VerbReload || last.Env.XData != "/x/"+d.Version || last.Env.Role != rolePassive {
			t.Errorf("the passive side was last asked to %s with %+v", last.Verb, last.Env)
		}
		if n := w.count("srv1", servicestest.VerbReload); n != before {
			t.Errorf("the active side was reloaded %d times", n-before)
		}
		// Software that cannot reload is started anew.
		w.servers["sb1"].soft.Script(servicestest.VerbReload, servicestest.Step{Err: errBroken})
		w.servers["sb1"].setData(&failover.Data{Version: "xdata_1_20260302000000", Newest: time.Now()})
		pass(2 * time.Second)
		w.awaitState(1, "sb1", failover.Preloaded, 0)
		w.passive("sb1")
		if n := w.count("sb1", servicestest.VerbStart); n != 2 {
			t.Errorf("started %d times, want a second time", n)
		}
	})
}

// Whatever happens to the passive side's agent, its alias is blocked as long as it
// is there; a new agent takes the loaded software over.
func TestPreloadedPassiveAgentKilled(t *testing.T) {
	inPreloaded(t, manual, func(w *world) {
		w.kill("sb1")
		pass(time.Second)
		w.passive("sb1")
		w.start("sb1")
		w.awaitState(1, "sb1", failover.Preloaded, soon)
		w.passive("sb1")
		if n := w.count("sb1", servicestest.VerbStop); n > 0 {
			t.Errorf("the software was stopped %d times", n)
		}
		w.kill("sb1")
		pass(time.Minute) // the lease has run out
		w.start("sb1")
		w.awaitState(1, "sb1", failover.Preloaded, soon)
		w.passive("sb1")
		w.await(1, "srv1", 0)
	})
}

// Another tool flushes the kernel's rules, or deletes the alias.
func TestPreloadedBlockComesBack(t *testing.T) {
	inPreloaded(t, manual, func(w *world) {
		w.servers["sb1"].kernel.FlushRules()
		pass(10 * time.Millisecond)
		w.passive("sb1")
		if err := w.servers["sb1"].kernel.Drop("eth0", w.doc.Clusters[0].LIMs[0].Alias); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		w.passive("sb1")
		w.forgetTwice() // the moment after the flush
	})
}

// Deleting the cluster is the way out: nothing of it stays on the standby.
func TestPreloadedEnds(t *testing.T) {
	inPreloaded(t, manual, func(w *world) {
		w.carryOut(func(d *clusterconf.Document) error { return d.DeleteCluster("c1") })
		pass(5 * time.Second)
		m := w.servers["sb1"]
		blocked, err := m.kernel.Blocked("eth0")
		addrs, _ := m.kernel.Addresses("eth0")
		if err != nil || len(blocked) > 0 || len(addrs) != 1 {
			t.Errorf("sb1 has %v and blocks %v (%v)", addrs, blocked, err)
		}
		if s := w.software("sb1"); s != services.Stopped {
			t.Errorf("the software on sb1 is %s", s)
		}
		if s := w.software("srv1"); s != services.Running {
			t.Errorf("the software on srv1 is %s", s)
		}
	})
}

// Passive software that fails is restarted, and then loaded anew; it costs the
// active side nothing.
func TestPreloadedPassiveSoftwareFails(t *testing.T) {
	inPreloaded(t, manual, func(w *world) {
		w.servers["sb1"].soft.SetState(services.Stopped)
		pass(3 * time.Second)
		w.awaitState(1, "sb1", failover.Preloaded, 0)
		w.passive("sb1")
		w.servers["sb1"].soft.Script(servicestest.VerbStart, servicestest.Step{Err: errBroken})
		w.servers["sb1"].soft.SetState(services.Stopped)
		pass(5 * time.Second)
		w.awaitState(1, "sb1", failover.Failed, 0)
		w.await(1, "srv1", 0)
		w.servers["sb1"].soft.Script(servicestest.VerbStart, servicestest.Step{})
		pass(time.Minute)
		w.awaitState(1, "sb1", failover.Preloaded, 0)
		w.passive("sb1")
	})
}

// A passive side that can keep its state nowhere neither loads nor tries all the time.
func TestPreloadedDiskFails(t *testing.T) {
	inPreloaded(t, manual, func(w *world) {
		m := w.servers["sb1"]
		w.powerCut("sb1")
		m.state.setFail(errBroken, errBroken)
		calls := len(m.soft.Calls())
		w.boot("sb1")
		pass(time.Minute)
		w.awaitState(1, "sb1", failover.Stopped, soon)
		if n := len(m.soft.Calls()) - calls; n > 20 {
			t.Errorf("the software was called %d times in a minute", n)
		}
		m.state.setFail(nil, nil)
		pass(retryLongest)
		w.awaitState(1, "sb1", failover.Preloaded, soon)
		w.passive("sb1")
		w.await(1, "srv1", 0)
	})
}

// An agent that is killed in the midst of becoming active or passive leaves an
// alias that nobody hears of, and the next agent sorts it out.
func TestPreloadedKilledAtChange(t *testing.T) {
	inPreloaded(t, manual, func(w *world) {
		hang := make(chan struct{})
		w.servers["srv1"].soft.Script(servicestest.VerbReload, servicestest.Step{Until: hang})
		if _, err := w.order("srv1", control.Order{Kind: control.OrderFailover, LIM: 1}); err != nil {
			t.Fatal(err)
		}
		w.await(1, "sb1", soon)
		w.kill("srv1")
		w.servers["srv1"].soft.Script(servicestest.VerbReload, servicestest.Step{})
		w.start("srv1")
		w.awaitState(1, "srv1", failover.Preloaded, soon)
		w.await(1, "sb1", 0)
		w.passive("srv1")
	})
}

// Partition and heal: both serve, then the configured side yields and loads anew.
func TestPreloadedSplitBrain(t *testing.T) {
	inPreloaded(t, manual, func(w *world) {
		w.talk()
		w.partition(true, "srv1", "sb1", "srv2")
		pass(10 * time.Second)
		if h := w.holders(1); len(h) != 2 {
			t.Errorf("while cut off the alias is on %v", h)
		}
		w.partition(false, "srv1", "sb1", "srv2")
		healed := time.Now()
		w.await(1, "sb1", soon)
		t.Logf("one holder %s after the heal", time.Since(healed))
		w.awaitState(1, "srv1", failover.Preloaded, soon)
		w.passive("srv1")
		w.forgetTwice() // until it had yielded
	})
}

// On the passive side a LIM on the standby is as it should be, until it serves there
// (spec ch. 11).
func TestPreloadedAlarms(t *testing.T) {
	inPreloaded(t, manual, func(w *world) {
		expected := func() []bool {
			var out []bool
			for _, a := range w.alarmsSeen("sb1") {
				if a.Name == "lim-on-standby" {
					out = append(out, a.Expected)
				}
			}
			return out
		}
		w.awaitAlarms(soon, onStandby1)
		pass(2 * time.Second) // until the standby has looked ahead
		if got := expected(); !slices.Equal(got, []bool{true}) || w.status("sb1").Health != "ok" {
			t.Errorf("expected: %v, health %s", got, w.status("sb1").Health)
		}
		w.powerCut("srv1")
		w.await(1, "sb1", soon)
		pass(2 * time.Second)
		if got := expected(); !slices.Equal(got, []bool{false}) {
			t.Errorf("while it serves: expected %v", got)
		}
	})
}
