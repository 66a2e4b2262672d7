package netops_test

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"mxcluster/internal/fault"
	"mxcluster/netops"
)

// hear waits for a frame for which match holds.
func hear(t *testing.T, heard <-chan netops.Observation, what string, match func(netops.Observation) bool) netops.Observation {
	t.Helper()
	limit := time.After(5 * time.Second)
	for {
		select {
		case o, open := <-heard:
			if !open {
				t.Fatalf("the wire was closed before it heard %s", what)
			}
			if match(o) {
				return o
			}
		case <-limit:
			t.Fatalf("did not hear %s", what)
		}
	}
}

func answerFrom(a netip.Addr) func(netops.Observation) bool {
	return func(o netops.Observation) bool { return o.Op == netops.Reply && o.SenderIP == a }
}

func TestAsk(t *testing.T) {
	t.Parallel()
	hosts := newHosts(t, 2)
	a, b := hosts[0], hosts[1]
	w := a.wire()
	first, second := w.Subscribe(t.Context()), w.Subscribe(t.Context())
	for _, tc := range []struct {
		name string
		from netip.Addr
		to   net.HardwareAddr
	}{
		{"everyone", a.own().Addr(), nil},
		{"one station", a.own().Addr(), b.mac},
		{"as a probe", netip.IPv4Unspecified(), nil},
	} {
		before := time.Now()
		must(t, w.Ask(tc.from, b.own().Addr(), tc.to))
		o := hear(t, first, tc.name, answerFrom(b.own().Addr()))
		took := time.Since(before)
		t.Logf("%s: answered in %s, stamped %s after the question", tc.name, took, o.Time.Sub(before))
		if o.SenderMAC.String() != b.mac.String() || o.EthDst.String() != a.mac.String() || o.TargetIP != tc.from {
			t.Errorf("%s: answer %+v", tc.name, o)
		}
		if o.Time.Before(before) || o.Time.Sub(before) > took {
			t.Errorf("%s: stamped %s after the question, answered after %s", tc.name, o.Time.Sub(before), took)
		}
		hear(t, second, tc.name+" (second subscriber)", answerFrom(b.own().Addr()))
	}
}

func TestAnnouncementReachesNeighbours(t *testing.T) {
	t.Parallel()
	hosts := newHosts(t, 3)
	a, b, client := hosts[0], hosts[1], hosts[2]
	must(t, a.kernel.Hold(eth0, alias, 0))
	connect(t, client, a, alias.Addr()).Close()
	table := func() string {
		var mac net.HardwareAddr
		must(t, client.ns.Do(func() error {
			l, err := netlink.LinkByName(eth0)
			if err != nil {
				return err
			}
			list, err := netlink.NeighList(l.Attrs().Index, netlink.FAMILY_V4)
			for _, n := range list {
				if n.IP.Equal(alias.Addr().AsSlice()) {
					mac = n.HardwareAddr
				}
			}
			return err
		}))
		return mac.String()
	}
	if got := table(); got != a.mac.String() {
		t.Fatalf("before: the client knows %s, want %s", got, a.mac)
	}
	heard := client.wire().Subscribe(t.Context())
	must(t, a.kernel.Drop(eth0, alias))
	must(t, b.kernel.Hold(eth0, alias, 0))
	must(t, b.wire().Announce(alias.Addr()))
	took := eventually(t, 5*time.Second, "the client knows the new holder", func() bool { return table() == b.mac.String() })
	t.Logf("the client's neighbour table changed %s after the announcement", took)
	for _, op := range []netops.Op{netops.Request, netops.Reply} {
		hear(t, heard, "announcement as a "+op.String(), func(o netops.Observation) bool {
			return o.Op == op && o.SenderIP == alias.Addr() && o.TargetIP == alias.Addr() && o.SenderMAC.String() == b.mac.String()
		})
	}
	connect(t, client, b, alias.Addr()).Close()
}

func TestProbe(t *testing.T) {
	t.Parallel()
	hosts := newHosts(t, 2)
	a, b := hosts[0], hosts[1]
	wa, wb := a.wire(), b.wire()
	probe := func(w *netops.Wire) (net.HardwareAddr, bool, time.Duration) {
		start := time.Now()
		mac, inUse, err := netops.Probe(t.Context(), w, alias.Addr(), 3, 50*time.Millisecond)
		must(t, err)
		return mac, inUse, time.Since(start)
	}
	mac, inUse, took := probe(wa)
	t.Logf("free: %s", took)
	if inUse || mac != nil || took < 140*time.Millisecond {
		t.Errorf("free: in use %v by %s after %s", inUse, mac, took)
	}
	must(t, a.kernel.Hold(eth0, alias, 0))
	if mac, inUse, _ := probe(wa); inUse {
		t.Errorf("our own address is in use by %s", mac)
	}
	mac, inUse, took = probe(wb)
	t.Logf("in use: %s", took)
	if !inUse || mac.String() != a.mac.String() || took > 140*time.Millisecond {
		t.Errorf("held by %s: in use %v by %s after %s", a.mac, inUse, mac, took)
	}
	must(t, a.kernel.Drop(eth0, alias))
	// Two that probe at once: at least one of them hears the other.
	other := make(chan bool)
	go func() { _, inUse, _ := probe(wa); other <- inUse }()
	_, inUse, _ = probe(wb)
	if otherInUse := <-other; !inUse && !otherInUse {
		t.Error("two probes at once both found the address free")
	}
}

