package agent

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
	"mxcluster/internal/arbiter"
	"mxcluster/internal/arbiter/arbitertest"
	"mxcluster/internal/arbiter/keeper"
	"mxcluster/internal/control"
	"mxcluster/internal/failover"
	"mxcluster/internal/services"
	"mxcluster/internal/services/servicestest"
)

const keyLease = 6 * time.Second

// withArbiter runs a test in a cluster with an arbiter, and fails it if ever two
// servers had one alias, whether they heard each other or not.
func withArbiter(t *testing.T, fallback clusterconf.FallbackType, f func(w *world, arb *arbitertest.Fake)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		arb := &arbitertest.Fake{}
		w := newWorld(t, fallback)
		defer w.close()
		w.arbitrated(arb)
		f(w, arb)
		w.neverTwice()
	})
}

// arbitrated gives a world an arbiter.
func (w *world) arbitrated(arb *arbitertest.Fake) {
	w.setStrict()
	w.adjust = func(c *Config) { c.ArbiterLease = keyLease }
	w.wrap = func(m *machine, d Deps) Deps {
		d.Arbiter = arb.For(m.name)
		return d
	}
}

func (w *world) wantKey(arb *arbitertest.Fake, lim int, server string) {
	w.t.Helper()
	if got := arb.Holder(lim); got != server {
		w.t.Errorf("the arbiter says that LIM %d is held by %q, want %q", lim, got, server)
	}
}

// raised reports whether a server has raised an alarm.
func (w *world) raised(name alarms.Name, server string) bool {
	w.t.Helper()
	return slices.ContainsFunc(w.servers[server].agent.alarmsNow(w.t), func(a alarms.Alarm) bool { return a.Name == name })
}

func (a *Agent) alarmsNow(t testing.TB) []alarms.Alarm {
	t.Helper()
	got, err := on(t.Context(), a.core, func() ([]alarms.Alarm, error) { return slices.Clone(a.alarms.Alarms), nil })
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestArbiterAtRest(t *testing.T) {
	withArbiter(t, manual, func(w *world, arb *arbitertest.Fake) {
		w.settled()
		starts := w.count("srv1", servicestest.VerbStart)
		gap := w.watchGap(1, "srv1")
		pass(2 * time.Minute)
		if lost := gap(); lost > 0 || w.count("srv1", servicestest.VerbStart) != starts {
			t.Errorf("in two minutes at rest the alias was gone for %s, the software was started %d times", lost, w.count("srv1", servicestest.VerbStart)-starts)
		}
		w.wantKey(arb, 1, "srv1")
		w.wantKey(arb, 2, "srv2")
	})
}

// A dead server's key runs out; the standby takes over then, and not before.
func TestArbiterPowerCut(t *testing.T) {
	withArbiter(t, manual, func(w *world, arb *arbitertest.Fake) {
		w.settled()
		w.powerCut("srv1")
		w.wantKey(arb, 1, "srv1")
		took := w.await(1, "sb1", keyLease+time.Second)
		t.Logf("takeover %s after the power cut, keys last %s", took, keyLease)
		if took < keyLease-keyLease/keeper.Periods-time.Millisecond {
			t.Errorf("it did not wait for the key: %s", took)
		}
		w.wantKey(arb, 1, "sb1")
		w.boot("srv1")
		pass(10 * time.Second)
		w.await(1, "sb1", 0)
		if _, err := w.order("srv2", control.Order{Kind: control.OrderFallback, LIM: 1}); err != nil {
			t.Fatal(err)
		}
		took = w.await(1, "srv1", soon)
		t.Logf("fallback by order took %s", took)
		if took > 500*time.Millisecond {
			t.Errorf("a planned move waited %s: was the key not given back?", took)
		}
		w.wantKey(arb, 1, "srv1")
	})
}

// A regular server that is cut off from all others and from the arbiter stops
// before the standby takes over.
func TestArbiterRegularCutOff(t *testing.T) {
	withArbiter(t, manual, func(w *world, arb *arbitertest.Fake) {
		w.settled()
		w.talk() // who hears nothing at all blocks its alias before that
		w.partition(true, "srv1", "srv2", "sb1")
		arb.Cut("srv1", true)
		cut := time.Now()
		w.await(1, "sb1", keyLease+time.Second)
		t.Logf("takeover %s after the cut", time.Since(cut))
		if got := w.software("srv1"); got != services.Stopped {
			t.Errorf("the software on srv1 is %s", got)
		}
		pass(time.Minute)
		w.partition(false, "srv1", "srv2", "sb1")
		arb.Cut("srv1", false)
		pass(10 * time.Second)
		w.await(1, "sb1", 0)
		w.wantKey(arb, 1, "sb1")
	})
}

// A regular server that is cut off from the others alone, and reaches its clients
// and the arbiter, goes on; the standby does not take over, and says why.
func TestArbiterKeepsTheStandbyOut(t *testing.T) {
	withArbiter(t, manual, func(w *world, arb *arbitertest.Fake) {
		w.settled()
		w.talk() // the arbiter's frames come in, too
		gap := w.watchGap(1, "srv1")
		defer w.calls(netip.MustParseAddr("192.0.2.11"))()
		w.partition(true, "srv1", "srv2", "sb1")
		pass(time.Minute)
		if r := w.reasons(1); !strings.Contains(r, "waits for the arbiter to let go of the key of srv1") {
			t.Errorf("the standby does not say why it waits: %s", r)
		}
		w.partition(false, "srv1", "srv2", "sb1")
		pass(10 * time.Second)
		w.await(1, "srv1", 0)
		if lost := gap(); lost > 0 {
			t.Errorf("the alias was gone for %s", lost)
		}
	})
}

// calls has a client ask for an address, until the function that it returns is called.
func (w *world) calls(addr netip.Addr) (end func()) {
	w.t.Helper()
	client := w.foreignHost(netip.MustParsePrefix("192.0.2.99/24"))
	wire, err := w.segment.OpenWire(client, "eth0")
	if err != nil {
		w.t.Fatal(err)
	}
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				if err := wire.Ask(netip.MustParseAddr("192.0.2.99"), addr, nil); err != nil {
					w.t.Error(err)
				}
			}
		}
	}()
	return func() {
		close(stop)
		<-ended
		if err := wire.Close(); err != nil {
			w.t.Error(err)
		}
		client.Close()
	}
}

