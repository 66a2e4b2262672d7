package agent

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/control"
	"mxcluster/internal/failover"
	"mxcluster/internal/fault"
)

// pairDocument is a preloaded cluster of the only two servers of a system.
func pairDocument() *clusterconf.Document {
	doc := worldDocument(manual)
	doc.Servers, doc.LIMs = doc.Servers[:2], doc.LIMs[:1]
	c := &doc.Clusters[0]
	c.Failover, c.LIMs = clusterconf.FailoverPreloaded, c.LIMs[:1]
	return doc
}

// inPair runs a test in that system, loaded.
func inPair(t *testing.T, f func(w *world)) {
	t.Helper()
	inPairWith(t, func(*world) {}, f)
}

func inPairWith(t *testing.T, adjust, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOf(t, pairDocument())
		adjust(w)
		w.watchers.Add(1)
		go w.watchAliases()
		defer w.close()
		w.start("srv1", "sb1")
		w.await(1, "srv1", soon)
		w.awaitState(1, "sb1", failover.Preloaded, soon)
		f(w)
		w.neverTwice()
	})
}

// slowDocuments are a store that takes its time, so that the steps of a passage are
// not all taken at one instant of virtual time.
type slowDocuments struct{ Documents }

const slowStore = 20 * time.Millisecond

func (d slowDocuments) Adopt(ctx context.Context, doc *clusterconf.Encoded) (clusterconf.Adoption, error) {
	pass(slowStore)
	return d.Documents.Adopt(ctx, doc)
}

func (d slowDocuments) Edit(ctx context.Context, c clusterconf.Change, f func(*clusterconf.Document) error) (clusterconf.Result, error) {
	pass(slowStore)
	return d.Documents.Edit(ctx, c, f)
}

func (d slowDocuments) EditFrom(ctx context.Context, hash string, c clusterconf.Change, f func(*clusterconf.Document) error) (clusterconf.Result, error) {
	pass(slowStore)
	return d.Documents.EditFrom(ctx, hash, c, f)
}

// slowKernel is a kernel that takes its time with what is taken off.
type slowKernel struct{ Kernel }

func (k slowKernel) Drop(ifname string, addr netip.Prefix) error {
	pass(slowStore)
	return k.Kernel.Drop(ifname, addr)
}

// inSlowPair is inPair with steps that take a while.
func inSlowPair(t *testing.T, f func(w *world)) {
	t.Helper()
	inPairWith(t, func(w *world) {
		w.wrap = func(_ *machine, d Deps) Deps {
			d.Documents, d.Kernel = slowDocuments{d.Documents}, slowKernel{d.Kernel}
			return d
		}
	}, f)
}

