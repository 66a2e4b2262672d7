package agent

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/events"
	"mxcluster/internal/failover"
	"mxcluster/internal/status"
	"mxcluster/netops"
	"mxcluster/netops/netopstest"
)

// spoofer is a station that claims an alias with the MAC address of a server, whose own
// frames go on coming from that.
func (w *world) spoofer(server string) *netopstest.Wire {
	w.t.Helper()
	mac, err := net.ParseMAC(w.mac(server))
	if err != nil {
		w.t.Fatal(err)
	}
	k := netopstest.NewKernel("spoofer", netops.Link{Name: "eth0", Index: 2, Up: true, MAC: mac})
	w.segment.Connect(k, "eth0")
	wire, err := w.segment.OpenWire(k, "eth0")
	if err != nil {
		w.t.Fatal(err)
	}
	return wire
}

// claimFor announces an address for a time, with a frame each period.
func (w *world) claimFor(wire Wire, addr netip.Addr, d, period time.Duration) {
	w.t.Helper()
	for began := time.Now(); time.Since(began) < d; pass(period) {
		if err := wire.Announce(addr); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) alarmRaised(on, name string) bool {
	w.t.Helper()
	return slices.ContainsFunc(w.status(on).Clusters[0].Alarms, func(x status.Alarm) bool { return x.Name == name })
}

// Frames with the other server's MAC address do not make the holder give up: that server
// says that it does not have the alias. Whichever side it is that would give way.
func TestSpoofedMAC(t *testing.T) {
	for _, side := range []clusterconf.Side{clusterconf.SideRegular, clusterconf.SideStandby} {
		t.Run(string(side)+" would stop", func(t *testing.T) {
			inWorld(t, manual, func(w *world) {
				w.settled()
				if side == clusterconf.SideStandby {
					w.edit("srv1", func(c *clusterconf.Cluster) { c.SplitBrainStop = side })
				}
				pass(10 * time.Second)
				before := w.servers["srv1"].events.count(events.Alias)
				stop := w.watchGap(1, "srv1")
				wire := w.spoofer("sb1")
				w.claimFor(wire, w.alias(1).Addr(), 5*time.Second, 50*time.Millisecond)
				if !w.alarmRaised("srv1", "mac-used") {
					t.Error("no alarm says that somebody uses the MAC address of sb1")
				}
				if gap := stop(); gap > 0 {
					t.Errorf("not served for %s", gap)
				}
				if n := w.servers["srv1"].events.count(events.Alias) - before; n > 0 {
					t.Errorf("%d events tell of the alias", n)
				}
				pass(usedFor + 3*time.Second)
				if w.alarmRaised("srv1", "mac-used") {
					t.Error("the alarm is not cleared")
				}
				w.await(1, "srv1", time.Second)
			})
		})
	}
}

// Who is asked and does not answer decides by its last word: it did not have the alias,
// and was heard since the holder has it. The holder serves on, says so, and goes on asking.
func TestSpoofedMACOfSilentServer(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		pass(10 * time.Second)
		w.silence("sb1", true)
		stop := w.watchGap(1, "srv1")
		wire := w.spoofer("sb1")
		w.claimFor(wire, w.alias(1).Addr(), 5*time.Second, 50*time.Millisecond)
		if gap := stop(); gap > 0 {
			t.Errorf("not served for %s", gap)
		}
		if !w.alarmRaised("srv1", "mac-used") {
			t.Error("no alarm")
		}
		w.silence("sb1", false)
		w.await(1, "srv1", time.Second)
	})
}

