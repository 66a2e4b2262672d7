package agent

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/netops"
	"mxcluster/netops/netopstest"
)

// talk has a client on every side of every partition ask for an alias now and
// then, as clients do: whoever hears it is not cut off from all.
func (w *world) talk() { w.talkEvery(50 * time.Millisecond) }

// talkEvery is talk, more or less often.
func (w *world) talkEvery(period time.Duration) {
	w.t.Helper()
	k := netopstest.NewKernel("talker", netops.Link{Name: "eth0", Index: 2, Up: true, MAC: []byte{2, 0, 0, 0, 0, 0x89}})
	if err := k.EnsureBase("eth0", netip.MustParsePrefix("192.0.2.200/24")); err != nil {
		w.t.Fatal(err)
	}
	w.segment.Connect(k, "eth0")
	wire, err := w.segment.OpenWire(k, "eth0")
	if err != nil {
		w.t.Fatal(err)
	}
	alias := w.alias(1).Addr()
	w.watchers.Go(func() {
		tick := time.NewTicker(period)
		defer tick.Stop()
		for {
			select {
			case <-w.ended:
				return
			case <-tick.C:
				_ = wire.Ask(netip.MustParseAddr("192.0.2.200"), alias, nil) // lost with a power cut of all
			}
		}
	})
}

// A server that is cut off from everybody keeps its aliases off the wire, so that
// it is not the first to answer after the heal; at no time do two answer.
func TestCutOffFromAll(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.partition(true, "srv1", "sb1", "srv2")
		w.until(5*time.Second, "the cut off server blocks its alias", func() bool { return w.isBlocked("srv1", 1) })
		w.await(1, "sb1", 5*time.Second)
		pass(time.Minute)
		if !w.isBlocked("srv1", 1) {
			t.Error("unblocked while nobody was heard")
		}
		w.partition(false, "srv1", "sb1", "srv2")
		pass(10 * time.Second)
		w.await(1, "sb1", 0)
		if w.isBlocked("srv1", 1) || w.isBlocked("sb1", 1) {
			t.Error("something is blocked in the end")
		}
		w.neverTwice()
	})
}

// It serves again a moment after the first frame where nobody took over from it.
func TestCutOffAndNotTakenOver(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.lock("srv1", clusterconf.SideRegular, 0)
		w.partition(true, "srv1", "sb1", "srv2")
		w.until(5*time.Second, "the cut off server blocks its alias", func() bool { return w.isBlocked("srv1", 1) })
		w.partition(false, "srv1", "sb1", "srv2")
		took := w.until(time.Second, "it serves", func() bool { return slices.Equal(w.holders(1), []string{"srv1"}) })
		t.Logf("serves %s after the heal", took)
		w.neverTwice()
	})
}

// Who is heard by clients serves, though all servers are dead to it.
func TestAllServersDeadButClients(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.talk()
		w.powerCut("sb1")
		w.powerCut("srv2")
		for range 100 {
			pass(100 * time.Millisecond)
			if w.isBlocked("srv1", 1) {
				t.Fatal("the alias is blocked, though clients ask for it")
			}
		}
	})
}

// A planned move does not wait for a probe.
func TestMoveDoesNotProbe(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		for _, order := range []control.OrderKind{control.OrderFailover, control.OrderFallback} {
			to := map[control.OrderKind]string{control.OrderFailover: "sb1", control.OrderFallback: "srv1"}[order]
			began := time.Now()
			if _, err := w.order("sb1", control.Order{Kind: order, LIM: 1}); err != nil {
				t.Fatal(err)
			}
			w.until(time.Second, "nobody has it", func() bool { return len(w.holders(1)) == 0 || slices.Equal(w.holders(1), []string{to}) })
			gone := time.Now()
			w.await(1, to, time.Second)
			t.Logf("given up after %s, taken %s later", gone.Sub(began), time.Since(gone))
			if took := time.Since(gone); took >= probeCount*probeInterval {
				t.Errorf("taken by %s %s after it was given up: that is a probe's time", to, took)
			}
			pass(20 * time.Second)
		}
		w.neverTwice()
	})
}

// A client that has nothing to say is asked, and answers. When it has gone, the
// alias is blocked, and later and later when it turns out that nobody took it.
func TestQuietClientIsAsked(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		k := netopstest.NewKernel("quiet", netops.Link{Name: "eth0", Index: 2, Up: true, MAC: []byte{2, 0, 0, 0, 0, 0x90}})
		w.segment.Connect(k, "eth0")
		client := netip.MustParsePrefix("192.0.2.201/24")
		if err := k.EnsureBase("eth0", client); err != nil {
			t.Fatal(err)
		}
		wire, err := w.segment.OpenWire(k, "eth0")
		if err != nil {
			t.Fatal(err)
		}
		ask := func() {
			t.Helper()
			if err := wire.Ask(client.Addr(), w.alias(1).Addr(), nil); err != nil {
				t.Fatal(err)
			}
		}
		ask()
		w.powerCut("sb1")
		w.powerCut("srv2")
		for range 600 {
			pass(100 * time.Millisecond)
			if w.isBlocked("srv1", 1) {
				t.Fatal("the alias is blocked, though a client is there")
			}
		}
		if err := k.Drop("eth0", client); err != nil {
			t.Fatal(err)
		}
		var waits []time.Duration
		w.frame(k) // from here on nothing comes in
		for range 4 {
			waits = append(waits, w.until(time.Minute, "the alias is blocked", func() bool { return w.isBlocked("srv1", 1) }))
			w.frame(k)
			w.until(time.Second, "it is served again", func() bool { return !w.isBlocked("srv1", 1) })
		}
		t.Logf("blocked after %v", waits)
		if waits[0] < silenceFirst-100*time.Millisecond || !slices.IsSorted(waits) || waits[3] < 4*waits[0] {
			t.Errorf("blocked after %v, want longer and longer", waits)
		}
	})
}

// frame has a host send something that nobody is asked by.
func (w *world) frame(k *netopstest.Kernel) {
	w.t.Helper()
	wire, err := w.segment.OpenWire(k, "eth0")
	if err != nil {
		w.t.Fatal(err)
	}
	if err := wire.Ask(netip.IPv4Unspecified(), netip.MustParseAddr("192.0.2.250"), nil); err != nil {
		w.t.Fatal(err)
	}
}