// A server that reaches the arbiter and nobody else, as by another cable, gives
// its key up: it serves nobody.
func TestArbiterReachedByTheDeaf(t *testing.T) {
	withArbiter(t, manual, func(w *world, arb *arbitertest.Fake) {
		w.settled()
		w.partition(true, "srv1", "srv2", "sb1")
		t.Logf("takeover %s after the switch port died", w.await(1, "sb1", 3*time.Second))
		w.partition(false, "srv1", "srv2", "sb1")
		pass(10 * time.Second)
		w.await(1, "sb1", 0)
	})
}

// An arbiter that is away for less than its lease disturbs nobody.
func TestArbiterRestart(t *testing.T) {
	withArbiter(t, manual, func(w *world, arb *arbitertest.Fake) {
		w.settled()
		starts := w.count("srv1", servicestest.VerbStart)
		gap := w.watchGap(1, "srv1")
		for range 10 {
			arb.Down(true)
			pass(4 * time.Second)
			arb.Down(false)
			pass(7300 * time.Millisecond)
		}
		if lost := gap(); lost > 0 || w.count("srv1", servicestest.VerbStart) != starts {
			t.Errorf("the alias was gone for %s, the software was started %d times", lost, w.count("srv1", servicestest.VerbStart)-starts)
		}
		if w.raised(alarms.ArbiterUnreachable, "srv1") || w.raised(alarms.ArbiterUnreachable, "sb1") {
			t.Error("an alarm for an arbiter that is back in time")
		}
	})
}

// An arbiter that is away for longer ends all; they are back when it is.
func TestArbiterDown(t *testing.T) {
	withArbiter(t, manual, func(w *world, arb *arbitertest.Fake) {
		w.settled()
		arb.Down(true)
		pass(keyLease + 3*time.Second)
		for lim := 1; lim <= 2; lim++ {
			if h := w.holders(lim); len(h) > 0 {
				t.Errorf("LIM %d is on %v without the arbiter", lim, h)
			}
		}
		if r := w.reasons(1); !strings.Contains(r, "waits for the arbiter, which cannot be reached") {
			t.Errorf("reasons: %s", r)
		}
		for _, name := range []string{"srv1", "srv2", "sb1"} {
			if !w.raised(alarms.ArbiterUnreachable, name) {
				t.Errorf("no alarm on %s", name)
			}
		}
		pass(2 * time.Minute)
		arb.Down(false)
		w.await(1, "srv1", soon)
		w.await(2, "srv2", soon)
		pass(5 * time.Second)
		if w.raised(alarms.ArbiterUnreachable, "srv1") {
			t.Error("the alarm stays though the arbiter is back")
		}
	})
}