// The wire outlives what happens to its interface.
func TestWireOutlivesInterface(t *testing.T) {
	for _, tc := range []struct {
		name         string
		break_, mend func(*host)
	}{
		{"set down and up",
			func(h *host) { must(h.t, h.ns.SetDown(eth0)) },
			func(h *host) { must(h.t, h.ns.SetUp(eth0)) }},
		{"cable pulled and plugged in",
			func(h *host) { must(h.t, h.net.SetDown(h.port)) },
			func(h *host) { must(h.t, h.net.SetUp(h.port)) }},
		{"removed and made anew",
			func(h *host) { must(h.t, h.ns.Delete(eth0)) },
			func(h *host) { h.mac = net.HardwareAddr{2, 0, 0, 0, 9, 9}; h.plugIn() }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			hosts := newHosts(t, 2)
			h, peer := hosts[0], hosts[1]
			w := h.wire()
			heard, announced := w.Subscribe(t.Context()), peer.wire()
			for range 3 {
				tc.break_(h)
				eventually(t, 5*time.Second, "sending fails", func() bool {
					return w.Announce(alias.Addr()) != nil
				})
				if err := w.Ask(h.own().Addr(), peer.own().Addr(), nil); err == nil {
					t.Error("asked without an error")
				}
				tc.mend(h)
				start := time.Now()
				h.awaitUp()
				// What brings the wire back is listening, not sending.
				eventually(t, 5*time.Second, "the peer is heard", func() bool {
					must(t, announced.Announce(peer.own().Addr()))
					return heardSince(heard, start, peer.own().Addr())
				})
				t.Logf("heard again %s after it was mended", time.Since(start))
				eventually(t, 5*time.Second, "the peer answers", func() bool {
					must(t, w.Ask(netip.IPv4Unspecified(), peer.own().Addr(), peer.mac))
					o := hear(t, heard, "anything", func(netops.Observation) bool { return true })
					return o.Op == netops.Reply && o.TargetIP == netip.IPv4Unspecified() && o.EthDst.String() == h.mac.String()
				})
			}
		})
	}
}

// heardSince looks, without waiting, for a frame from the address that was
// received after start.
func heardSince(heard <-chan netops.Observation, start time.Time, from netip.Addr) bool {
	for {
		select {
		case o := <-heard:
			if o.SenderIP == from && o.Time.After(start) {
				return true
			}
		default:
			return false
		}
	}
}

func TestWireDoesNotHearItself(t *testing.T) {
	t.Parallel()
	hosts := newHosts(t, 2)
	w, peer := hosts[0].wire(), hosts[1].wire()
	heard := w.Subscribe(t.Context())
	must(t, w.Announce(alias.Addr()))
	must(t, peer.Announce(base.Addr()))
	o := hear(t, heard, "any announcement", func(o netops.Observation) bool { return o.SenderIP == o.TargetIP })
	if o.SenderIP != base.Addr() {
		t.Errorf("heard %+v first, want the peer's announcement", o)
	}
}

func TestWireCloses(t *testing.T) {
	t.Parallel()
	h := newHosts(t, 1)[0]
	w := h.wire()
	ctx, cancel := context.WithCancel(t.Context())
	cancelled, heard := w.Subscribe(ctx), w.Subscribe(t.Context())
	cancel()
	for range cancelled { // until it is closed
	}
	must(t, w.Close())
	must(t, w.Close())
	for range heard {
	}
	if err := w.Announce(alias.Addr()); err == nil {
		t.Error("announced on a closed wire")
	}
	if _, _, err := netops.Probe(t.Context(), w, alias.Addr(), 1, time.Second); err == nil {
		t.Error("probed on a closed wire")
	}
}

func TestOpenWireRefuses(t *testing.T) {
	t.Parallel()
	h := newHosts(t, 1)[0]
	for _, tc := range []struct {
		ifname string
		code   fault.Code
		hint   string
	}{
		{"eth1", fault.NotFound, "did you mean eth0?"},
		{"an interface name that is far too long", fault.NotFound, "this server has lo, eth0"},
		{"lo", fault.Refused, "name an Ethernet interface"},
	} {
		var err error
		must(t, h.ns.Do(func() error { _, err = netops.OpenWire(tc.ifname); return nil }))
		if fault.CodeOf(err) != tc.code || fault.HintOf(err) != tc.hint {
			t.Errorf("%s: %v with code %d and hint %q", tc.ifname, err, fault.CodeOf(err), fault.HintOf(err))
		}
	}
}
