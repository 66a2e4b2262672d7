package netops_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"mxcluster/netops"
)

// sniffer counts the frames on a host's eth0 that come from an address.
type sniffer struct {
	conn  *packet.Conn
	addr  netip.Addr
	all   atomic.Int64
	leaks atomic.Int64
}

func (h *host) sniff(addr netip.Addr) *sniffer {
	h.t.Helper()
	s := &sniffer{addr: addr}
	must(h.t, h.ns.Do(func() error {
		ifi, err := net.InterfaceByName(eth0)
		if err == nil {
			s.conn, err = packet.Listen(ifi, packet.Raw, unix.ETH_P_ALL, nil)
		}
		return err
	}))
	h.t.Cleanup(func() { must(h.t, s.conn.Close()) })
	go s.run(h.mac)
	return s
}

func (s *sniffer) run(own net.HardwareAddr) {
	b := make([]byte, 2048)
	for {
		n, _, err := s.conn.ReadFrom(b)
		if err != nil {
			return
		}
		if n < 42 || bytes.Equal(b[6:12], own) {
			continue
		}
		s.all.Add(1)
		if from(b) == s.addr {
			s.leaks.Add(1)
		}
	}
}

// from is the address that a frame comes from, by ARP, IPv4 or IPv6.
func from(b []byte) netip.Addr {
	switch binary.BigEndian.Uint16(b[12:]) {
	case unix.ETH_P_ARP:
		return netip.AddrFrom4([4]byte(b[28:32]))
	case unix.ETH_P_IP:
		return netip.AddrFrom4([4]byte(b[26:30]))
	case unix.ETH_P_IPV6:
		return netip.AddrFrom16([16]byte(b[22:38]))
	}
	return netip.Addr{}
}

// dial tries to connect from one address to another.
func (h *host) dial(from, to netip.Addr, port uint16, limit time.Duration) error {
	var failed error
	must(h.t, h.ns.Do(func() error {
		d := net.Dialer{Timeout: limit}
		if from.IsValid() {
			d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
		}
		c, err := d.Dial("tcp", netip.AddrPortFrom(to, port).String())
		if err == nil {
			err = c.Close()
		}
		failed = err
		return nil
	}))
	return failed
}

