package netops_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"mxcluster/netops"
)

var (
	base6  = netip.MustParsePrefix("2001:db8::21/64")
	alias6 = netip.MustParsePrefix("2001:db8::11/64")
)

// own6 is the host's IPv6 address besides those of the test.
func (h *host) own6() netip.Prefix {
	a := base6.Addr().As16()
	a[15] = 0xa0 + h.mac[5]
	return netip.PrefixFrom(netip.AddrFrom16(a), 64)
}

// newHosts6 are hosts with an IPv6 address each, in use at once.
func newHosts6(t *testing.T, n int) []*host {
	t.Helper()
	hosts := newHosts(t, n)
	for _, h := range hosts {
		must(t, h.kernel.Hold(eth0, h.own6(), 0))
	}
	return hosts
}

// reaches tells whether a host gets an answer from an address.
func (h *host) reaches(addr netip.Addr) bool {
	h.t.Helper()
	var err error
	must(h.t, h.ns.Do(func() error {
		var c net.Conn
		c, err = (&net.Dialer{Timeout: 300 * time.Millisecond}).Dial("tcp", netip.AddrPortFrom(addr, 9).String())
		if err == nil {
			c.Close()
		}
		return nil
	}))
	return err == nil || errors.Is(err, unix.ECONNREFUSED)
}

func TestIPv6LeaseLeavesBaseAndRoute(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		first []netip.Prefix // permanent, in this order; then the alias becomes a lease
	}{
		{"the alias was there first, as after create", []netip.Prefix{alias6, base6}},
		{"the base was there first", []netip.Prefix{base6}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			hosts := newHosts6(t, 2)
			h, client := hosts[0], hosts[1]
			must(t, h.kernel.Drop(eth0, h.own6()))
			for _, p := range tc.first {
				must(t, h.kernel.Hold(eth0, p, 0))
			}
			must(t, h.kernel.Hold(eth0, alias6, time.Second))
			took := eventually(t, 10*time.Second, "the alias is reached", func() bool {
				must(t, h.kernel.Hold(eth0, alias6, time.Second))
				return client.reaches(alias6.Addr())
			})
			t.Logf("reached after %s", took)
			if got, want := h.list(), "10.0.0.101/24P 2001:db8::21/64P 2001:db8::11/64L"; got != want && got != "10.0.0.101/24P 2001:db8::11/64L 2001:db8::21/64P" {
				t.Errorf("addresses %q, want %q", got, want)
			}
			until := time.Now().Add(time.Second)
			must(t, h.kernel.Extend(eth0, alias6, time.Second, until))
			took = eventually(t, 10*time.Second, "the lease ends", func() bool { return !h.has(alias6) })
			t.Logf("gone %s after its renewal", took)
			if !h.has(base6) || !client.reaches(base6.Addr()) {
				t.Errorf("after the lease: %s; the base must stay and be reached", h.list())
			}
			// Longer than the lease: the route must not have been given its end.
			eventually(t, 10*time.Second, "the base is reached all the time", func() bool {
				return !client.reaches(base6.Addr()) || time.Now().After(until.Add(2*time.Second))
			})
			if !client.reaches(base6.Addr()) {
				t.Error("the route to the subnet went with the lease")
			}
			if err := h.kernel.Extend(eth0, alias6, time.Second, until); !errors.Is(err, netops.ErrLeaseLost) {
				t.Errorf("renewing what is gone: %v", err)
			}
			// Back to a permanent address, as after delete, and the base goes last.
			must(t, h.kernel.Hold(eth0, alias6, time.Second))
			must(t, h.kernel.Hold(eth0, alias6, 0))
			must(t, h.kernel.Drop(eth0, base6))
			eventually(t, 10*time.Second, "the alias is reached with the base gone", func() bool { return client.reaches(alias6.Addr()) })
			must(t, h.kernel.Drop(eth0, alias6))
			must(t, h.kernel.Drop(eth0, alias6)) // again
		})
	}
}

