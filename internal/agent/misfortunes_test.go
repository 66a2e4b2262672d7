package agent

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
	"mxcluster/internal/control"
	"mxcluster/internal/fault"
	"mxcluster/netops"
)

// Two sites with a router between: that it is down moves nothing, raises no alarm, keeps
// no takeover in either site from happening, and afterwards all have one document.
func TestSitesBehindARouter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc := worldDocument(manual)
		prefix := netip.MustParsePrefix
		doc.Servers = []clusterconf.Server{
			{Name: "sb1", Base: prefix("192.0.2.20/24"), Interface: "eth0", Standby: true},
			{Name: "sb2", Base: prefix("198.51.100.20/24"), Interface: "eth0", Standby: true},
			{Name: "srv1", Base: prefix("192.0.2.21/24"), Interface: "eth0", LIM: 1},
			{Name: "srv2", Base: prefix("198.51.100.22/24"), Interface: "eth0", LIM: 2},
		}
		far := doc.Clusters[0]
		far.Name, far.Standby = "c2", "sb2"
		far.LIMs = []clusterconf.Member{{LIM: 2, Alias: prefix("198.51.100.12/24"), Priority: 100}}
		doc.Clusters[0].LIMs = doc.Clusters[0].LIMs[:1]
		doc.Clusters = append(doc.Clusters, far)
		w := newWorldOf(t, doc)
		defer w.close()
		w.start("srv1", "srv2", "sb1", "sb2")
		w.await(1, "srv1", soon)
		w.await(2, "srv2", soon)
		pass(5 * time.Second)
		router := func(up bool) {
			w.partition(!up, "srv1", "srv2", "sb2")
			w.partition(!up, "sb1", "srv2", "sb2")
		}
		router(false)
		w.edit("srv1", func(c *clusterconf.Cluster) { c.LIMs[0].Priority = 77 })
		pass(30 * time.Second)
		w.await(1, "srv1", 0)
		w.await(2, "srv2", 0)
		for _, name := range []string{"srv1", "sb1"} {
			st := w.status(name)
			if l := st.Clusters[1].LIMs[0]; l.ActiveOn != nil || l.State != "unknown" || l.Side != "unknown" {
				t.Errorf("%s says of the LIM that it cannot see: %+v", name, l)
			}
			for _, s := range st.Clusters[0].Servers {
				if s.Ready == nil || !*s.Ready {
					t.Errorf("%s says that %s is not ready: %s", name, s.Name, s.ReadyWhy)
				}
			}
			if len(st.Clusters[0].Alarms) > 0 {
				t.Errorf("alarms on %s: %+v", name, st.Clusters[0].Alarms)
			}
		}
		w.powerCut("srv2")
		w.await(2, "sb2", soon)
		router(true)
		pass(10 * time.Second)
		w.boot("srv2")
		pass(10 * time.Second)
		w.sameDocument(2)
		if l := w.status("srv1").Clusters[1].LIMs[0]; l.ActiveOn == nil || *l.ActiveOn != "sb2" {
			t.Errorf("srv1 says of LIM 2: %+v", l)
		}
		if _, err := w.order("srv1", control.Order{Kind: control.OrderFallback, LIM: 2, Now: true}); err != nil {
			t.Fatal(err)
		}
		w.await(2, "srv2", soon)
		w.await(1, "srv1", 0)
	})
}

// A server whose disk is put back to an older time takes no LIM, gets the newest
// document, and is of use again.
func TestRevertedServer(t *testing.T) {
	for _, reverted := range []string{"srv1", "sb1"} {
		t.Run(reverted, func(t *testing.T) {
			inWorld(t, manual, func(w *world) {
				w.settled()
				w.talk()
				here, there := "srv1", "sb1" // where the LIM runs by the old state, and by now
				move, back := control.OrderFailover, control.OrderFallback
				if reverted == "sb1" {
					w.movedToStandby(1)
					here, there, move, back = there, here, back, move
				}
				m := w.servers[reverted]
				pass(time.Second)
				m.state.mu.Lock()
				old := m.state.known()
				m.state.mu.Unlock()
				document, err := os.ReadFile(m.store.Path)
				if err != nil {
					t.Fatal(err)
				}
				w.ordered(move, there)
				w.ordered(back, here)
				w.ordered(move, there)
				for _, priority := range []int{33, 44} {
					w.edit("srv1", func(c *clusterconf.Cluster) { c.LIMs[0].Priority = priority })
					pass(time.Second)
				}
				w.powerCut(reverted)
				pass(time.Second)
				m.state.mu.Lock()
				m.state.kept, m.state.saved = nil, old
				m.state.mu.Unlock()
				if err := os.WriteFile(m.store.Path, document, 0o600); err != nil {
					t.Fatal(err)
				}
				w.boot(reverted)
				for range 1000 {
					pass(10 * time.Millisecond)
					if slices.Contains(w.holders(1), reverted) {
						t.Fatalf("%s has the alias", reverted)
					}
				}
				w.sameDocument(3)
				w.ordered(back, here)
				w.neverTwice()
			})
		})
	}
}

// ordered moves LIM 1 by order.
func (w *world) ordered(kind control.OrderKind, to string) {
	w.t.Helper()
	if _, err := w.order("sb1", control.Order{Kind: kind, LIM: 1, Now: true}); err != nil {
		w.t.Fatal(err)
	}
	w.await(1, to, soon)
	pass(time.Second)
}

