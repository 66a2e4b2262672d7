package netops_test

import (
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"mxcluster/netops"
)

// hearEcho waits for the answer of an address that was asked after a moment.
func hearEcho(t *testing.T, echoes <-chan netops.Echo, from netip.Addr, since time.Time) (netops.Echo, bool) {
	t.Helper()
	limit := time.After(500 * time.Millisecond)
	for {
		select {
		case e := <-echoes:
			if e.From == from && !e.Asked.Before(since) {
				return e, true
			}
		case <-limit:
			return netops.Echo{}, false
		}
	}
}

// A kernel answers an echo at its MAC address alone; who answers ARP in its place, or
// passes packets on, gives no answer.
func TestEcho(t *testing.T) {
	t.Parallel()
	hosts := newHosts6(t, 3)
	a, b, router := hosts[0], hosts[1], hosts[2]
	w := a.wire()
	echoes, others := w.Echoes(t.Context()), a.wire().Echoes(t.Context())
	router.sysctl("ipv4/ip_forward", "1")
	router.sysctl("ipv4/conf/eth0/proxy_arp_pvlan", "1")
	router.sysctl("ipv6/conf/all/forwarding", "1")
	for _, at := range []struct{ from, to netip.Addr }{{a.own().Addr(), b.own().Addr()}, {a.own6().Addr(), b.own6().Addr()}} {
		before := time.Now()
		must(t, w.Echo(at.from, at.to, b.mac))
		e, ok := hearEcho(t, echoes, at.to, before)
		if !ok || e.MAC.String() != b.mac.String() || e.Time.Before(e.Asked) {
			t.Errorf("%s: answered %v: %+v", at.to, ok, e)
		}
		if _, ok := hearEcho(t, others, at.to, before); ok {
			t.Errorf("%s: another wire took the answer for its own", at.to)
		}
		must(t, w.Echo(at.from, at.to, router.mac))
		if e, ok := hearEcho(t, echoes, at.to, e.Time); ok {
			t.Errorf("%s: an echo to the router was answered by %s", at.to, e.MAC)
		}
	}
	b.sysctl("ipv4/icmp_echo_ignore_all", "1")
	now := time.Now()
	must(t, w.Echo(a.own().Addr(), b.own().Addr(), b.mac))
	if _, ok := hearEcho(t, echoes, b.own().Addr(), now); ok {
		t.Error("answered by a kernel that is told not to")
	}
}

// What goes out is counted, the kernel's own questions and answers too; echoes are not.
func TestSentIsCounted(t *testing.T) {
	t.Parallel()
	hosts := newHosts(t, 2)
	a, b := hosts[0], hosts[1]
	wa, wb := a.wire(), b.wire()
	sent := func(what string, w *netops.Wire, want uint64, do func()) {
		t.Helper()
		before := w.Sent()
		do()
		eventually(t, 2*time.Second, what, func() bool { return w.Sent()-before >= want })
		if n := w.Sent() - before; n != want {
			t.Errorf("%s: %d frames, want %d", what, n, want)
		}
	}
	sent("the kernel's two answers", wb, 2, func() {
		sent("two questions of ours", wa, 2, func() {
			must(t, wa.Ask(a.own().Addr(), b.own().Addr(), b.mac))
			must(t, wa.Ask(a.own().Addr(), b.own().Addr(), nil))
		})
	})
	sent("an announcement", wa, 2, func() { must(t, wa.Announce(a.own().Addr())) })
	echoes := wa.Echoes(t.Context())
	sent("an echo, and a question after it", wa, 1, func() {
		must(t, wa.Echo(a.own().Addr(), b.own().Addr(), b.mac))
		hearEcho(t, echoes, b.own().Addr(), time.Time{})
		must(t, wa.Ask(a.own().Addr(), b.own().Addr(), b.mac))
	})
}

// The kernel asks nobody for a neighbour that does not answer while it is pointed to.
func TestPoint(t *testing.T) {
	t.Parallel()
	h := newHosts(t, 1)[0]
	gone, mac := netip.MustParseAddr("10.0.0.77"), net.HardwareAddr{2, 0, 0, 0, 0, 0xee}
	w := h.wire()
	say := func() { // a datagram, as gossip is
		must(t, h.ns.Do(func() error {
			c, err := net.Dial("udp4", netip.AddrPortFrom(gone, 7946).String())
			if err == nil {
				_, _ = c.Write([]byte("?"))
				err = c.Close()
			}
			return err
		}))
	}
	before := w.Sent()
	say()
	eventually(t, 5*time.Second, "the kernel asks", func() bool { return w.Sent() > before })
	eventually(t, 10*time.Second, "the kernel gives up", func() bool {
		_, state := h.neighbour(gone)
		return state == netlink.NUD_FAILED
	})
	before = w.Sent()
	for range 3 {
		must(t, h.kernel.Point(eth0, gone, mac))
		say()
		if got, _ := h.neighbour(gone); got != mac.String() {
			t.Errorf("it is at %s, want %s", got, mac)
		}
	}
	must(t, w.Announce(h.own().Addr()))
	eventually(t, 2*time.Second, "the announcement is counted", func() bool { return w.Sent() >= before+2 })
	if n := w.Sent() - before; n != 2 {
		t.Errorf("the kernel asked %d times", n-2)
	}
}

// sysctl writes a setting under /proc/sys/net of the host's namespace.
func (h *host) sysctl(name, value string) {
	h.t.Helper()
	must(h.t, h.ns.Do(func() error { return os.WriteFile("/proc/sys/net/"+name, []byte(value), 0) }))
}
