package netops_test

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// neighbour is what the host's kernel knows of an address.
func (h *host) neighbour(addr netip.Addr) (mac string, state int) {
	h.t.Helper()
	must(h.t, h.ns.Do(func() error {
		list, err := netlink.NeighList(0, netlink.FAMILY_ALL)
		for _, n := range list {
			if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap() == addr {
				mac, state = n.HardwareAddr.String(), n.State
			}
		}
		return err
	}))
	return mac, state
}

func TestWarm(t *testing.T) {
	t.Parallel()
	hosts := newHosts(t, 2)
	h, known := hosts[0], hosts[1]
	wrong := net.HardwareAddr{2, 0, 0, 0, 0, 0xee}
	h.awaitReach(known)
	must(t, h.kernel.CacheNeighbour(eth0, known.own().Addr(), wrong))
	if mac, _ := h.neighbour(known.own().Addr()); mac != known.mac.String() {
		t.Errorf("what the kernel knew, %s, became %s", known.mac, mac)
	}
	must(t, h.kernel.Hold(eth0, base6, 0))
	for _, addr := range []netip.Addr{alias.Addr(), alias6.Addr()} {
		must(t, h.kernel.CacheNeighbour(eth0, addr, wrong))
		if got, state := h.neighbour(addr); got != wrong.String() || state != netlink.NUD_STALE {
			t.Errorf("%s is at %q, state %x; want %s, stale", addr, got, state, wrong)
		}
	}
}

// A neighbour that does not answer is unresolved while packets wait for it, and is not
// once it was asked for by the wire and answered.
func TestUnresolved(t *testing.T) {
	t.Parallel()
	hosts := newHosts(t, 2)
	h, other := hosts[0], hosts[1]
	h.awaitReach(other)
	unresolved := func() []netip.Addr {
		all, err := h.kernel.Unresolved(eth0)
		must(t, err)
		return all
	}
	if all := unresolved(); len(all) > 0 {
		t.Fatalf("unresolved before anything was sent: %v", all)
	}
	must(t, h.ns.Do(func() error {
		conn, err := net.ListenUDP("udp4", nil)
		if err != nil {
			return err
		}
		t.Cleanup(func() { conn.Close() })
		_, err = conn.WriteToUDPAddrPort([]byte("x"), netip.AddrPortFrom(alias.Addr(), 9))
		return err
	}))
	if all := unresolved(); !slices.Equal(all, []netip.Addr{alias.Addr()}) {
		t.Fatalf("unresolved: %v, want %s", all, alias.Addr())
	}
	must(t, other.kernel.Hold(eth0, alias, 0))
	must(t, h.wire().Ask(h.own().Addr(), alias.Addr(), nil))
	eventually(t, 900*time.Millisecond, "the answer is taken", func() bool {
		_, state := h.neighbour(alias.Addr())
		return len(unresolved()) == 0 && state == netlink.NUD_REACHABLE
	})
}

// The first answer after an address was taken, with and without the client known.
func TestFirstAnswerWarmAndCold(t *testing.T) {
	t.Parallel()
	for _, warm := range []bool{false, true} {
		var took []time.Duration
		for range 5 {
			hosts := newHosts(t, 2)
			h, client := hosts[0], hosts[1]
			must(t, h.kernel.Hold(eth0, alias, 0))
			port := h.echo()
			must(t, client.kernel.CacheNeighbour(eth0, alias.Addr(), h.mac))
			must(t, h.ns.Do(func() error { // what it knows is from the other way round
				list, err := netlink.NeighList(0, netlink.FAMILY_V4)
				for _, n := range list {
					must(t, netlink.NeighDel(&n))
				}
				return err
			}))
			if warm {
				must(t, h.kernel.CacheNeighbour(eth0, client.own().Addr(), client.mac))
			}
			var conn *net.UDPConn
			must(t, client.ns.Do(func() (err error) {
				conn, err = net.ListenUDP("udp", nil)
				return err
			}))
			must(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
			start := time.Now()
			_, err := conn.WriteToUDPAddrPort([]byte("x"), netip.AddrPortFrom(alias.Addr(), port))
			must(t, err)
			_, err = conn.Read(make([]byte, 8))
			must(t, err)
			took = append(took, time.Since(start))
			must(t, conn.Close())
		}
		t.Logf("first answers, client known %v: %v", warm, took)
	}
}
