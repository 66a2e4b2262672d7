package agent

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/alarms"
	"mxcluster/internal/control"
	"mxcluster/internal/detector/evidence"
	"mxcluster/internal/events"
	"mxcluster/internal/fault"
	"mxcluster/internal/status"
	"mxcluster/netops/netopstest"
)

// besideOthers runs a test in a cluster of srv1 and sb1, beside srv2, which is in
// no cluster.
func besideOthers(t *testing.T, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		doc := worldDocument(manual)
		doc.Clusters[0].LIMs = doc.Clusters[0].LIMs[:1]
		w := newWorldOf(t, doc)
		defer w.close()
		w.start("srv1", "srv2", "sb1")
		w.await(1, "srv1", soon)
		pass(3 * time.Second)
		f(w)
	})
}

// A server of another cluster tells a dead peer from a cut cable, and at once.
func TestSmallClusterTakesOverInTime(t *testing.T) {
	besideOthers(t, func(w *world) {
		w.powerCut("srv1")
		if took := w.await(1, "sb1", soon); took > limit+100*time.Millisecond {
			t.Errorf("taking over took %s with a silence limit of %s", took, limit)
		}
	})
}

func TestSmallClusterCutOff(t *testing.T) {
	besideOthers(t, func(w *world) {
		w.partition(true, "sb1", "srv1", "srv2")
		pass(20 * time.Second)
		if h := w.holders(1); !slices.Equal(h, []string{"srv1"}) {
			t.Errorf("with sb1 cut off the alias is on %v", h)
		}
	})
}

// neighbour connects a host that answers for its address, and has been heard once.
func (w *world) neighbour(addr string) (host *netopstest.Kernel, say func()) {
	w.t.Helper()
	host = w.foreignHost(netip.MustParsePrefix(addr + "/24"))
	wire, err := w.segment.OpenWire(host, "eth0")
	if err != nil {
		w.t.Fatal(err)
	}
	say = func() {
		_ = wire.Ask(netip.MustParseAddr(addr), netip.MustParseAddr("192.0.2.12"), nil) // lost with the cable
	}
	say()
	return host, say
}

// tookOver counts the LIMs whose alias the standby has.
func (w *world) tookOver() int {
	n := 0
	for _, l := range w.doc.LIMs {
		if slices.Contains(w.holders(l.Number), "sb1") {
			n++
		}
	}
	return n
}

// flips counts how often a server took itself for isolated, or not any more.
func (w *world) flips(server string) int {
	return w.servers[server].events.count(events.Isolation)
}

// All regular servers die at once. A gateway, or a host that was heard while all was
// well, tells that the standby's own link carries traffic, so that it takes one over:
// nobody else does, however often it is heard afterwards. It never turns to and fro.
func TestAllRegularsDead(t *testing.T) {
	gateway := netip.MustParseAddr("192.0.2.1")
	for _, tc := range []struct {
		name   string
		before func(w *world)
		after  func(w *world)
		takes  bool
	}{
		{"nobody else", nil, nil, false},
		{"a gateway of the routes", func(w *world) {
			w.foreignHost(netip.PrefixFrom(gateway, 24))
			w.servers["sb1"].kernel.SetGateways("eth0", gateway)
		}, nil, true},
		{"a gateway that does not answer", func(w *world) { w.servers["sb1"].kernel.SetGateways("eth0", gateway) }, nil, false},
		{"a neighbour that was heard before", func(w *world) { w.neighbour("192.0.2.99") }, nil, true},
		{"one that has left", func(w *world) {
			host, _ := w.neighbour("192.0.2.99")
			pass(time.Second)
			w.segment.Disconnect(host)
			pass(30 * time.Second)
		}, nil, false},
		{"one that is heard afterwards", nil, func(w *world) {
			_, say := w.neighbour("192.0.2.99")
			for range 200 {
				pass(100 * time.Millisecond)
				say()
			}
		}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inWorld(t, manual, func(w *world) {
				w.settled()
				if tc.before != nil {
					tc.before(w)
				}
				pass(15 * time.Second)
				before := w.flips("sb1")
				w.partition(true, "sb1", "srv1", "srv2") // at one instant
				w.powerCut("srv1")
				w.powerCut("srv2")
				pass(2 * time.Second)
				if tc.after != nil {
					tc.after(w)
				}
				want := 0
				if tc.takes {
					want = 1
				}
				if got := w.tookOver(); got != want {
					t.Errorf("the standby has the aliases of %d LIMs, want %d", got, want)
				}
				if flips := w.flips("sb1") - before; flips > 1 || flips > 0 && tc.takes {
					t.Errorf("the standby turned %d times between isolated and not", flips)
				}
			})
		})
	}
}

