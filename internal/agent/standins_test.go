package agent

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/status"
	"mxcluster/netops/netopstest"
)

// A router with local proxy ARP answers for all of the subnet: that is an alarm on every
// server, and a server without power is taken over in time all the same.
func TestProxyDoesNotKeepTheDeadAlive(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		router := w.foreignHost(netip.MustParsePrefix("192.0.2.254/24"))
		router.Proxy("eth0", netip.MustParsePrefix("192.0.2.0/24"))
		w.until(time.Minute, "every server tells of it", func() bool {
			return !slices.ContainsFunc([]string{"srv1", "srv2", "sb1"}, func(server string) bool {
				return !slices.ContainsFunc(w.alarmsSeen(server), func(x status.Alarm) bool {
					return x.Name == "address-proxied" && strings.Contains(x.Text, foreignMAC)
				})
			})
		})
		for _, name := range []string{"srv1", "srv2"} {
			w.await(map[string]int{"srv1": 1, "srv2": 2}[name], name, time.Second)
		}
		at := w.powerCut("srv1")
		w.await(1, "sb1", 5*time.Second)
		took := time.Since(at)
		t.Logf("taken over after %s", took)
		if took > limit+500*time.Millisecond {
			t.Errorf("taken over after %s with a limit of %s", took, limit)
		}
		for _, x := range w.alarmsSeen("sb1") {
			if x.Name == "alias-in-use" {
				t.Errorf("alarm %s: %s", x.Name, x.Text)
			}
		}
	})
}

// A proxy that turns up when it does harm is found out, too.
func TestProxyThatComesWithTheDeath(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		pass(10 * time.Second)
		router := w.foreignHost(netip.MustParsePrefix("192.0.2.254/24"))
		router.Proxy("eth0", netip.MustParsePrefix("192.0.2.0/24"))
		at := w.powerCut("srv1")
		w.await(1, "sb1", 5*time.Second)
		if took := time.Since(at); took > 3*limit {
			t.Errorf("taken over after %s with a limit of %s", took, limit)
		}
	})
}

// A switch answers ARP in place of those whom it has heard, with their own MAC addresses.
// It does not know what an echo says: the dead are taken over once no alias of theirs can
// be left by their last word.
func TestSwitchThatAnswersForTheDead(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.segment.SuppressARP(true)
		w.settled()
		pass(10 * time.Second)
		at := w.powerCut("srv1")
		w.await(1, "sb1", 20*time.Second)
		took := time.Since(at)
		t.Logf("taken over after %s", took)
		if lease := w.config("srv1").Lease; took < lease || took > lease+3*time.Second {
			t.Errorf("taken over after %s, with a lease of %s", took, lease)
		}
		pass(3 * time.Second)
		w.await(1, "sb1", time.Second)
	})
}

// The agent is killed, the kernel lives: its alias goes with the lease, whatever the
// switch says.
func TestSwitchThatAnswersForALostAlias(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.segment.SuppressARP(true)
		w.settled()
		pass(10 * time.Second)
		w.kill("srv1")
		took := w.await(1, "sb1", 20*time.Second)
		t.Logf("taken over after %s", took)
		w.neverTwice()
	})
}

// A bond fails over to another card while the agent is parked: the kernel answers, with
// a MAC address that nobody knows. That is not death, and the alias stays.
func TestNewMACWhileTheAgentIsStopped(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		pass(10 * time.Second)
		m := w.servers["srv1"]
		m.cancel()
		<-m.ended
		m.agent = nil
		m.kernel.SetMAC("eth0", net.HardwareAddr{2, 0, 0, 0, 7, 7})
		pass(time.Minute)
		if h := w.holders(1); !slices.Equal(h, []string{"srv1"}) {
			t.Errorf("the alias is on %v", h)
		}
		w.neverTwice()
	})
}

// A firewall starts to drop echoes: with the agent alive nothing follows; with the agent
// gone at the same time it is the lease that decides, and never are there two.
func TestFirewallThatStartsToDropEchoes(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		pass(10 * time.Second)
		k := w.servers["srv1"].kernel
		k.IgnoreEcho(true)
		pass(time.Minute)
		w.await(1, "srv1", time.Second)
		k.IgnoreEcho(false)
		pass(time.Minute)
		k.IgnoreEcho(true)
		w.kill("srv1")
		took := w.await(1, "sb1", 20*time.Second)
		if lease := w.config("srv1").Lease; took > lease+3*time.Second {
			t.Errorf("taken over after %s", took)
		}
		w.neverTwice()
	})
}

// A server that answers no echoes is supervised by ARP: its death is seen in time.
func TestDeathOfOneWithoutEchoes(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.servers["srv1"].kernel.IgnoreEcho(true)
		w.settled()
		pass(10 * time.Second)
		at := w.powerCut("srv1")
		w.await(1, "sb1", 5*time.Second)
		if took := time.Since(at); took > limit+500*time.Millisecond { // killing the agent takes a while of that
			t.Errorf("taken over after %s", took)
		}
	})
}

// With failover-after of a second no server sends 15 ARP packets in any second: idle,
// while others die, and when it takes over.
func TestARPStaysWithinTheBudget(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.edit("srv1", func(c *clusterconf.Cluster) { c.FailoverAfter = clusterconf.Duration(time.Second) })
		pass(3 * time.Second)
		most := map[string]uint64{}
		wires := map[string]*netopstest.Wire{}
		for name, m := range w.servers {
			wire, err := w.segment.OpenWire(m.kernel, "eth0")
			if err != nil {
				t.Fatal(err)
			}
			defer wire.Close()
			wires[name] = wire
		}
		watch := func(d time.Duration) {
			last := map[string][]uint64{}
			for began := time.Now(); time.Since(began) < d; pass(50 * time.Millisecond) {
				for name, wire := range wires {
					n := append(last[name], wire.Sent())
					if len(n) > 20 { // a second
						n = n[len(n)-21:]
					}
					last[name] = n
					most[name] = max(most[name], n[len(n)-1]-n[0])
				}
			}
		}
		watch(10 * time.Second)
		w.powerCut("srv1")
		watch(10 * time.Second)
		w.await(1, "sb1", time.Second)
		w.powerCut("srv2")
		watch(20 * time.Second)
		t.Logf("most in a second: %v", most)
		for name, n := range most {
			if n >= 15 {
				t.Errorf("%s sent %d ARP packets in a second", name, n)
			}
		}
	})
}
