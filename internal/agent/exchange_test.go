package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/arbiter/arbitertest"
	"mxcluster/internal/control"
	"mxcluster/internal/failover"
	"mxcluster/internal/fault"
	"mxcluster/netops"
)

// inFreeWorld runs a test in a system of the same servers as inWorld before a
// cluster is made of them: their aliases-to-be are their bases.
func inFreeWorld(t *testing.T, f func(w *world)) {
	t.Helper()
	inWorld(t, manual, func(w *world) {
		w.free()
		f(w)
	})
}

// free unmakes the cluster and starts the servers.
func (w *world) free() {
	w.t.Helper()
	for _, s := range w.doc.Servers {
		if s.LIM == 0 {
			continue
		}
		m, alias := w.servers[s.Name], w.doc.ClusterOfLIM(s.LIM).Member(s.LIM).Alias
		w.hold(m, alias)
		if err := m.kernel.Drop("eth0", s.Base); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, s := range w.doc.Servers {
		w.editStore(s.Name, func(d *clusterconf.Document) error { return d.DeleteCluster("c1") })
	}
	w.start("srv1", "srv2", "sb1")
	pass(3 * time.Second)
}

// editStore changes the document of one server without telling its agent.
func (w *world) editStore(server string, f func(*clusterconf.Document) error) clusterconf.Result {
	w.t.Helper()
	r, err := w.servers[server].store.Edit(w.t.Context(), clusterconf.Change{By: "test", Command: "test"}, f)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

var createC1 = clusterconf.CreateSpec{Name: "c1", Standby: "sb1", FailoverAfter: limit, LIMs: []clusterconf.CreateLIM{
	{LIM: 1, NewBase: "192.0.2.21", Priority: 100}, {LIM: 2, NewBase: "192.0.2.22", Priority: 100}}}

// plan returns the exchanges that an edit asks for.
func (w *world) plan(f func(*clusterconf.Document) error) []clusterconf.Exchange {
	w.t.Helper()
	r, err := w.servers["srv1"].store.Preview(clusterconf.Change{By: "test"}, f)
	if err != nil {
		w.t.Fatal(err)
	}
	return clusterconf.Exchanges(r.Before.Document, r.After.Document)
}

// carryOut has the servers make ready and then changes the document, as commands do.
func (w *world) carryOut(f func(*clusterconf.Document) error) {
	w.t.Helper()
	a := w.servers["srv1"].agent
	if err := a.Exchange(w.t.Context(), control.ExchangeRequest{Exchanges: w.plan(f)}); err != nil {
		w.t.Fatal(err)
	}
	w.editStore("srv1", f)
	if err := a.Reload(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// has reports whether a server has an address, and whether for good.
func (w *world) has(server, addr string) (present, permanent bool) {
	w.t.Helper()
	addrs, err := w.servers[server].kernel.Addresses("eth0")
	if err != nil {
		w.t.Fatal(err)
	}
	i := slices.IndexFunc(addrs, func(a netops.Address) bool { return a.Prefix == netip.MustParsePrefix(addr) })
	return i >= 0, i >= 0 && addrs[i].Permanent
}

// expect fails the test unless a server has, or has not, an address.
func (w *world) expect(server, addr string, present, permanent bool) {
	w.t.Helper()
	if p, forGood := w.has(server, addr); p != present || forGood != permanent {
		w.t.Errorf("%s has %s: %t, for good: %t; want %t, %t", server, addr, p, forGood, present, permanent)
	}
}

// The addresses that clients know stay through create and delete, on every server.
func TestExchangeThereAndBack(t *testing.T) {
	inFreeWorld(t, func(w *world) {
		gap1, gap2 := w.watchGap(1, "srv1"), w.watchGap(2, "srv2")
		w.carryOut(func(d *clusterconf.Document) error { return d.CreateCluster(createC1) })
		pass(soon)
		w.await(1, "srv1", 0)
		w.await(2, "srv2", 0)
		w.expect("srv1", "192.0.2.11/24", true, false)
		w.expect("srv1", "192.0.2.21/24", true, true)
		w.expect("srv2", "192.0.2.22/24", true, true)
		pass(10 * time.Second)
		w.carryOut(func(d *clusterconf.Document) error { return d.DeleteCluster("c1") })
		pass(10 * time.Second)
		for server, addrs := range map[string][2]string{"srv1": {"192.0.2.11/24", "192.0.2.21/24"}, "srv2": {"192.0.2.12/24", "192.0.2.22/24"}} {
			w.expect(server, addrs[0], true, true)
			w.expect(server, addrs[1], false, false)
		}
		if a, b := gap1(), gap2(); a != 0 || b != 0 {
			t.Errorf("the addresses that clients know were missing for %s and %s", a, b)
		}
		w.neverTwice()
	})
}

// One server cannot do it: nothing is done anywhere.
func TestExchangeAllOrNothing(t *testing.T) {
	inFreeWorld(t, func(w *world) {
		w.foreignHost(netip.MustParsePrefix("192.0.2.22/24"))
		x := w.plan(func(d *clusterconf.Document) error { return d.CreateCluster(createC1) })
		err := w.servers["srv1"].agent.Exchange(w.t.Context(), control.ExchangeRequest{Exchanges: x})
		if fault.CodeOf(err) != fault.Refused || fault.HintOf(err) == "" || !strings.HasPrefix(err.Error(), "srv2 cannot exchange its addresses: ") {
			t.Errorf("a new base in use: %v (code %d)", err, fault.CodeOf(err))
		}
		w.expect("srv1", "192.0.2.21/24", false, false)
		w.expect("srv2", "192.0.2.22/24", false, false)
		w.expect("srv1", "192.0.2.11/24", true, true)
	})
	inFreeWorld(t, func(w *world) {
		w.kill("srv2")
		x := w.plan(func(d *clusterconf.Document) error { return d.CreateCluster(createC1) })
		err := w.servers["srv1"].agent.Exchange(w.t.Context(), control.ExchangeRequest{Exchanges: x})
		if c := fault.CodeOf(err); c != fault.Unreachable && c != fault.Unknown {
			t.Errorf("a server without an agent: %v (code %d)", err, c)
		}
		w.expect("srv1", "192.0.2.21/24", false, false)
	})
}

// What was made ready for a document that never comes is undone by itself.
func TestExchangeForgotten(t *testing.T) {
	inFreeWorld(t, func(w *world) {
		x := w.plan(func(d *clusterconf.Document) error { return d.CreateCluster(createC1) })
		if err := w.servers["srv1"].agent.Exchange(w.t.Context(), control.ExchangeRequest{Exchanges: x}); err != nil {
			t.Fatal(err)
		}
		w.expect("srv2", "192.0.2.22/24", true, true)
		pass(readyLife + 5*time.Second)
		w.expect("srv1", "192.0.2.21/24", false, false)
		w.expect("srv2", "192.0.2.22/24", false, false)
	})
}

// A LIM that is on the standby cannot leave its cluster.
func TestExchangeRefusedWhileOnStandby(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		if _, err := w.order("srv1", control.Order{Kind: control.OrderFailover, LIM: 1}); err != nil {
			t.Fatal(err)
		}
		w.await(1, "sb1", soon)
		x := w.plan(func(d *clusterconf.Document) error { return d.DeleteCluster("c1") })
		if err := w.servers["srv1"].agent.Exchange(w.t.Context(), control.ExchangeRequest{Exchanges: x}); fault.CodeOf(err) != fault.Refused {
			t.Errorf("leaving while on the standby: %v", err)
		}
	})
}

// What was made ready for a document that never comes is taken off again, also by an
// agent that was started anew meanwhile.
func TestReadiedIsForgotten(t *testing.T) {
	inFreeWorld(t, func(w *world) {
		d := w.stored("srv1").Clone()
		before := d.Clone()
		if err := d.CreateCluster(createC1); err != nil {
			t.Fatal(err)
		}
		if err := w.servers["srv1"].agent.Exchange(w.t.Context(), control.ExchangeRequest{Exchanges: clusterconf.Exchanges(before, d)}); err != nil {
			t.Fatal(err)
		}
		w.expect("srv1", "192.0.2.21/24", true, true)
		w.kill("srv1")
		w.start("srv1")
		pass(readyLife + 5*time.Second)
		for server, base := range map[string]string{"srv1": "192.0.2.21/24", "srv2": "192.0.2.22/24"} {
			w.expect(server, base, false, false)
		}
		w.expect("srv1", "192.0.2.11/24", true, true)
	})
}

// A server that can note nowhere that a base is to be taken off again adds none.
func TestNoBaseIsReadiedWithoutRoom(t *testing.T) {
	inFreeWorld(t, func(w *world) {
		d := w.stored("srv1").Clone()
		before := d.Clone()
		if err := d.CreateCluster(createC1); err != nil {
			t.Fatal(err)
		}
		w.servers["srv1"].state.setFail(errBroken, errBroken)
		if err := w.servers["srv1"].agent.Exchange(w.t.Context(), control.ExchangeRequest{Exchanges: clusterconf.Exchanges(before, d)}); err == nil {
			t.Error("made ready without a word")
		}
		for server, base := range map[string]string{"srv1": "192.0.2.21/24", "srv2": "192.0.2.22/24"} {
			w.expect(server, base, false, false)
		}
	})
}

// A rollback can give a LIM that stays in its cluster another base: the address that
// clients know stays, the former base goes.
func TestExchangeOfBases(t *testing.T) {
	inFreeWorld(t, func(w *world) {
		w.carryOut(func(d *clusterconf.Document) error { return d.CreateCluster(createC1) })
		w.await(1, "srv1", soon)
		w.await(2, "srv2", soon)
		pass(10 * time.Second)
		gap := w.watchGap(1, "srv1")
		other := netip.MustParsePrefix("192.0.2.31/24")
		w.carryOut(func(d *clusterconf.Document) error { d.Server("srv1").Base = other; return nil })
		pass(10 * time.Second)
		w.expect("srv1", "192.0.2.11/24", true, false)
		w.expect("srv1", "192.0.2.31/24", true, true)
		w.expect("srv1", "192.0.2.21/24", false, false)
		if missing := gap(); missing != 0 {
			t.Errorf("the address that clients know was missing for %s", missing)
		}
		w.neverTwice()
	})
}

// A LIM that ran before its cluster was made and must not run on gives up the address
// that was its server's base: whoever takes it over must find it free.
func TestExchangeThenStop(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("agent restarted %t", restart), func(t *testing.T) {
			withArbiter(t, manual, func(w *world, arb *arbitertest.Fake) {
				w.free()
				arb.Cut("srv1", true)
				pass(2 * keyLease)
				if restart {
					w.kill("srv1")
					w.editStore("srv1", func(d *clusterconf.Document) error { return d.CreateCluster(createC1) })
					w.start("srv1")
				} else {
					w.carryOut(func(d *clusterconf.Document) error { return d.CreateCluster(createC1) })
				}
				w.await(1, "sb1", keyLease+soon)
				w.expect("srv1", "192.0.2.11/24", false, false)
				w.expect("srv1", "192.0.2.21/24", true, true)
				arb.Cut("srv1", false)
				pass(soon)
				if _, err := w.order("sb1", control.Order{LIM: 1, Kind: control.OrderFallback}); err != nil {
					t.Fatal(err)
				}
				w.await(1, "srv1", soon)
			})
		})
	}
}

