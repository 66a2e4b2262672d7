package agent

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/status"
	"mxcluster/netops"
	"mxcluster/netops/netopstest"
)

// until lets time pass until done holds, and returns how long that took.
func (w *world) until(within time.Duration, what string, done func() bool) time.Duration {
	w.t.Helper()
	began := time.Now()
	for !done() {
		if time.Since(began) > within {
			w.t.Fatalf("not within %s: %s", within, what)
		}
		pass(time.Millisecond)
	}
	return time.Since(began)
}

func (w *world) isBlocked(server string, lim int) bool {
	w.t.Helper()
	blocked, err := w.servers[server].kernel.Blocked("eth0")
	if err != nil {
		w.t.Fatal(err)
	}
	return slices.Contains(blocked, w.alias(lim).Addr())
}

// After a silent partition, both sides of which served, one side falls silent at
// the first frames, long before gossip tells of the other, and the winner is what
// clients hear last.
func TestHealOfSilentPartition(t *testing.T) {
	for _, side := range []clusterconf.Side{clusterconf.SideRegular, clusterconf.SideStandby} {
		t.Run(string(side)+" stops", func(t *testing.T) {
			inWorld(t, manual, func(w *world) {
				w.settled()
				loser, winner := "srv1", "sb1"
				if side == clusterconf.SideStandby {
					loser, winner = winner, loser
					w.edit("srv1", func(c *clusterconf.Cluster) { c.SplitBrainStop = side })
				}
				w.talk()
				pass(3 * time.Second) // announcements of the start are over
				w.partition(true, "srv1", "sb1", "srv2")
				w.until(5*time.Second, "both serve", func() bool { return len(w.holders(1)) == 2 })
				pass(30 * time.Second)
				client := w.client()
				w.partition(false, "srv1", "sb1", "srv2")
				took := w.until(time.Second, "one holder", func() bool { return slices.Equal(w.holders(1), []string{winner}) })
				heard := w.until(time.Second, "the winner announces", func() bool { return client.last(w.alias(1).Addr()) == w.mac(winner) })
				t.Logf("one holder %s after the heal, announced %s later", took, heard)
				if took+heard > 100*time.Millisecond {
					t.Errorf("took %s", took+heard)
				}
				w.await(1, winner, 5*time.Second)
				pass(5 * time.Second)
				if got := client.last(w.alias(1).Addr()); got != w.mac(winner) {
					t.Errorf("clients heard %s last, want %s", got, w.mac(winner))
				}
				if w.isBlocked(loser, 1) || w.isBlocked(winner, 1) {
					t.Error("something is blocked in the end")
				}
			})
		})
	}
}

// A server whose cable was pulled serves again only when nobody else does.
func TestCablePulled(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		k := w.servers["srv1"].kernel
		k.SetUp("eth0", false)
		w.until(time.Second, "the alias is blocked", func() bool { return w.isBlocked("srv1", 1) })
		k.FlushRules() // another tool
		w.until(time.Second, "the alias is blocked again", func() bool { return w.isBlocked("srv1", 1) })
		pass(50 * time.Millisecond) // too short for a takeover
		k.SetUp("eth0", true)
		took := w.until(3*time.Second, "the alias is back", func() bool { return !w.isBlocked("srv1", 1) })
		t.Logf("unblocked %s after the link was back", took)
		w.await(1, "srv1", time.Second)

		k.SetUp("eth0", false)
		w.partition(true, "srv1", "sb1", "srv2") // of gossip, which goes another way here
		w.await(1, "sb1", 5*time.Second)
		pass(10 * time.Second)
		w.partition(false, "srv1", "sb1", "srv2")
		k.SetUp("eth0", true)
		pass(10 * time.Second)
		w.await(1, "sb1", time.Second)
		w.neverTwice()
		if h := w.status("sb1").Clusters[0].LIMs[0].Alias.Holders; *h[0].Present || !*h[0].Blocked || !*h[1].Present || *h[1].Blocked {
			t.Errorf("holders are %+v", h)
		}
	})
}