// All agents are killed, the network's own tools take off every address that is in no
// file, and all agents start again: each LIM is served where it was.
func TestAllRestartWithTheirAddressesPruned(t *testing.T) {
	for _, away := range []bool{false, true} {
		name, on := "at home", "srv1"
		if away {
			name, on = "on the standby", "sb1"
		}
		t.Run(name, func(t *testing.T) {
			inWorld(t, manual, func(w *world) {
				w.settled()
				if away {
					w.movedToStandby(1)
				}
				all := []string{"srv1", "srv2", "sb1"}
				for _, s := range all {
					w.kill(s)
				}
				for _, s := range all {
					for _, lim := range []int{1, 2} {
						if err := w.servers[s].kernel.Drop("eth0", w.alias(lim)); err != nil {
							t.Fatal(err)
						}
					}
				}
				pass(time.Second)
				w.start(all...)
				t.Logf("served again after %s", w.await(1, on, 5*time.Second))
				w.await(2, "srv2", 5*time.Second)
				pass(10 * time.Second)
				w.await(1, on, 0)
				w.neverTwice()
			})
		})
	}
}

// An agent that is started before its interface is there, or set up, ends, with a word and a
// code after which it is started again, and serves when it is started afterwards.
func TestAgentBeforeItsInterface(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.start("srv2", "sb1")
		m := w.servers["srv1"]
		base := w.doc.Server("srv1").Base
		m.kernel.FailWith(func(op string) error {
			if op == "EnsureBase" {
				return netops.NoInterface("eth0", []string{"lo"})
			}
			return nil
		})
		w.start("srv1")
		if err := <-m.ended; fault.CodeOf(err) != fault.Failed || !strings.Contains(err.Error(), `no interface "eth0"`) || fault.HintOf(err) == "" {
			t.Errorf("the agent ended with code %d: %v", fault.CodeOf(err), err)
		}
		m.agent = nil
		m.kernel.FailWith(nil)
		m.kernel.SetEnabled("eth0", false)
		if err := m.kernel.Drop("eth0", base); err != nil {
			t.Fatal(err)
		}
		w.start("srv1")
		if err := <-m.ended; fault.CodeOf(err) != fault.Failed || !strings.Contains(err.Error(), "is down") {
			t.Errorf("the agent ended with %v", err)
		}
		m.agent = nil
		m.kernel.SetEnabled("eth0", true)
		w.start("srv1")
		t.Logf("served after %s", w.await(1, "srv1", 8*time.Second))
		w.neverTwice()
	})
}

// An interface becomes a port of a bridge, and the document names the bridge from then
// on: base and alias are there, nothing is left on the port, and moves work.
func TestInterfaceBecomesABridgePort(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.talk()
		m, base := w.servers["srv1"], w.doc.Server("srv1").Base
		m.kernel.AddLink(netops.Link{Name: "br0", Index: 9, Up: true, MAC: net.HardwareAddr{2, 0, 0, 0, 3, 1}})
		w.segment.Connect(m.kernel, "br0")
		if err := m.kernel.EnsureBase("br0", base); err != nil {
			t.Fatal(err)
		}
		if err := m.kernel.Drop("eth0", base); err != nil {
			t.Fatal(err)
		}
		if _, err := w.editVia("srv1", func(d *clusterconf.Document) { d.Server("srv1").Interface = "br0" }); err != nil {
			t.Fatal(err)
		}
		on := func(ifname string) (out []string) {
			all, err := m.kernel.Addresses(ifname)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range all {
				out = append(out, a.Prefix.String())
			}
			slices.Sort(out)
			return out
		}
		want := []string{w.alias(1).String(), base.String()}
		w.until(5*time.Second, "base and alias are on br0 alone", func() bool { return slices.Equal(on("br0"), want) && len(on("eth0")) == 0 })
	})
}

// The kernel takes IPv6 addresses off an interface that is set down, and nobody adds them
// again: base and alias are back within a second after it was set up, and nothing moved.
func TestIPv6InterfaceDownAndUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc := worldDocument(manual)
		prefix := netip.MustParsePrefix
		for i, addr := range []string{"2001:db8::20/64", "2001:db8::21/64", "2001:db8::22/64"} {
			doc.Servers[i].Base = prefix(addr)
		}
		c := &doc.Clusters[0]
		c.LIMs[0].Alias, c.LIMs[1].Alias, c.FailoverAfter = prefix("2001:db8::11/64"), prefix("2001:db8::12/64"), clusterconf.Duration(5*time.Second)
		w := newWorldOf(t, doc)
		defer w.close()
		w.settled()
		pass(5 * time.Second)
		k := w.servers["srv1"].kernel
		for range 3 {
			k.SetEnabled("eth0", false)
			for _, p := range []netip.Prefix{doc.Server("srv1").Base, w.alias(1)} {
				if err := k.Drop("eth0", p); err != nil {
					t.Fatal(err)
				}
			}
			pass(500 * time.Millisecond)
			k.SetEnabled("eth0", true)
			took := w.until(2*time.Second, "base and alias are back", func() bool {
				return len(w.addressesOf("srv1")) == 2 && slices.Equal(w.holders(1), []string{"srv1"})
			})
			t.Logf("served again after %s", took)
			pass(2 * time.Second)
			w.await(1, "srv1", 0)
		}
	})
}

// A firewall on the standby keeps what its server's agent says from it: nothing is taken
// over while that server's kernel answers, somebody is told, and a death is still seen.
func TestFirewallOnTheStandby(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.talk()
		pass(5 * time.Second)
		w.silence("srv1", true)
		pass(20 * time.Second)
		w.await(1, "srv1", 0)
		w.alarmed("sb1", alarms.AgentStopped, 0, true)
		w.silence("srv1", false)
		pass(10 * time.Second)
		w.alarmed("sb1", alarms.AgentStopped, 0, false)
		w.powerCut("srv1")
		w.await(1, "sb1", soon)
		w.neverTwice()
	})
}