// The passive side of a preloaded cluster sends nothing from its blocked alias, also
// where that was its base address before, or became its alias while it was active.
func TestExchangeThenPassive(t *testing.T) {
	inFreeWorld(t, func(w *world) {
		w.carryOut(func(d *clusterconf.Document) error {
			return errors.Join(d.CreateCluster(createC1), d.RemoveLIM("c1", 2), d.PreloadCluster("c1"))
		})
		w.await(1, "srv1", soon)
		w.awaitState(1, "sb1", failover.Preloaded, soon)
		if _, err := w.order("srv1", control.Order{LIM: 1, Kind: control.OrderFailover}); err != nil {
			t.Fatal(err)
		}
		w.await(1, "sb1", soon)
		w.awaitState(1, "srv1", failover.Preloaded, soon)
		w.passive("srv1") // the base comes first
	})
}

// An agent ends while it makes ready for another one, at whatever moment of that.
func TestStopWhileMakingReady(t *testing.T) {
	for after := time.Duration(0); after < 200*time.Millisecond; after += 20 * time.Millisecond {
		inFreeWorld(t, func(w *world) {
			exchanges := w.plan(func(d *clusterconf.Document) error { return d.CreateCluster(createC1) })
			told := make(chan error, 1)
			go func() {
				told <- w.servers["srv1"].agent.Exchange(w.t.Context(), control.ExchangeRequest{Exchanges: exchanges})
			}()
			pass(after)
			w.kill("srv2") // waits for its end
			<-told
		})
	}
}