// Without the arbiter nothing starts.
func TestArbiterDownAtBoot(t *testing.T) {
	withArbiter(t, manual, func(w *world, arb *arbitertest.Fake) {
		arb.Down(true)
		w.start("srv1", "srv2", "sb1")
		pass(time.Minute)
		if h := slices.Concat(w.holders(1), w.holders(2)); len(h) > 0 {
			t.Errorf("aliases are on %v", h)
		}
		arb.Down(false)
		w.await(1, "srv1", soon)
		w.await(2, "srv2", soon)
	})
}

// A server that alone does not reach the arbiter loses its LIM to the standby, and
// gets it back when it does.
func TestArbiterOutOfReachOfOne(t *testing.T) {
	withArbiter(t, automatic, func(w *world, arb *arbitertest.Fake) {
		w.settled()
		arb.Cut("srv1", true)
		w.await(1, "sb1", keyLease+2*time.Second)
		if r := w.reasons(1); !strings.Contains(r, "srv1 does not reach the arbiter") {
			t.Errorf("reasons: %s", r)
		}
		pass(time.Minute)
		w.await(1, "sb1", 0)
		arb.Cut("srv1", false)
		w.await(1, "srv1", soon)
	})
}

// An agent that is killed and back in time goes on, and so does its key.
func TestArbiterAgentKilledAndBack(t *testing.T) {
	withArbiter(t, manual, func(w *world, arb *arbitertest.Fake) {
		w.settled()
		gap := w.watchGap(1, "srv1")
		for range 5 {
			w.kill("srv1")
			pass(2 * time.Second)
			w.start("srv1")
			w.await(1, "srv1", soon)
			pass(3 * time.Second)
		}
		if lost := gap(); lost > 0 {
			t.Errorf("the alias was gone for %s", lost)
		}
		w.wantKey(arb, 1, "srv1")
		w.kill("srv1")
		took := w.await(1, "sb1", keyLease+time.Second)
		t.Logf("takeover %s after the agent was killed for good", took)
	})
}

// A new agent that does not reach the arbiter leaves the alias the time that it
// has, and no more.
func TestArbiterOutOfReachOfANewAgent(t *testing.T) {
	withArbiter(t, manual, func(w *world, arb *arbitertest.Fake) {
		w.settled()
		w.kill("srv1")
		arb.Cut("srv1", true)
		w.start("srv1")
		pass(4 * time.Second)
		if h := w.holders(1); slices.Contains(h, "srv1") {
			t.Errorf("the alias is on %v", h)
		}
		w.await(1, "sb1", keyLease)
	})
}

// A stopped agent leaves alias and key for a minute: an upgrade moves no call. If
// it lasts longer the standby takes over when both have run out.
func TestArbiterAgentStopped(t *testing.T) {
	withArbiter(t, manual, func(w *world, arb *arbitertest.Fake) {
		w.settled()
		gap := w.watchGap(1, "srv1")
		stop := func() {
			if _, err := w.servers["srv1"].agent.Stop(w.t.Context(), control.StopRequest{}); err != nil {
				t.Fatal(err)
			}
			<-w.servers["srv1"].ended
			w.servers["srv1"].agent = nil
		}
		stop()
		pass(50 * time.Second)
		w.start("srv1")
		w.await(1, "srv1", soon)
		pass(5 * time.Second)
		if lost := gap(); lost > 0 {
			t.Errorf("the alias was gone for %s", lost)
		}
		w.wantKey(arb, 1, "srv1")
		stop()
		took := w.await(1, "sb1", parkedKey+5*time.Second)
		t.Logf("takeover %s after the agent was stopped", took)
		if took < 50*time.Second {
			t.Errorf("the stopped agent's LIM was taken away after %s", took)
		}
	})
}

