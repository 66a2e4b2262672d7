package netops

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/netns"
)

const (
	segmentTries = 3 // an echo may be lost, or be one too many for the other kernel's limit
	segmentWait  = 300 * time.Millisecond
	smallSegment = 100
)

// TrySegment asks a server by ICMP echo, in packets of size bytes that no router may divide. Full
// reports whether one came back; if not, small reports whether one of few bytes did. An error means
// that nothing could be asked, or that the interface here takes no such packet.
func TrySegment(ctx context.Context, from, to netip.Addr, size int) (full, small bool, err error) {
	network, header := "ip4:icmp", ipv4HeaderLen
	if to.Is6() {
		network, header = "ip6:ipv6-icmp", ipv6HeaderLen
	}
	l := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) {
			if to.Is6() {
				failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
			} else {
				failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
			}
		})
		return errors.Join(err, failed)
	}}
	conn, err := l.ListenPacket(ctx, network, from.String())
	if err != nil {
		return false, false, wrap(err, "open a socket for echoes on %s", from)
	}
	defer conn.Close()
	if full, err = echoed(ctx, conn, to, size-header); full || err != nil {
		return full, full, wrap(err, "send %d bytes to %s", size, to)
	}
	small, err = echoed(ctx, conn, to, smallSegment)
	return false, small, wrap(err, "send %d bytes to %s", smallSegment, to)
}

// echoed sends echoes with so many bytes, header of ICMP included, until one comes back.
func echoed(ctx context.Context, conn net.PacketConn, to netip.Addr, size int) (bool, error) {
	message := make([]byte, max(size, echoHeaderLen))
	_, _ = rand.Read(message[echoHeaderLen:]) // never fails
	_, _ = rand.Read(message[4:6])
	answer := byte(echoReply4)
	if message[0] = echoRequest4; to.Is6() {
		message[0], answer = echoRequest6, echoReply6
	}
	buf := make([]byte, len(message)+ipv4HeaderLen)
	for n := range segmentTries {
		binary.BigEndian.PutUint16(message[6:], uint16(n))
		if message[2], message[3] = 0, 0; to.Is4() { // the kernel fills in that of ICMPv6
			binary.BigEndian.PutUint16(message[2:], internetSum(0, message))
		}
		if _, err := conn.WriteTo(message, &net.IPAddr{IP: to.AsSlice()}); err != nil {
			return false, err
		}
		if err := conn.SetReadDeadline(time.Now().Add(segmentWait)); err != nil {
			return false, err
		}
		for ctx.Err() == nil {
			got, _, err := conn.ReadFrom(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return false, err
			}
			if got == len(message) && buf[0] == answer && bytes.Equal(buf[4:6], message[4:6]) && bytes.Equal(buf[echoHeaderLen:got], message[echoHeaderLen:]) {
				return true, nil
			}
		}
	}
	return false, ctx.Err()
}

// TryBlocking tries whether the kernel blocks addresses on an interface, in a network namespace
// that is made for it: nothing of the server's own is touched. It needs CAP_SYS_ADMIN, else the
// error is fault.NotPermitted.
func TryBlocking() (err error) {
	n, err := netns.New()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	return n.Do(func() (err error) {
		k, err := NewKernel()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, k.Close()) }()
		addr := netip.AddrFrom4([4]byte{192, 0, 2, 1}) // of a range for documentation (RFC 5737)
		if err := k.Block("lo", addr); err != nil {
			return err
		}
		return k.Unblock("lo", addr)
	})
}