// Where the other server has the alias, and its word comes through, the side that is to
// give way does so although a stranger's frames come, too.
func TestSpoofedMACAndRealRival(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		pass(3 * time.Second)
		w.partition(true, "srv1", "sb1", "srv2")
		w.until(5*time.Second, "both serve", func() bool { return len(w.holders(1)) == 2 })
		pass(10 * time.Second)
		wire := w.spoofer("sb1")
		w.claimFor(wire, w.alias(1).Addr(), 2*time.Second, 50*time.Millisecond)
		w.partition(false, "srv1", "sb1", "srv2")
		took := w.until(time.Second, "one holder", func() bool { return slices.Equal(w.holders(1), []string{"sb1"}) })
		t.Logf("one holder %s after the heal", took)
		if took > 300*time.Millisecond {
			t.Errorf("took %s", took)
		}
		w.await(1, "sb1", 5*time.Second)
	})
}

// A server that takes an alias over meanwhile answers that it has it, from before it does.
func TestWordWhileTaking(t *testing.T) {
	now := time.Now()
	a := &aliases{peers: &peers{}, core: &core{started: now.Add(-time.Hour)}, term: func(int) uint64 { return 7 }, all: map[int]*alias{
		1: {},
		2: {holds: true},
		3: {taking: true},
		4: {holds: true, blocked: passiveSide},
		5: {wireAt: now.Add(-time.Minute)},
		6: {holds: true, blocked: linkDown},
		7: {former: true},
	}}
	for _, tc := range []struct {
		lim   int
		holds bool
		free  time.Duration
	}{{1, false, time.Hour}, {2, true, 0}, {3, true, 0}, {4, false, time.Hour}, {5, false, time.Minute}, {6, true, 0}, {7, true, 0}, {8, false, time.Hour}} {
		if w := a.answerFor(tc.lim, now); w.Holds != tc.holds || w.Free != tc.free {
			t.Errorf("LIM %d: %+v", tc.lim, w)
		}
	}
}

// Strangers do not keep out the claims of servers, and are bounded in all.
func TestThrottle(t *testing.T) {
	var told throttle
	start, strangers, servers := time.Now(), 0, 0
	for i := range 50_000 {
		at := start.Add(time.Duration(i) * 20 * time.Microsecond)
		if told.admits(arpClaim{mac: string(rune(i)), at: at}, false) {
			strangers++
		}
		if i%2500 == 0 && told.admits(arpClaim{mac: "server", at: at}, true) {
			servers++
		}
	}
	if strangers != maxStrangers || servers != 20 {
		t.Errorf("%d claims of strangers, and %d of 20 of a server, in a second", strangers, servers)
	}
}

// A flood of claims with made-up MAC addresses harms no service, and takes no more than
// some tens of events, the alarms' included.
func TestFloodOfStrangers(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		pass(10 * time.Second)
		m := w.servers["srv1"]
		before := m.events.count(events.Conflict)
		stop := w.watchGap(1, "srv1")
		alias := w.alias(1).Addr()
		for i := range 3000 { // in half a minute, with pauses in which they are gone
			mac := net.HardwareAddr{2, 1, 0, 0, byte(i >> 8), byte(i)}
			k := netopstest.NewKernel("stranger", netops.Link{Name: "eth0", Index: 2, Up: true, MAC: mac})
			w.segment.Connect(k, "eth0")
			wire, err := w.segment.OpenWire(k, "eth0")
			if err == nil {
				err = wire.Announce(alias)
			}
			if err != nil {
				t.Fatal(err)
			}
			w.segment.Disconnect(k)
			pass(5 * time.Millisecond)
			if i%300 == 0 {
				pass(6 * time.Second)
			}
		}
		if gap := stop(); gap > 0 {
			t.Errorf("not served for %s", gap)
		}
		n := m.events.count(events.Conflict) - before
		if n == 0 || n > 60 {
			t.Errorf("%d events", n)
		}
	})
}

// An answer for an alias that was given up meanwhile changes nothing.
func TestAnswerTooLate(t *testing.T) {
	a := &alias{rival: rival{id: 1, open: true, owed: true}}
	a.judgeRival(&failover.AliasAnswer{Free: time.Hour})
	a.judgeRival(nil)
	if a.rival.open || a.rival.owed || !a.rival.usedAt.IsZero() {
		t.Errorf("%+v", a.rival)
	}
}