// Probes and questions by neighbour discovery are answered by the kernel that has
// the address; announcements turn clients round.
func TestIPv6ProbeAnnounceTurn(t *testing.T) {
	t.Parallel()
	hosts := newHosts6(t, 3)
	client, a, b := hosts[2], hosts[0], hosts[1]
	wires := map[*host]*netops.Wire{a: a.wire(), b: b.wire()}
	probe := func(h *host) (net.HardwareAddr, bool) {
		t.Helper()
		mac, inUse, err := netops.Probe(t.Context(), wires[h], alias6.Addr(), 3, 50*time.Millisecond)
		must(t, err)
		return mac, inUse
	}
	if mac, inUse := probe(a); inUse {
		t.Fatalf("free, but %s answers", mac)
	}
	must(t, a.kernel.Hold(eth0, alias6, 0))
	if mac, inUse := probe(b); !inUse || mac.String() != a.mac.String() {
		t.Errorf("held by %s: probe says %s, %v", a.mac, mac, inUse)
	}
	// A question to one station, as the standby polls a regular's base.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	heard := wires[b].Subscribe(ctx)
	must(t, wires[b].Ask(b.own6().Addr(), a.own6().Addr(), a.mac))
	if o := await(t, heard, func(o netops.Observation) bool { return o.SenderIP == a.own6().Addr() && o.Op == netops.Reply }); o.SenderMAC.String() != a.mac.String() {
		t.Errorf("answered by %s", o.SenderMAC)
	}
	c := client.call(netip.AddrPortFrom(alias6.Addr(), a.echo()))
	b.echo()
	answered := func() {
		t.Helper()
		now := time.Now()
		eventually(t, 10*time.Second, "answers", func() bool { return c.after(now) > 20 })
	}
	answered()
	for range 4 {
		start := time.Now()
		must(t, a.kernel.Drop(eth0, alias6))
		must(t, b.kernel.Hold(eth0, alias6, 0))
		must(t, wires[b].Announce(alias6.Addr()))
		answered()
		t.Logf("silence of a move: %s", c.silence(start))
		a, b = b, a
	}
	// The holder hears another's claims.
	heard = wires[a].Subscribe(ctx)
	must(t, wires[b].Ask(netip.IPv6Unspecified(), alias6.Addr(), nil))
	await(t, heard, func(o netops.Observation) bool {
		return netops.Claims(o, alias6.Addr()) && o.SenderMAC.String() == b.mac.String()
	})
	must(t, wires[b].Announce(alias6.Addr()))
	await(t, heard, func(o netops.Observation) bool { return o.Op == netops.Reply && o.SenderIP == alias6.Addr() })
}

// await returns the first observation that is wanted.
func await(t *testing.T, heard <-chan netops.Observation, wanted func(netops.Observation) bool) netops.Observation {
	t.Helper()
	for o := range heard {
		if wanted(o) {
			return o
		}
	}
	t.Fatal("not heard in time")
	return netops.Observation{}
}

// A blocked address can be probed for, and is answered for by nobody here.
func TestIPv6Blocked(t *testing.T) {
	t.Parallel()
	hosts := newHosts6(t, 2)
	a, b := hosts[0], hosts[1]
	wa, wb := a.wire(), b.wire()
	must(t, a.kernel.Block(eth0, alias6.Addr()))
	must(t, a.kernel.Hold(eth0, alias6, 0))
	if mac, inUse, err := netops.Probe(t.Context(), wb, alias6.Addr(), 3, 50*time.Millisecond); inUse || err != nil {
		t.Errorf("blocked, but %s answers, %v", mac, err)
	}
	must(t, b.kernel.Hold(eth0, alias6, 0))
	if mac, inUse, err := netops.Probe(t.Context(), wa, alias6.Addr(), 3, 50*time.Millisecond); !inUse || err != nil || mac.String() != b.mac.String() {
		t.Errorf("a blocked server must hear who has the address: %s, %v, %v", mac, inUse, err)
	}
	must(t, b.kernel.Drop(eth0, alias6))
	must(t, a.kernel.Unblock(eth0, alias6.Addr()))
	if _, inUse, err := netops.Probe(t.Context(), wb, alias6.Addr(), 3, 50*time.Millisecond); !inUse || err != nil {
		t.Errorf("unblocked: in use %v, %v", inUse, err)
	}
}

// Watch tells of IPv6 addresses that come and go, and not of renewals.
func TestIPv6Watch(t *testing.T) {
	t.Parallel()
	h := newHosts6(t, 1)[0]
	events, err := h.kernel.Watch(t.Context())
	must(t, err)
	must(t, h.kernel.Hold(eth0, alias6, 30*time.Second))
	eventually(t, 10*time.Second, "an event", func() bool {
		select {
		case e := <-events:
			return e.Addresses
		default:
			return false
		}
	})
	must(t, h.ns.Do(func() error {
		l, err := netlink.LinkByName(eth0)
		if err != nil {
			return err
		}
		addr, err := netlink.ParseAddr(alias6.String())
		if err != nil {
			return err
		}
		return netlink.AddrDel(l, addr)
	}))
	eventually(t, 10*time.Second, "an event of its end", func() bool {
		select {
		case e := <-events:
			return e.Addresses && !h.has(alias6)
		default:
			return false
		}
	})
}