// A gateway that comes while the agent runs is asked, and counts.
func TestGatewayThatComes(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		gateway := netip.MustParseAddr("192.0.2.1")
		w.foreignHost(netip.PrefixFrom(gateway, 24))
		before := w.witnessed("sb1")
		w.servers["sb1"].kernel.SetGateways("eth0", gateway)
		pass(3 * time.Second)
		with := w.witnessed("sb1")
		w.servers["sb1"].kernel.SetGateways("eth0")
		pass(3 * time.Second)
		if before.Others != 0 || with.Others != 1 || w.witnessed("sb1").Others != 0 {
			t.Errorf("witnesses before: %+v, with a gateway: %+v, after: %+v", before, with, w.witnessed("sb1"))
		}
	})
}

// In a pair beside a gateway that went down, the regular server hears nobody but the standby:
// it would not take its LIM back from there, and that is said beforehand.
func TestRegularThatWouldHearNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc := worldDocument(manual)
		doc.Servers, doc.LIMs, doc.Clusters[0].LIMs = doc.Servers[:2], doc.LIMs[:1], doc.Clusters[0].LIMs[:1]
		w := newWorldOf(t, doc)
		defer w.close()
		gateway := netip.MustParseAddr("192.0.2.1")
		host := w.foreignHost(netip.PrefixFrom(gateway, 24))
		for _, m := range w.servers {
			m.kernel.SetGateways("eth0", gateway)
		}
		w.start("srv1", "sb1")
		w.await(1, "srv1", soon)
		pass(10 * time.Second)
		if _, err := w.order("srv1", control.Order{Kind: control.OrderFailover, LIM: 1, Now: true}); err != nil {
			t.Fatal(err)
		}
		w.await(1, "sb1", soon)
		pass(10 * time.Second)
		w.wantRedundant("yes")
		w.segment.Disconnect(host)
		pass(2 * time.Minute) // a gateway is asked now and then
		w.wantRedundant("no: srv1 would not take LIM 1 back by itself if sb1 failed: it would hear nobody else")
		w.powerCut("sb1")
		w.staysOn(1, nil, time.Minute)
	})
}

// witnessed is who tells a server that it is not cut off.
func (w *world) witnessed(server string) evidence.Witnesses {
	w.t.Helper()
	a := w.servers[server].agent
	got, err := on(w.t.Context(), a.core, func() (evidence.Witnesses, error) { return a.link.witnessed(), nil })
	if err != nil {
		w.t.Fatal(err)
	}
	return got
}

// A standby without any witness but the regular servers says beforehand that it would not
// act when the last of them falls silent, what people can do then, and that works, where
// the server is really silent, once.
func TestServerSaidDead(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.edit0(func(c *clusterconf.Cluster) { c.Member(2).Priority = 50 })
		w.settled()
		pass(5 * time.Second)
		if ready, why := w.readiness("sb1"); !ready || !strings.Contains(why, "redundant for one failure") {
			t.Errorf("with all well: ready %v, %q", ready, why)
		}
		w.powerCut("srv1")
		w.await(1, "sb1", soon)
		pass(5 * time.Second)
		if ready, why := w.readiness("sb1"); ready || !strings.Contains(why, "mxcluster failover 2 --now --server-is-dead srv2") {
			t.Errorf("with srv1 dead: ready %v, %q", ready, why)
		}
		w.alarmed("sb1", alarms.NotRedundant, 2, true)
		dead := control.Order{Kind: control.OrderFailover, LIM: 2, Now: true, Dead: "srv2"}
		w.refuses("sb1", dead, "srv2 is heard")
		w.refuses("srv2", dead, "srv2 is heard")
		w.powerCut("srv2")
		pass(5 * time.Second)
		if slices.Contains(w.holders(2), "sb1") {
			t.Fatal("the standby acted alone")
		}
		w.refuses("sb1", control.Order{Kind: control.OrderFailover, LIM: 2, Dead: "srv1"}, "the server of LIM 2 is srv2")
		w.alarmed("sb1", alarms.NotRedundant, 2, true)
		try := dead
		try.DryRun = true
		if res, err := w.order("sb1", try); err != nil || res.Accepted || !strings.Contains(res.Text, "LIM 1 would end there") {
			t.Errorf("dry run: %+v, %v", res, err)
		}
		k := w.foreignHost(netip.MustParsePrefix("192.0.2.22/24"))
		w.refuses("sb1", dead, "answers for its base")
		w.segment.Disconnect(k)
		pass(time.Second)
		k = w.foreignHost(w.alias(2))
		w.refuses("sb1", dead, "answers for the alias")
		w.segment.Disconnect(k)
		pass(time.Second)
		if _, err := w.order("sb1", dead); err != nil {
			t.Fatal(err)
		}
		w.await(2, "sb1", soon)
		pass(time.Second) // what happened is written beside
		contains(t, w.eventsFrom("sb1", events.Query{}), "sb1: failover of LIM 2 to sb1 was ordered, at once, since srv2 is dead")
		w.alarmed("sb1", alarms.NotRedundant, 2, false)
		if res, err := w.order("sb1", dead); err != nil || !res.Already {
			t.Errorf("again: %+v, %v", res, err)
		}
	})
}