// beginLeave has LIMs begin to leave the cluster, as a command on srv1 does.
func (w *world) beginLeave(dead string, lims ...int) {
	w.t.Helper()
	w.editStore("srv1", func(d *clusterconf.Document) error { return d.BeginLeave("c1", dead, lims...) })
	if err := w.servers["srv1"].agent.Reload(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// awaitLeft lets time pass until every server has a document without the cluster
// and without former bases; it returns how long that took.
func (w *world) awaitLeft(within time.Duration) time.Duration {
	w.t.Helper()
	began, last := time.Now(), ""
	for ; time.Since(began) <= within; pass(5 * time.Millisecond) {
		if last = w.notLeft(); last == "" {
			return time.Since(began)
		}
	}
	w.t.Fatalf("not at its end after %s: %s; %s", within, last, w.reasons(1))
	return 0
}

// awaitHome brings a LIM back that was taken over before the standby knew that it
// leaves, and then lets it leave.
func (w *world) awaitHome() {
	w.t.Helper()
	pass(35 * time.Second)
	if w.notLeft() != "" {
		if _, err := w.order("sb1", control.Order{Kind: control.OrderFallback, LIM: 1, Now: true}); err != nil {
			w.t.Log("fallback:", err)
		}
	}
	w.awaitLeft(2 * time.Minute)
}

// notLeft says what is not at its end yet.
func (w *world) notLeft() string {
	for _, s := range w.doc.Servers {
		d, err := w.servers[s.Name].store.Read()
		switch {
		case err != nil:
			return err.Error()
		case len(d.Clusters) > 0:
			return fmt.Sprintf("%s has cluster %s (revision %d)", s.Name, d.Clusters[0].Name, d.Revision)
		case failover.Pending(d):
			return fmt.Sprintf("%s has a former base in revision %d", s.Name, d.Revision)
		}
	}
	return ""
}

// alone fails the test unless the pair's alias is srv1's only address, and the other
// one has its base alone, without a block.
func (w *world) alone() {
	w.t.Helper()
	w.expect("srv1", "192.0.2.11/24", true, true)
	w.expect("srv1", "192.0.2.21/24", false, false)
	w.expect("sb1", "192.0.2.11/24", false, false)
	if blocked, err := w.servers["sb1"].kernel.Blocked("eth0"); err != nil || len(blocked) > 0 {
		w.t.Errorf("sb1 blocks %v (%v)", blocked, err)
	}
}

// A preloaded pair is deleted: the clients' address is never away, never on two
// servers, and the two hear each other to the end.
func TestLeavePair(t *testing.T) {
	inPair(t, func(w *world) {
		gap := w.watchGap(1, "srv1")
		w.beginLeave("")
		took := w.awaitLeft(10 * time.Second)
		if missing := gap(); missing != 0 {
			t.Errorf("the address that clients know was missing for %s", missing)
		}
		pass(10 * time.Second)
		w.alone()
		if s := w.lastRole("srv1"); s != roleActive {
			t.Errorf("the software was last told that it is %s", s)
		}
		t.Logf("took %s", took)
	})
}

// Power is cut on either server, or its agent is killed, at every moment of a
// deletion. Whatever was reached, it comes to its end.
func TestLeavePairCrashes(t *testing.T) {
	for name, how := range map[string]struct {
		crash   func(w *world, on string)
		moments []int // in milliseconds
	}{
		"power":      {func(w *world, on string) { w.powerCut(on); pass(300 * time.Millisecond); w.boot(on) }, []int{10, 35, 55, 75, 95, 120}},
		"long power": {func(w *world, on string) { w.powerCut(on); pass(40 * time.Second); w.boot(on) }, []int{35, 95}},
		"agent":      {func(w *world, on string) { w.kill(on); pass(100 * time.Millisecond); w.start(on) }, []int{25, 65, 105}},
	} {
		if os.Getenv("MXCLUSTER_TEST_ALL_KILLS") != "" {
			how.moments = nil
			for at := 0; at <= 200; at += 5 {
				how.moments = append(how.moments, at)
			}
		}
		for _, on := range []string{"srv1", "sb1"} {
			for _, ms := range how.moments {
				after := time.Duration(ms) * time.Millisecond
				t.Run(fmt.Sprintf("%s of %s after %s", name, on, after), func(t *testing.T) {
					inSlowPair(t, func(w *world) {
						w.beginLeave("")
						pass(after)
						how.crash(w, on)
						w.awaitHome()
						pass(5 * time.Second)
						w.expect("srv1", "192.0.2.11/24", true, true)
						w.expect("sb1", "192.0.2.11/24", false, false)
						if s := w.software("srv1"); s != "running" {
							t.Errorf("LIM 1 is %s: %s", s, w.reasons(1))
						}
					})
				})
			}
		}
	}
}

// Both lose their power at once, and come back in either order: the first one waits
// for the second before it brings anything up that may be the other's.
func TestLeavePairBothCrash(t *testing.T) {
	for _, first := range []string{"srv1", "sb1"} {
		for _, ms := range []int{25, 65, 110} {
			after := time.Duration(ms) * time.Millisecond
			t.Run(fmt.Sprintf("after %s, %s first", after, first), func(t *testing.T) {
				inSlowPair(t, func(w *world) {
					w.beginLeave("")
					pass(after)
					w.powerCut("srv1")
					w.powerCut("sb1")
					pass(time.Second)
					second := map[string]string{"srv1": "sb1", "sb1": "srv1"}[first]
					w.boot(first)
					pass(10 * time.Second)
					w.boot(second)
					w.awaitHome()
					w.expect("sb1", "192.0.2.11/24", false, false)
				})
			})
		}
	}
}

// A LIM that the standby serves is not cut off: it is brought back first.
func TestLeaveWaitsForFallback(t *testing.T) {
	inPair(t, func(w *world) {
		if _, err := w.order("srv1", control.Order{Kind: control.OrderFailover, LIM: 1}); err != nil {
			t.Fatal(err)
		}
		w.await(1, "sb1", soon)
		w.awaitState(1, "srv1", failover.Preloaded, soon)
		err := w.servers["sb1"].agent.Exchange(w.t.Context(), control.ExchangeRequest{Leave: &control.LeaveRequest{Cluster: "c1"}})
		if fault.CodeOf(err) != fault.Refused || fault.HintOf(err) != "bring it back first: mxcluster fallback 1" {
			t.Errorf("leaving while on the standby: %v; %s", err, fault.HintOf(err))
		}
		// It begins all the same, as when the LIM moves at that very moment.
		w.editStore("sb1", func(d *clusterconf.Document) error { return d.BeginLeave("c1", "") })
		if err := w.servers["sb1"].agent.Reload(w.t.Context()); err != nil {
			t.Fatal(err)
		}
		pass(40 * time.Second)
		w.await(1, "sb1", 0)
		info, err := w.servers["sb1"].agent.Agent(w.t.Context())
		if err != nil || !slices.Contains(info.Pending, "LIM 1 runs on sb1: `mxcluster fallback 1` brings it back") {
			t.Errorf("it waits for %q (%v)", info.Pending, err)
		}
		if _, err := w.order("sb1", control.Order{Kind: control.OrderFallback, LIM: 1}); err != nil {
			t.Fatal(err)
		}
		w.awaitLeft(10 * time.Second)
		w.alone()
	})
}

// A LIM that leaves is not taken over any more.
func TestLeavingIsNotTakenOver(t *testing.T) {
	inPair(t, func(w *world) {
		w.partition(true, "srv1", "sb1") // so that it gets no further
		w.editStore("sb1", func(d *clusterconf.Document) error { return d.BeginLeave("c1", "") })
		if err := w.servers["sb1"].agent.Reload(w.t.Context()); err != nil {
			t.Fatal(err)
		}
		w.powerCut("srv1")
		w.partition(false, "srv1", "sb1")
		pass(time.Minute)
		w.expect("sb1", "192.0.2.11/24", false, false)
		w.boot("srv1")
		w.awaitLeft(time.Minute)
	})
}

// A standby that is lost for good is left out, and nobody forgets it: the former base
// stays until it is removed, or comes back and has the document.
func TestLeaveWithoutStandby(t *testing.T) {
	for _, back := range []bool{false, true} {
		t.Run(fmt.Sprintf("back %t", back), func(t *testing.T) {
			inPair(t, func(w *world) {
				leave := control.ExchangeRequest{Leave: &control.LeaveRequest{Cluster: "c1", Dead: "sb1"}}
				a := w.servers["srv1"].agent
				if err := a.Exchange(w.t.Context(), leave); fault.CodeOf(err) != fault.Refused {
					t.Errorf("a standby that is heard, left out: %v", err)
				}
				w.powerCut("sb1")
				pass(2 * time.Second)
				if err := a.Exchange(w.t.Context(), control.ExchangeRequest{Leave: &control.LeaveRequest{Cluster: "c1"}}); fault.CodeOf(err) != fault.Refused {
					t.Errorf("a standby that is not heard: %v", err)
				}
				if err := a.Exchange(w.t.Context(), leave); err != nil {
					t.Fatal(err)
				}
				w.beginLeave("sb1")
				pass(5 * time.Second)
				w.expect("srv1", "192.0.2.11/24", true, true)
				w.expect("srv1", "192.0.2.21/24", true, true)
				if back {
					w.boot("sb1")
					w.awaitLeft(time.Minute)
					w.alone()
					return
				}
				pass(time.Minute)
				w.expect("srv1", "192.0.2.21/24", true, true)
				w.editStore("srv1", func(d *clusterconf.Document) error { return d.RemoveServer("sb1") })
				if err := a.Reload(w.t.Context()); err != nil {
					t.Fatal(err)
				}
				pass(2 * time.Second)
				w.expect("srv1", "192.0.2.21/24", false, false)
				w.expect("srv1", "192.0.2.11/24", true, true)
			})
		})
	}
}

// A standby that was given up as lost for good and removed, and is not: when it comes back
// nobody is where it knows the other one, but for the alias, and there it is told.
func TestStandbyThatWasNotLost(t *testing.T) {
	inPair(t, func(w *world) {
		w.powerCut("sb1")
		pass(2 * time.Second)
		if err := w.servers["srv1"].agent.Exchange(w.t.Context(), control.ExchangeRequest{Leave: &control.LeaveRequest{Cluster: "c1", Dead: "sb1"}}); err != nil {
			t.Fatal(err)
		}
		w.beginLeave("sb1")
		pass(5 * time.Second)
		w.editStore("srv1", func(d *clusterconf.Document) error { return d.RemoveServer("sb1") })
		if err := w.servers["srv1"].agent.Reload(w.t.Context()); err != nil {
			t.Fatal(err)
		}
		pass(5 * time.Second)
		w.expect("srv1", "192.0.2.21/24", false, false)
		w.boot("sb1")
		pass(10 * time.Second)
		if st := w.status("sb1"); st.Removed == "" {
			t.Error("it does not know that it was removed")
		}
		w.powerCut("srv1")
		pass(2 * time.Minute)
		w.expect("sb1", "192.0.2.11/24", false, false)
	})
}

// A regular server that is lost for good: what the standby serves in its place ends.
func TestLeaveWithoutRegular(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.powerCut("srv2")
		w.await(2, "sb1", soon)
		pass(2 * time.Second)
		leave := control.ExchangeRequest{Leave: &control.LeaveRequest{Cluster: "c1", LIMs: []int{2}, Dead: "srv2"}}
		if err := w.servers["srv1"].agent.Exchange(w.t.Context(), leave); err != nil {
			t.Fatal(err)
		}
		w.beginLeave("srv2", 2)
		pass(10 * time.Second)
		w.expect("sb1", "192.0.2.12/24", false, false)
		d, err := w.servers["sb1"].store.Read()
		if err != nil || d.ClusterOfLIM(2) != nil || d.ClusterOfLIM(1) == nil {
			t.Errorf("after it left: %+v (%v)", d.Clusters, err)
		}
		w.await(1, "srv1", 0)
		w.editStore("srv1", func(d *clusterconf.Document) error { return d.RemoveServer("srv2") })
		w.neverTwice()
	})
}

