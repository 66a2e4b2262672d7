package agent

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/netops"
)

// addressesOf are the addresses of a server's eth0.
func (w *world) addressesOf(server string) []string {
	w.t.Helper()
	all, err := w.servers[server].kernel.Addresses("eth0")
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, a := range all {
		out = append(out, a.Prefix.String())
	}
	return out
}

// While an interface is down nothing is added to it; afterwards the system's own tools
// add the base, or the agent after five seconds; the alias follows the base.
func TestInterfaceDownAndUp(t *testing.T) {
	for _, tc := range []struct {
		name   string
		byTool bool // the tool that set the interface up adds the base
		before bool // it takes the base off before it sets the interface down
	}{
		{"ifdown and ifup", true, true}, {"the base goes with the interface", true, false}, {"nobody adds the base", false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inWorld(t, manual, func(w *world) {
				w.settled()
				w.talk()
				pass(10 * time.Second)
				k, base, alias := w.servers["srv1"].kernel, netip.MustParsePrefix("192.0.2.21/24"), w.alias(1)
				off := func() {
					for _, p := range []netip.Prefix{base, alias} {
						if err := k.Drop("eth0", p); err != nil {
							t.Fatal(err)
						}
					}
				}
				if tc.before {
					off()
					pass(20 * time.Millisecond)
				}
				k.SetEnabled("eth0", false)
				if !tc.before {
					off()
				}
				pass(3 * time.Second)
				if got := w.addressesOf("srv1"); len(got) > 0 {
					t.Fatalf("while it is down it got %v", got)
				}
				k.SetEnabled("eth0", true)
				wait := baseGrace
				if tc.byTool {
					wait = 0
					pass(100 * time.Millisecond)
					if got := w.addressesOf("srv1"); len(got) > 0 {
						t.Fatalf("before the tool it got %v", got)
					}
					if err := k.Hold("eth0", base, 0); err != nil {
						t.Fatal(err)
					}
				} else {
					pass(baseGrace - time.Second)
					if got := w.addressesOf("srv1"); len(got) > 0 {
						t.Fatalf("within the grace it got %v", got)
					}
				}
				took := w.await(1, "srv1", wait+2*time.Second)
				t.Logf("served again after %s", took)
				if got := w.addressesOf("srv1"); !slices.Equal(got, []string{base.String(), alias.String()}) {
					t.Errorf("addresses %v, want the base first", got)
				}
				w.neverTwice()
			})
		})
	}
}

// An interface that was removed and made anew gets the base at once where no file of
// the system brings that up, and after the grace where one does.
func TestInterfaceMadeAnew(t *testing.T) {
	for _, configured := range []bool{false, true} {
		t.Run(fmt.Sprintf("configured: %v", configured), func(t *testing.T) {
			inWorld(t, manual, func(w *world) {
				files := fstest.MapFS{}
				if configured {
					files["etc/network/interfaces"] = &fstest.MapFile{Data: []byte("iface eth0 inet static\n address 192.0.2.21/24\n")}
				}
				w.wrap = func(_ *machine, d Deps) Deps {
					d.Files = files
					return d
				}
				w.settled()
				w.talk()
				pass(10 * time.Second)
				for range 3 {
					w.servers["srv1"].kernel.Remake("eth0")
					if configured {
						pass(baseGrace - time.Second)
						if got := w.addressesOf("srv1"); len(got) > 0 {
							t.Fatalf("within the grace it got %v", got)
						}
						w.await(1, "srv1", 3*time.Second)
					} else {
						w.await(1, "srv1", 100*time.Millisecond)
					}
					if got := w.addressesOf("srv1"); !slices.Equal(got, []string{"192.0.2.21/24", w.alias(1).String()}) {
						t.Errorf("addresses %v, want the base first", got)
					}
					pass(20 * time.Second)
				}
				w.neverTwice()
			})
		})
	}
}

// What the kernel asked for while the link passed nothing is asked for once the alias is
// served again: the kernel itself does so after a second.
func TestUnresolvedNeighboursAreAskedFor(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.talk()
		pass(10 * time.Second)
		client, far := netip.MustParseAddr("192.0.2.201"), netip.MustParseAddr("198.51.100.1")
		k, seen := w.servers["srv1"].kernel, w.client().heard
		k.SetUnresolved("eth0", client, far)
		k.SetUp("eth0", false)
		pass(100 * time.Millisecond)
		k.SetUp("eth0", true)
		w.await(1, "srv1", 200*time.Millisecond)
		pass(10 * time.Millisecond) // they are asked beside the main loop
		asked := map[netip.Addr]int{}
		for len(seen) > 0 {
			if o := <-seen; o.Op == netops.Request && o.SenderIP == netip.MustParseAddr("192.0.2.21") {
				asked[o.TargetIP]++
			}
		}
		if asked[client] != 1 || asked[far] != 0 {
			t.Errorf("asked for %v; want %s once, and not what is in no network of this server", asked, client)
		}
	})
}