// With the standby's own link down the word of others is not taken.
func TestServerSaidDeadByACutOffStandby(t *testing.T) {
	inWorld(t, manual, func(w *world) {
		w.settled()
		w.servers["sb1"].kernel.SetUp("eth0", false)
		pass(5 * time.Second)
		w.refuses("sb1", control.Order{Kind: control.OrderFailover, LIM: 2, Now: true, Dead: "srv2"}, "the link of sb1 is down")
	})
}

// edit0 changes the document before the agents start.
func (w *world) edit0(f func(*clusterconf.Cluster)) {
	w.t.Helper()
	for _, s := range w.doc.Servers {
		_, err := w.servers[s.Name].store.Edit(w.t.Context(), clusterconf.Change{By: "test", On: "srv1", Command: "test", At: time.Now().UTC()}, func(d *clusterconf.Document) error {
			f(&d.Clusters[0])
			return nil
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// readiness is whether a server could do its part, by its own word.
func (w *world) readiness(server string) (ready bool, why string) {
	w.t.Helper()
	st, err := w.servers[server].agent.Status(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, s := range st.Clusters[0].Servers {
		if s.Name == server && s.Ready != nil {
			return *s.Ready, s.ReadyWhy
		}
	}
	w.t.Fatalf("%s does not say whether it is ready", server)
	return false, ""
}

// alarmed checks whether an alarm of a LIM is raised.
func (w *world) alarmed(server string, name alarms.Name, lim int, want bool) {
	w.t.Helper()
	st, err := w.servers[server].agent.Status(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	got := slices.ContainsFunc(st.Clusters[0].Alarms, func(a status.Alarm) bool { return a.Name == string(name) && a.LIM == lim })
	if got != want {
		w.t.Errorf("alarm %s of LIM %d raised: %v; all: %+v", name, lim, got, st.Clusters[0].Alarms)
	}
}

// refuses checks that an order is refused, and why.
func (w *world) refuses(via string, o control.Order, why string) {
	w.t.Helper()
	res, err := w.order(via, o)
	if fault.CodeOf(err) != fault.Refused || !strings.Contains(err.Error(), why) {
		w.t.Errorf("order via %s: %+v, %v; want a refusal with %q", via, res, err, why)
	}
}

// With half of ten regular servers dead, those that live are never counted as silent.
func TestLiveOnesBesideDeadOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOf(t, drawDocument(rand.New(rand.NewPCG(1, 1)), 10, time.Second))
		defer w.close()
		var names []string
		for _, s := range w.doc.Servers {
			names = append(names, s.Name)
		}
		w.start(names...)
		pass(3 * time.Second)
		for _, name := range names[1:6] {
			w.powerCut(name)
		}
		pass(4 * time.Second)
		before := w.servers["sb1"].events.count(events.Server)
		pass(8 * time.Second)
		if n := w.servers["sb1"].events.count(events.Server) - before; n > 0 {
			list := w.eventsFrom("sb1", events.Query{}).Events
			t.Errorf("%d times a server changed; last: %s", n, list[len(list)-1].Text)
		}
	})
}
