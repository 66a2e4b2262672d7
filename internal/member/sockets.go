package member

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

const (
	// Segments and datagrams fit in 1,280 bytes with their headers, which every
	// path passes that IPv6 may use: a path that drops longer ones without a word,
	// as tunnels do, drops none of these.
	segmentSize  = 1200
	datagramSize = 1200

	maxDatagram   = 64 << 10
	receiveBuffer = 2 << 20 // bytes of datagrams that wait while this process does

	// What is sent to a server that is dead waits in the kernel for its MAC address, for
	// three seconds each time, up to 208 KiB, and counts as the socket's. With less room
	// than the largest system could need, all sends waited for some dead servers.
	sendBuffer  = 64 << 20
	acceptPause = 50 * time.Millisecond
)

// sockets are the gossip port of this server. What they send leaves from the base
// address. The kernel would choose the subnet's primary address, which may be the
// alias of a LIM: a connection from that breaks when the LIM moves, and reaches
// another server when the alias is there.
type sockets struct {
	base    netip.Addr
	udp     *net.UDPConn
	tcp     net.Listener
	packets chan *memberlist.Packet
	streams chan net.Conn
	closed  chan struct{}
	reading errgroup.Group
}

var _ memberlist.Transport = (*sockets)(nil)

// openSockets binds UDP and TCP to the base address.
func openSockets(bind netip.AddrPort) (*sockets, error) {
	listen := net.ListenConfig{Control: shortSegments}
	tcp, err := listen.Listen(context.Background(), "tcp", bind.String())
	if err != nil {
		return nil, fmt.Errorf("binding to the base address: %w", err)
	}
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(bind))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("binding to the base address: %w", err), tcp.Close())
	}
	_ = udp.SetReadBuffer(receiveBuffer) // the kernel's own limit does, too
	enlargeSends(udp, sendBuffer)
	s := &sockets{base: bind.Addr(), udp: udp, tcp: tcp, closed: make(chan struct{}),
		packets: make(chan *memberlist.Packet), streams: make(chan net.Conn)}
	s.reading.Go(s.readPackets)
	s.reading.Go(s.acceptStreams)
	return s, nil
}

// shortSegments has the kernel send and ask for segments that every path passes.
func shortSegments(network, _ string, c syscall.RawConn) error {
	if network != "tcp" && network != "tcp4" && network != "tcp6" {
		return nil
	}
	var bad error
	err := c.Control(func(fd uintptr) { bad = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, segmentSize) })
	return errors.Join(err, bad)
}

// readPackets takes datagrams from the socket until it is closed.
func (s *sockets) readPackets() error {
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := s.udp.ReadFromUDPAddrPort(buf)
		now := time.Now()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			continue // of one datagram, such as a refusal of one sent
		}
		p := &memberlist.Packet{Buf: append([]byte(nil), buf[:n]...), Timestamp: now,
			From: net.UDPAddrFromAddrPort(netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))}
		select {
		case s.packets <- p:
		case <-s.closed:
			return nil
		}
	}
}

// acceptStreams takes connections until the socket is closed.
func (s *sockets) acceptStreams() error {
	for {
		conn, err := s.tcp.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil: // such as too many open files
			select {
			case <-time.After(acceptPause):
				continue
			case <-s.closed:
				return nil
			}
		}
		select {
		case s.streams <- conn:
		case <-s.closed:
			conn.Close()
			return nil
		}
	}
}

// FinalAdvertiseAddr returns the base address.
func (s *sockets) FinalAdvertiseAddr(_ string, port int) (net.IP, int, error) {
	return s.base.AsSlice(), port, nil
}

// WriteTo sends a datagram.
func (s *sockets) WriteTo(b []byte, to string) (time.Time, error) {
	addr, err := netip.ParseAddrPort(to)
	if err != nil {
		return time.Time{}, err
	}
	_, err = s.udp.WriteToUDPAddrPort(b, addr)
	return time.Now(), err
}

// DialTimeout connects to another server.
func (s *sockets) DialTimeout(to string, timeout time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: timeout, LocalAddr: &net.TCPAddr{IP: s.base.AsSlice(), Zone: s.base.Zone()}, Control: shortSegments}
	return d.Dial("tcp", to)
}

// PacketCh delivers datagrams.
func (s *sockets) PacketCh() <-chan *memberlist.Packet { return s.packets }

// StreamCh delivers connections.
func (s *sockets) StreamCh() <-chan net.Conn { return s.streams }

// Shutdown closes the port.
func (s *sockets) Shutdown() error {
	close(s.closed)
	return errors.Join(s.udp.Close(), s.tcp.Close(), s.reading.Wait())
}