// A foreign host that takes an alias in use is named, defended against while it
// goes on, and forgotten when it is gone.
func TestForeignHostWhileServing(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		pass(5 * time.Second)
		alias := w.alias(1)
		foreign := w.foreignHost(alias)
		wire, err := w.segment.OpenWire(foreign, "eth0")
		if err != nil {
			t.Fatal(err)
		}
		client := w.client()
		for range 20 {
			if err := wire.Announce(alias.Addr()); err != nil {
				t.Fatal(err)
			}
			pass(10 * time.Millisecond)
		}
		pass(time.Second)
		if got := client.last(alias.Addr()); got != w.mac("srv1") {
			t.Errorf("clients heard %s last, want srv1", got)
		}
		named := func() bool {
			m := w.status("srv1").Clusters[0].LIMs[0].Alias.ForeignMAC
			return m != nil && *m == foreignMAC
		}
		if !named() {
			t.Error("the status does not name the foreign MAC")
		}
		w.await(1, "srv1", time.Second)
		alarmed := func() bool {
			return slices.ContainsFunc(w.status("sb1").Clusters[0].Alarms, func(x status.Alarm) bool {
				return x.Name == "alias-in-use" && strings.Contains(x.Text, foreignMAC)
			})
		}
		w.until(2*time.Second, "an alarm names the foreign MAC", alarmed)
		w.until(10*time.Second, "a host that stays is named all the time", func() bool { return named() })
		if err := foreign.Drop("eth0", alias); err != nil {
			t.Fatal(err)
		}
		t.Logf("forgotten after %s", w.until(10*time.Second, "it is forgotten", func() bool { return !named() }))
		w.until(5*time.Second, "the alarm is cleared", func() bool { return !alarmed() })
	})
}

// A foreign host that has an alias in use and says nothing is found by asking, on whichever side
// the LIM runs.
func TestForeignHostThatSaysNothing(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		pass(time.Minute)
		for _, on := range []string{"srv1", "sb1"} {
			if on == "sb1" {
				w.powerCut("srv1")
				w.await(1, "sb1", 5*time.Second)
			}
			stranger := w.foreignHost(w.alias(1))
			t.Logf("told after %s", w.until(strangerAgain+3*time.Second, "an alarm names the foreign MAC", func() bool {
				return slices.ContainsFunc(w.alarmsSeen(on), func(x status.Alarm) bool {
					return x.Name == "alias-in-use" && x.Server == on && strings.Contains(x.Text, foreignMAC)
				})
			}))
			w.await(1, on, time.Second)
			w.segment.Disconnect(stranger)
			w.until(10*time.Second, "it is forgotten", func() bool {
				return !slices.ContainsFunc(w.alarmsSeen(on), func(x status.Alarm) bool { return x.Name == "alias-in-use" })
			})
		}
	})
}

// A LIM whose alias a foreign host has is not started; its status names the
// host, and it starts within a second after that is gone.
func TestForeignHostIsNamed(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		alias := w.alias(1)
		foreign := w.foreignHost(alias)
		w.start("srv1", "srv2", "sb1")
		w.await(2, "srv2", soon)
		pass(20 * time.Second)
		l := w.status("srv2").Clusters[0].LIMs[0]
		if l.Alias.ForeignMAC == nil || *l.Alias.ForeignMAC != foreignMAC || len(w.holders(1)) > 0 {
			t.Errorf("%+v, alias on %v", l, w.holders(1))
		}
		if err := foreign.Drop("eth0", alias); err != nil {
			t.Fatal(err)
		}
		t.Logf("started %s after the foreign host was gone", w.await(1, "srv1", time.Second))
		if l := w.status("srv1").Clusters[0].LIMs[0]; l.Alias.ForeignMAC != nil {
			t.Errorf("it is named still: %s", *l.Alias.ForeignMAC)
		}
	})
}

// A plain question for an alias, and a probe of a server of the system, are no
// conflict.
func TestNoConflict(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		stranger := w.foreignHost(netip.MustParsePrefix("192.0.2.99/24"))
		theirs, err := w.segment.OpenWire(stranger, "eth0")
		if err != nil {
			t.Fatal(err)
		}
		ours, err := w.segment.OpenWire(w.servers["sb1"].kernel, "eth0")
		if err != nil {
			t.Fatal(err)
		}
		alias := w.alias(1).Addr()
		if err := errors.Join(theirs.Ask(netip.MustParseAddr("192.0.2.99"), alias, nil), ours.Ask(netip.IPv4Unspecified(), alias, nil)); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		if m := w.status("srv1").Clusters[0].LIMs[0].Alias.ForeignMAC; m != nil {
			t.Errorf("%s counts as foreign", *m)
		}
		w.await(1, "srv1", time.Second)
	})
}