// An agent that gives its LIMs up gives the keys back.
func TestArbiterAgentReleases(t *testing.T) {
	withArbiter(t, manual, func(w *world, arb *arbitertest.Fake) {
		w.settled()
		if _, err := w.servers["srv1"].agent.Stop(w.t.Context(), control.StopRequest{Release: true}); err != nil {
			t.Fatal(err)
		}
		took := w.await(1, "sb1", soon)
		t.Logf("takeover %s after the release", took)
		if took > time.Second {
			t.Errorf("the key was not given back")
		}
		<-w.servers["srv1"].ended
		w.servers["srv1"].agent = nil
	})
}

// forgetfulArbiter does not hear the first times that a key is given back.
type forgetfulArbiter struct {
	keeper.Arbiter
	times atomic.Int32
}

func (a *forgetfulArbiter) Release(ctx context.Context, lease int64) error {
	if a.times.Add(-1) >= 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	return a.Arbiter.Release(ctx, lease)
}

// A key that could not be given back at once is given back later: a planned move does
// not wait until it runs out.
func TestArbiterGivesBackInTheEnd(t *testing.T) {
	withArbiter(t, manual, func(w *world, arb *arbitertest.Fake) {
		wrap := w.wrap
		w.wrap = func(m *machine, d Deps) Deps {
			d = wrap(m, d)
			forgetful := &forgetfulArbiter{Arbiter: d.Arbiter}
			forgetful.times.Store(2)
			d.Arbiter = forgetful
			return d
		}
		w.settled()
		if _, err := w.order("srv2", control.Order{Kind: control.OrderFailover, LIM: 1, Now: true}); err != nil {
			t.Fatal(err)
		}
		took := w.await(1, "sb1", keyLease/2)
		t.Logf("moved after %s", took)
		w.wantKey(arb, 1, "sb1")
	})
}

// An agent that is paused, for longer than the key lasts, finds alias and key gone.
func TestArbiterAgentPaused(t *testing.T) {
	withArbiter(t, manual, func(w *world, arb *arbitertest.Fake) {
		x := &trouble{}
		wrap := w.wrap
		w.wrap = func(m *machine, d Deps) Deps {
			if d = wrap(m, d); m.name == "srv1" {
				d.Kernel = troubledKernel{d.Kernel, x}
				d.Arbiter = troubledArbiter{d.Arbiter, x}
			}
			return d
		}
		w.settled()
		for _, d := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 6 * time.Second, 20 * time.Second} {
			x.freeze()
			pass(d)
			x.thaw()
			pass(15 * time.Second)
			if len(w.holders(1)) != 1 {
				t.Errorf("after a pause of %s the alias is on %v", d, w.holders(1))
			}
			if w.holders(1)[0] == "sb1" {
				if _, err := w.order("sb1", control.Order{Kind: control.OrderFallback, LIM: 1}); err != nil {
					t.Fatal(err)
				}
				w.await(1, "srv1", soon)
			}
		}
	})
}

// A key that somebody deletes is taken anew: nobody notices.
func TestArbiterKeyDeleted(t *testing.T) {
	withArbiter(t, manual, func(w *world, arb *arbitertest.Fake) {
		w.settled()
		gap := w.watchGap(1, "srv1")
		for range 5 {
			arb.Delete(1)
			pass(1700 * time.Millisecond)
			w.wantKey(arb, 1, "srv1")
		}
		if lost := gap(); lost > 0 {
			t.Errorf("the alias was gone for %s", lost)
		}
	})
}

// A cable that is pulled, on a server that reaches the arbiter by another one.
func TestArbiterReachedByAnotherCable(t *testing.T) {
	withArbiter(t, manual, func(w *world, arb *arbitertest.Fake) {
		w.settled()
		w.servers["srv1"].kernel.SetUp("eth0", false)
		w.partition(true, "srv1", "srv2", "sb1")
		took := w.await(1, "sb1", 5*time.Second)
		t.Logf("takeover %s after the cable was pulled", took)
		w.servers["srv1"].kernel.SetUp("eth0", true)
		w.partition(false, "srv1", "srv2", "sb1")
		pass(10 * time.Second)
		w.await(1, "sb1", 0)
	})
}