// One of several LIMs leaves; the other is redundant all the while, and every base
// that moves is kept until all know the new one.
func TestLeaveOneOfSeveral(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		gap1, gap2 := w.watchGap(1, "srv1"), w.watchGap(2, "srv2")
		w.beginLeave("", 2)
		pass(10 * time.Second)
		d := w.sameDocument(4)
		if d.ClusterOfLIM(2) != nil || d.Server("srv2").Base != netip.MustParsePrefix("192.0.2.12/24") || failover.Pending(d) {
			t.Errorf("LIM 2 has not left: %+v", d)
		}
		if a, b := gap1(), gap2(); a != 0 || b != 0 {
			t.Errorf("the addresses were missing for %s and %s", a, b)
		}
		w.powerCut("srv1")
		w.await(1, "sb1", soon)
		w.neverTwice()
	})
}

// What an agent was to take off last, when it was killed, goes when it starts again.
func TestLeaveRemembersFormerBase(t *testing.T) {
	inPair(t, func(w *world) {
		w.beginLeave("")
		pass(20 * time.Second)
		w.kill("srv1")
		w.hold(w.servers["srv1"], netip.MustParsePrefix("192.0.2.21/24")) // as if it had not come to that
		m := w.servers["srv1"]
		p := m.state.known()
		p.Former = netip.MustParsePrefix("192.0.2.21/24")
		m.state.kept = &p
		w.start("srv1")
		pass(2 * time.Second)
		w.alone()
	})
}