// serve accepts connections at an address until the test ends.
func (h *host) serve(addr netip.Addr) (port uint16) {
	h.t.Helper()
	var l net.Listener
	must(h.t, h.ns.Do(func() (err error) {
		l, err = net.Listen("tcp", netip.AddrPortFrom(addr, 0).String())
		return err
	}))
	h.t.Cleanup(func() { must(h.t, l.Close()) })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

// knows gives the host a neighbour that it need not ask for.
func (h *host) knows(addr netip.Addr, mac net.HardwareAddr) {
	h.t.Helper()
	must(h.t, h.ns.Do(func() error {
		l, err := netlink.LinkByName(eth0)
		if err != nil {
			return err
		}
		return netlink.NeighSet(&netlink.Neigh{LinkIndex: l.Attrs().Index, State: netlink.NUD_PERMANENT, IP: addr.AsSlice(), HardwareAddr: mac})
	}))
}

// Nothing of a blocked address gets out or in, whatever is tried from outside and
// inside; programs on the server itself use it as ever.
func TestBlockedLeaksNothing(t *testing.T) {
	t.Parallel()
	hosts := newHosts(t, 2)
	server, client := hosts[0], hosts[1]
	must(t, server.kernel.Block(eth0, alias.Addr()))
	must(t, server.kernel.Hold(eth0, alias, 0))
	port := server.serve(alias.Addr())
	seen := client.sniff(alias.Addr())
	wire := client.wire()
	heard := wire.Subscribe(t.Context())
	const probes = 10_000
	for range probes {
		must(t, wire.Ask(client.own().Addr(), alias.Addr(), server.mac))
	}
	client.knows(alias.Addr(), server.mac) // so that its packets reach the server
	for range 5 {
		if err := client.dial(netip.Addr{}, alias.Addr(), port, 30*time.Millisecond); !isTimeout(err) {
			t.Errorf("from outside: %v", err)
		}
		if err := server.dial(alias.Addr(), client.own().Addr(), 9, 30*time.Millisecond); !isTimeout(err) {
			t.Errorf("from inside: %v", err)
		}
	}
	if err := server.wire().Announce(alias.Addr()); err == nil {
		t.Error("it was announced")
	}
	if err := server.dial(alias.Addr(), alias.Addr(), port, time.Second); err != nil {
		t.Errorf("on the server itself: %v", err)
	}
	// The base works as ever, and what it says comes after all that was asked.
	must(t, wire.Ask(client.own().Addr(), server.own().Addr(), nil))
	hear(t, heard, "the base", answerFrom(server.own().Addr()))
	eventually(t, 5*time.Second, "the sniffer has seen the base", func() bool { return seen.all.Load() > 0 })
	if n := seen.leaks.Load(); n > 0 {
		t.Errorf("%d frames came from the blocked address", n)
	}
	t.Logf("%d probes and 10 connections: no frame from the blocked address in %d", probes, seen.all.Load())

	start := time.Now()
	must(t, server.kernel.Unblock(eth0, alias.Addr()))
	must(t, wire.Ask(client.own().Addr(), alias.Addr(), nil))
	hear(t, heard, "the alias", answerFrom(alias.Addr()))
	t.Logf("answered %s after it was unblocked", time.Since(start))
	if err := client.dial(netip.Addr{}, alias.Addr(), port, 5*time.Second); err != nil {
		t.Errorf("after it was unblocked: %v", err)
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// A blocked holder can still find out whether somebody else has the address.
func TestProbeWhileBlocked(t *testing.T) {
	t.Parallel()
	hosts := newHosts(t, 2)
	passive, active := hosts[0], hosts[1]
	must(t, passive.kernel.Block(eth0, alias.Addr()))
	must(t, passive.kernel.Hold(eth0, alias, 0))
	w := passive.wire()
	if mac, inUse, err := netops.Probe(t.Context(), w, alias.Addr(), 3, 30*time.Millisecond); err != nil || inUse {
		t.Errorf("nobody has it: %s %v %v", mac, inUse, err)
	}
	must(t, active.kernel.Hold(eth0, alias, 0))
	if mac, inUse, err := netops.Probe(t.Context(), w, alias.Addr(), 100, 30*time.Millisecond); err != nil || !inUse || mac.String() != active.mac.String() {
		t.Errorf("the other has it: %s %v %v", mac, inUse, err)
	}
}

// Two blocked holders that probe at once hear of each other, too: else both would
// take the address for their own.
func TestProbeEachOtherWhileBlocked(t *testing.T) {
	t.Parallel()
	hosts := newHosts(t, 2)
	var heard []<-chan netops.Observation
	for _, h := range hosts {
		must(t, h.kernel.Block(eth0, alias.Addr()))
		must(t, h.kernel.Hold(eth0, alias, 0))
		heard = append(heard, h.wire().Subscribe(t.Context()))
	}
	must(t, hosts[0].wire().Ask(netip.IPv4Unspecified(), alias.Addr(), nil))
	hear(t, heard[1], "the other's probe", func(o netops.Observation) bool { return netops.Claims(o, alias.Addr()) })
}

// Other tools' flush of all rules is told of and seen, and so is an interface that
// was made anew.
func TestBlockLost(t *testing.T) {
	t.Parallel()
	h := newHosts(t, 1)[0]
	must(t, h.kernel.Block(eth0, alias.Addr()))
	changed, err := h.kernel.Watch(t.Context())
	must(t, err)
	must(t, h.ns.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		c.FlushRuleset()
		return c.Flush()
	}))
	told := time.After(5 * time.Second)
	for e := (netops.Event{}); !e.Blocks; {
		select {
		case e = <-changed:
		case <-told:
			t.Fatal("nothing was told")
		}
	}
	if got, err := h.kernel.Blocked(eth0); err != nil || len(got) > 0 {
		t.Errorf("after the flush %v are blocked (%v)", got, err)
	}
	must(t, h.kernel.Block(eth0, alias.Addr()))
	must(t, h.ns.Delete(eth0))
	h.plugIn()
	h.awaitUp()
	// Older kernels drop the rules with the interface, newer ones keep them for the
	// next of that name; either way blocking anew blocks.
	must(t, h.kernel.Block(eth0, alias.Addr()))
	if got, err := h.kernel.Blocked(eth0); err != nil || len(got) != 1 {
		t.Errorf("on the new interface %v are blocked (%v)", got, err)
	}
}