// What somebody else blocks while it serves is unblocked; what an earlier run
// left blocked, too, once it is clear whose it is.
func TestBlockedByOthers(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		k, alias := w.servers["srv1"].kernel, w.alias(1).Addr()
		if err := k.Block("eth0", alias); err != nil {
			t.Fatal(err)
		}
		t.Logf("unblocked after %s", w.until(time.Second, "it is unblocked", func() bool { return !w.isBlocked("srv1", 1) }))
		w.kill("srv1")
		if err := k.Block("eth0", alias); err != nil {
			t.Fatal(err)
		}
		w.start("srv1")
		t.Logf("unblocked after %s", w.until(3*time.Second, "it is unblocked", func() bool { return !w.isBlocked("srv1", 1) }))
		w.await(1, "srv1", time.Second)
		w.neverTwice()
	})
}

// An alias that is gone, and that somebody else has by the time that this is
// noticed, serves again only once nobody has it any more.
func TestGoneAndElsewhere(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		alias := w.alias(1)
		there := w.foreignHost(alias)
		if err := w.servers["srv1"].kernel.Drop("eth0", alias); err != nil {
			t.Fatal(err)
		}
		pass(2 * time.Second)
		if h := w.holders(1); len(h) > 0 {
			t.Errorf("the alias is on %v", h)
		}
		if err := there.Drop("eth0", alias); err != nil {
			t.Fatal(err)
		}
		t.Logf("back after %s", w.await(1, "srv1", time.Second))
	})
}

// An announcement that fails is in the status until one succeeds.
func TestAnnouncementFails(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		broken := errors.New("broken on purpose")
		w.servers["srv1"].wireErr.Store(&broken)
		failing := func() bool { return w.status("sb1").Clusters[0].LIMs[0].Alias.AnnounceError != nil }
		w.until(2*time.Minute, "the failure is told", failing)
		w.servers["srv1"].wireErr.Store(nil)
		t.Logf("told no more after %s", w.until(5*time.Second, "it is over", func() bool { return !failing() }))
	})
}

// testWire is a wire whose announcements fail on demand, and over which others have the
// kernel send besides.
type testWire struct {
	Wire
	fail    *atomic.Pointer[error]
	replies *atomic.Uint64
}

func (w testWire) Sent() uint64 { return w.Wire.Sent() + w.replies.Load() }

func (w testWire) Announce(addr netip.Addr) error {
	if err := w.fail.Load(); err != nil {
		return *err
	}
	return w.Wire.Announce(addr)
}

const foreignMAC = "02:00:00:00:00:99"

func (w *world) mac(server string) string {
	w.t.Helper()
	l, err := w.servers[server].kernel.Link("eth0")
	if err != nil {
		w.t.Fatal(err)
	}
	return l.MAC.String()
}

// client is a station that heeds announcements.
type client struct {
	heard <-chan netops.Observation
	macs  map[netip.Addr]string
}

func (w *world) client() *client {
	w.t.Helper()
	k := netopstest.NewKernel("client", netops.Link{Name: "eth0", Index: 2, Up: true, MAC: []byte{2, 0, 0, 0, 0, 0x88}})
	w.segment.Connect(k, "eth0")
	wire, err := w.segment.OpenWire(k, "eth0")
	if err != nil {
		w.t.Fatal(err)
	}
	return &client{wire.Subscribe(w.t.Context()), map[netip.Addr]string{}}
}

// last is the station that announced an address last.
func (c *client) last(addr netip.Addr) string {
	for {
		select {
		case o := <-c.heard:
			if o.SenderIP == o.TargetIP {
				c.macs[o.SenderIP] = o.SenderMAC.String()
			}
		default:
			return c.macs[addr]
		}
	}
}
