//go:build linux

package lab

import (
	"bytes"
	"context"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/netops"
)

func TestTricksOfAStranger(t *testing.T) { runScenario(t, "tricks", program(t)) }

const (
	trickFor    = 2 * time.Second // many times the limit of silence
	trickServed = 99              // percent of the calls
)

// tricksScenario: a host that has no key poisons the servers' ARP tables for each other,
// redirects them by ICMP, sends datagrams that are too long or never whole, and opens
// connections halfway from addresses that it made up. The LIM is served all the while by
// the server that it is on, and the servers go on hearing each other in the end.
func tricksScenario(ctx context.Context, l *Lab) error {
	site, err := newCluster(ctx, l)
	if err != nil {
		return err
	}
	x, err := (&contender{site: site, alias: labAddress(11)}).newForeignHost()
	if err != nil {
		return err
	}
	var f findings
	for _, trick := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"poisoned ARP tables", x.poison},
		{"ICMP redirects", x.redirect},
		{"datagrams of 60 kB", x.sendOversized},
		{"first fragments alone", x.fragments},
		{"half-open connections", x.halfOpen},
	} {
		limited, cancel := context.WithTimeout(ctx, trickFor)
		from := time.Now()
		f.noError(trick.do(limited), trick.name)
		cancel()
		to := time.Now()
		f.noError(x.caller.Settle(ctx), "waiting")
		s := x.caller.Between(from, to)
		sent := x.sent.Swap(0)
		f.check(sent > 0, "%s: nothing was sent", trick.name)
		x.say("%s, %d: %d of %d calls lost, silence %s", trick.name, sent, s.Lost, s.Calls, s.Silence.Round(time.Millisecond))
		f.check(s.Calls > 0 && s.Lost*100 <= s.Calls*(100-trickServed), "%s: %d of %d calls were lost", trick.name, s.Lost, s.Calls)
		f.check(slices.Equal(s.By, []string{"srv1"}), "%s: answered by %q", trick.name, s.By)
	}
	// Edits go from one server to the other over connections.
	f.noError(within(ctx, testStep, func(ctx context.Context) error {
		return x.mx(ctx, x.standby, "lock", "1", "--to", "regular", "--reason", "after all that")
	}), "an edit")
	f.noError(x.await(ctx, 1, "srv1"), "at the end")
	return f.err()
}

// poison tells both servers that the other one is here.
func (x *attacker) poison(ctx context.Context) error {
	var frames [][]byte
	for _, pair := range [][2]*Server{{x.srv1, x.standby}, {x.standby, x.srv1}} {
		to, other := pair[0], pair[1]
		f, err := netops.Observation{Op: netops.Reply, EthSrc: x.tap.HardwareAddr, EthDst: to.MAC, SenderMAC: x.tap.HardwareAddr, SenderIP: other.Base().Addr(),
			TargetMAC: to.MAC, TargetIP: to.Base().Addr()}.AppendFrame(nil)
		if err != nil {
			return err
		}
		frames = append(frames, f)
	}
	return x.send(ctx, 100, frames)
}

// redirect tells srv1 that another host is the way to the client, and to the standby.
func (x *attacker) redirect(ctx context.Context) error {
	var frames [][]byte
	for _, to := range []netip.Addr{labAddress(100).Addr(), x.standby.Base().Addr()} {
		gateway := labAddress(200).Addr().As4()
		message := append([]byte{5, 1, 0, 0}, gateway[:]...)
		message = append(message, ipv4(unix.IPPROTO_UDP, x.srv1.Base().Addr(), to, 8)...)
		message = append(message, 0x1f, 0x0a, 0x1f, 0x0a, 0, 8, 0, 0)
		binary.BigEndian.PutUint16(message[2:], checksum16(message))
		frames = append(frames, x.packet(x.srv1, unix.IPPROTO_ICMP, x.standby.Base().Addr(), 0, message))
	}
	return x.send(ctx, 100, frames)
}

// sendOversized sends datagrams that begin as a frame of the system's and are as long as can be.
func (x *attacker) sendOversized(ctx context.Context) error {
	return x.datagrams(ctx, 100, 1, append([]byte("mx\x01\x02"), bytes.Repeat([]byte{0xff}, 60_000)...))
}

// fragments sends the first parts of datagrams whose others never come.
func (x *attacker) fragments(ctx context.Context) error {
	var frames [][]byte
	for i := range 2000 {
		body := make([]byte, 1400)
		copy(body, []byte{0x1f, 0x0a, 0x1f, 0x0a, 0x10, 0, 0, 0})
		f := x.packet(x.srv1, unix.IPPROTO_UDP, labAddress(byte(120+i%80)).Addr(), 0x2000, body)
		binary.BigEndian.PutUint16(f[18:], uint16(i)) //nolint:gosec // below 2000
		frames = append(frames, resummed(f))
	}
	return x.send(ctx, 2000, frames)
}

// halfOpen begins connections to the gossip port from addresses that nobody has.
func (x *attacker) halfOpen(ctx context.Context) error {
	var frames [][]byte
	for i := range 2000 {
		segment := make([]byte, 20)
		binary.BigEndian.PutUint16(segment, uint16(1024+i)) //nolint:gosec // below 4000
		binary.BigEndian.PutUint16(segment[2:], gossipPort)
		segment[12], segment[13], segment[14] = 5<<4, 2, 0xff // SYN
		from := labAddress(byte(120 + i%80)).Addr()
		pseudo := slices.Concat(from.AsSlice(), x.srv1.Base().Addr().AsSlice(), []byte{0, unix.IPPROTO_TCP, 0, byte(len(segment))}, segment)
		binary.BigEndian.PutUint16(segment[16:], checksum16(pseudo))
		frames = append(frames, x.packet(x.srv1, unix.IPPROTO_TCP, from, 0, segment))
	}
	return x.send(ctx, 2000, frames)
}

// packet is a frame with an IPv4 packet for a server from whatever address.
func (x *attacker) packet(to *Server, protocol byte, from netip.Addr, flags uint16, body []byte) []byte {
	head := ipv4(protocol, from, to.Base().Addr(), len(body))
	binary.BigEndian.PutUint16(head[6:], flags)
	return resummed(slices.Concat(to.MAC, x.tap.HardwareAddr, []byte{8, 0}, head, body))
}

// ipv4 is the header of a packet with so many bytes behind it.
func ipv4(protocol byte, from, to netip.Addr, size int) []byte {
	head := make([]byte, 20)
	head[0], head[8], head[9] = 0x45, 64, protocol
	binary.BigEndian.PutUint16(head[2:], uint16(20+size)) //nolint:gosec // a packet
	copy(head[12:], from.AsSlice())
	copy(head[16:], to.AsSlice())
	return head
}

// resummed puts the right checksum into a frame's IPv4 header.
func resummed(f []byte) []byte {
	head := f[14:34]
	head[10], head[11] = 0, 0
	binary.BigEndian.PutUint16(head[10:], checksum16(head))
	return f
}

// checksum16 is that of the internet's protocols.
func checksum16(b []byte) uint16 {
	var sum uint32
	for i, v := range b {
		sum += uint32(v) << (8 * (1 - i%2))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum) //nolint:gosec // 16 bits
}