// A new MAC address is announced at once, and neither it nor the former one is a
// stranger's, on any server; nor is that of another card in the same LAN.
func TestNewMACAndSecondCard(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		for i, name := range []string{"srv1", "srv2", "sb1"} {
			m := w.servers[name]
			m.kernel.AddLink(netops.Link{Name: "eth1", Index: 3, Up: true, MAC: net.HardwareAddr{2, 0, 0, 0, 1, byte(i + 1)}})
			w.segment.Connect(m.kernel, "eth1")
		}
		w.settled()
		pass(10 * time.Second)
		client := w.client()
		k := w.servers["srv1"].kernel
		for i := range 3 {
			mac := net.HardwareAddr{2, 0, 0, 0, 2, byte(i)}
			k.SetMAC("eth0", mac)
			w.until(20*time.Millisecond, "the new MAC is announced", func() bool { return client.last(w.alias(1).Addr()) == mac.String() })
			pass(5 * time.Second)
		}
		wire, err := w.segment.OpenWire(w.servers["sb1"].kernel, "eth0")
		if err != nil {
			t.Fatal(err)
		}
		for range 20 { // answered by both cards of srv1
			if err := wire.Ask(netip.IPv4Unspecified(), w.alias(1).Addr(), nil); err != nil {
				t.Fatal(err)
			}
			pass(100 * time.Millisecond)
		}
		if got := w.alarmsOn("srv1"); len(got) > 0 {
			t.Errorf("alarms %v", got)
		}
		w.await(1, "srv1", time.Second)
		w.neverTwice()
	})
}

// A server whose interface the document names by an alternative name works by the
// kernel's own.
func TestAlternativeName(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		const other = "enp129s0f0np0v12"
		for _, s := range w.doc.Servers {
			m := w.servers[s.Name]
			m.kernel.AddAltName("eth0", other)
			w.editStore(s.Name, func(d *clusterconf.Document) error {
				d.Server("srv1").Interface = other
				return nil
			})
		}
		w.settled()
		w.servers["srv1"].kernel.FlushRules()
		w.until(time.Second, "what is not held is denied again", func() bool {
			denied, _ := w.servers["srv1"].kernel.Denied()
			return slices.Equal(denied, []netip.Addr{w.alias(2).Addr()})
		})
		if _, err := w.order("srv1", control.Order{Kind: control.OrderFailover, LIM: 1}); err != nil {
			t.Fatal(err)
		}
		w.await(1, "sb1", soon)
		w.neverTwice()
	})
}

// Where the port cannot be opened again when an interface gets another name, the agent
// goes on and tries again; its LIM serves all the while.
func TestPortThatDoesNotOpenAgain(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		var taken atomic.Bool
		w.wrap = func(m *machine, d Deps) Deps {
			open := d.OpenPool
			d.OpenPool = func(bind netip.AddrPort, keys [][]byte) (Pool, error) {
				if m.name == "srv1" && taken.Load() {
					return nil, errBroken
				}
				return open(bind, keys)
			}
			return d
		}
		w.settled()
		gap := w.watchGap(1, "srv1")
		w.servers["srv1"].kernel.AddAltName("eth0", "lan0")
		taken.Store(true)
		w.editStore("srv1", func(d *clusterconf.Document) error { return d.SetServer("srv1", "lan0", "") })
		if err := w.servers["srv1"].agent.Reload(w.t.Context()); err == nil {
			t.Error("the document is in force without a port")
		}
		pass(5 * time.Second)
		taken.Store(false)
		pass(5 * time.Second)
		w.sameDocument(2)
		w.await(1, "srv1", 0)
		if missing := gap(); missing != 0 {
			t.Errorf("the alias was missing for %s", missing)
		}
		w.neverTwice()
	})
}

// Routes whose preferred source is the alias stay when it moves away, and are as they
// were when it is back; also if the agent was started anew meanwhile.
func TestRoutesThroughTheAlias(t *testing.T) {
	for _, anew := range []bool{false, true} {
		inWorld(t, manual, func(w *world) {
			w.settled()
			k := w.servers["srv1"].kernel
			route := netops.Route{Dst: netip.MustParsePrefix("0.0.0.0/0"), Table: 254, Metric: 100}
			k.AddRoute(route, w.alias(1).Addr())
			if _, err := w.order("srv1", control.Order{Kind: control.OrderFailover, LIM: 1}); err != nil {
				t.Fatal(err)
			}
			w.await(1, "sb1", soon)
			if src, ok := k.RouteSource(route); !ok || src != netip.MustParseAddr("192.0.2.21") {
				t.Errorf("moved away: source %s, there: %v", src, ok)
			}
			pass(5 * time.Second)
			if anew {
				w.kill("srv1")
				w.start("srv1")
				pass(5 * time.Second)
			}
			if _, err := w.order("sb1", control.Order{Kind: control.OrderFallback, LIM: 1, Now: true}); err != nil {
				t.Fatal(err)
			}
			w.await(1, "srv1", soon)
			if src, ok := k.RouteSource(route); !ok || src != w.alias(1).Addr() {
				t.Errorf("back: source %s, there: %v", src, ok)
			}
		})
	}
}