// A server of the cluster without the arbiter is told of.
func TestArbiterDiffers(t *testing.T) {
	withArbiter(t, manual, func(w *world, arb *arbitertest.Fake) {
		wrap := w.wrap
		w.wrap = func(m *machine, d Deps) Deps {
			if d = wrap(m, d); m.name == "sb1" {
				d.Arbiter = nil
			}
			return d
		}
		w.settled()
		pass(5 * time.Second)
		if !w.raised(alarms.ArbiterDiffers, "srv1") || w.raised(alarms.ArbiterDiffers, "sb1") {
			t.Errorf("alarms: %+v", w.servers["srv1"].agent.alarmsNow(w.t))
		}
	})
}

// troubledArbiter is the arbiter of a server whose agent is paused: neither its
// questions go out then, nor do answers come in.
type troubledArbiter struct {
	keeper.Arbiter
	x *trouble
}

func (a troubledArbiter) Take(ctx context.Context, lim int, want arbiter.Key, lasts time.Duration) (arbiter.Key, error) {
	a.x.pass()
	defer a.x.pass()
	return a.Arbiter.Take(ctx, lim, want, lasts)
}

func (a troubledArbiter) Renew(ctx context.Context, lease int64) error {
	a.x.pass()
	defer a.x.pass()
	return a.Arbiter.Renew(ctx, lease)
}

func (a troubledArbiter) Keys(ctx context.Context) (map[int]arbiter.Key, error) {
	a.x.pass()
	defer a.x.pass()
	return a.Arbiter.Keys(ctx)
}

func TestAliasTimes(t *testing.T) {
	for _, tt := range []struct{ alias, key, want time.Duration }{
		{3 * time.Second, 6 * time.Second, 3 * time.Second},
		{10 * time.Second, 6 * time.Second, 4 * time.Second},
		{3 * time.Second, 3 * time.Second, 2 * time.Second},
		{3 * time.Second, 2 * time.Second, time.Second},
		{time.Second, 60 * time.Second, time.Second},
	} {
		if got := keeper.AliasLease(tt.alias, tt.key); got != tt.want {
			t.Errorf("with leases of %s and %s aliases have one of %s, want %s", tt.alias, tt.key, got, tt.want)
		}
	}
	for left, want := range map[time.Duration]time.Duration{0: 0, 999 * time.Millisecond: 0, time.Second: time.Second, 2900 * time.Millisecond: 2 * time.Second, time.Hour: 3 * time.Second} {
		if got := aliasTime(3*time.Second, left); got != want {
			t.Errorf("with %s left an alias is given for %s, want %s", left, got, want)
		}
	}
}

// Of a preloaded cluster the side that serves has the key; the passive one needs none.
func TestArbiterPreloaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc := worldDocument(manual)
		doc.Clusters[0].Failover = clusterconf.FailoverPreloaded
		doc.Clusters[0].LIMs = doc.Clusters[0].LIMs[:1]
		w, arb := newWorldOf(t, doc), &arbitertest.Fake{}
		w.watchers.Add(1)
		go w.watchAliases()
		defer w.close()
		w.arbitrated(arb)
		w.start("srv1", "srv2", "sb1")
		w.await(1, "srv1", soon)
		w.awaitState(1, "sb1", failover.Preloaded, soon)
		if _, err := w.order("srv1", control.Order{Kind: control.OrderFailover, LIM: 1}); err != nil {
			t.Fatal(err)
		}
		t.Logf("failover by order took %s", w.await(1, "sb1", soon))
		w.wantKey(arb, 1, "sb1")
		w.awaitState(1, "srv1", failover.Preloaded, soon)
		w.powerCut("sb1")
		t.Logf("takeover took %s", w.await(1, "srv1", keyLease+time.Second))
		w.boot("sb1")
		w.awaitState(1, "sb1", failover.Preloaded, time.Minute)
		arb.Down(true)
		pass(keyLease + time.Second)
		if h := w.holders(1); len(h) > 0 {
			t.Errorf("the alias is on %v without the arbiter", h)
		}
		if s := w.software("sb1"); s != services.Running {
			t.Errorf("the software of the passive side is %s: it needs no key", s)
		}
		arb.Down(false)
		w.await(1, "srv1", 2*soon)
		w.neverTwice()
	})
}
