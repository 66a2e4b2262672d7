package member

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"

	"mxcluster/internal/member/seal"
)

const (
	streamLimit    = 2 * time.Second // for a connection, and for its other end to show a key
	membershipWait = 256             // datagrams of the library that may wait for it
)

// secure is the transport that the membership library and the pool share. Nothing
// reaches either that was not opened by the box, or that did not come over a
// connection whose other end has shown a key of the ring.
type secure struct {
	inner   memberlist.Transport
	box     *seal.Box
	guard   Guard
	keys    atomic.Pointer[[][]byte]
	log     *slog.Logger
	deliver func(from string, at netip.AddrPort, arrived time.Time, body []byte)
	guests  guests

	packets chan *memberlist.Packet
	streams chan net.Conn
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	ending  sync.Once
	ended   error

	number   atomic.Uint64 // of the last message that was split
	assembly assembly      // of the receiving goroutine
	refusals refusals
	panicked time.Time // when that was told last, of the receiving goroutine
}

var _ memberlist.NodeAwareTransport = (*secure)(nil)

// newSecure wraps inner, which it closes in the end. deliver is given every message of
// another server's pool, and refused what is told of datagrams that are not believed; neither may block. peer tells
// whether a server of the system has an address.
func newSecure(cfg Config, inner memberlist.Transport, peer func(netip.Addr) bool,
	deliver func(from string, at netip.AddrPort, arrived time.Time, body []byte), refused func(Refusal),
) (*secure, error) {
	box, err := seal.New(cfg.Name, cfg.Keys, rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("sealing what is sent: %w", err)
	}
	guard := cfg.Guard
	if guard == nil {
		guard = tlsGuard
	}
	s := &secure{inner: inner, box: box, guard: guard, log: cfg.Log, deliver: deliver, guests: guests{known: peer},
		packets: make(chan *memberlist.Packet, membershipWait), streams: make(chan net.Conn),
		assembly: assembly{}, refusals: refusals{tell: refused}}
	if err := s.setKeys(cfg.Keys); err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wg.Go(s.receive)
	s.wg.Go(s.accept)
	return s, nil
}

// setKeys changes the ring, of datagrams and of connections.
func (s *secure) setKeys(keys [][]byte) error {
	if err := s.box.SetKeys(keys); err != nil {
		return fmt.Errorf("sealing what is sent: %w", err)
	}
	keys = slices.Clone(keys)
	s.keys.Store(&keys)
	return nil
}

// send sends a message of the pool to a server.
func (s *secure) send(name string, to netip.AddrPort, message []byte) error {
	parts := split(s.number.Add(1), message)
	if parts == nil {
		return fmt.Errorf("a message of %d bytes is too long for datagrams", len(message))
	}
	for _, part := range parts {
		if err := s.sendFrame(seal.Message, name, to.String(), part); err != nil {
			return err
		}
	}
	return nil
}

func (s *secure) sendFrame(kind seal.Kind, name, to string, body []byte) error {
	frame, err := s.box.Seal(kind, name, body)
	if err == nil {
		_, err = s.inner.WriteTo(frame, to)
	}
	return err
}

// receive opens datagrams until the end.
func (s *secure) receive() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case p := <-s.inner.PacketCh():
			s.open(p)
		}
	}
}

// open opens one datagram and passes on what is in it. Whatever it is, it does not end
// the agent.
func (s *secure) open(p *memberlist.Packet) {
	defer s.survive(p)
	from := addrPort(p.From)
	o := s.box.Open(p.Buf, p.Timestamp)
	for _, answer := range o.Answers {
		if _, err := s.inner.WriteTo(answer, from.String()); err != nil {
			s.log.Debug("answering a datagram", "to", from, "err", err)
		}
	}
	if o.Verdict != seal.Accepted && o.Verdict != seal.Unproven {
		s.refusals.note(o.Verdict.String(), from.Addr(), s.guests.known)
	}
	for _, f := range o.Frames {
		switch {
		case f.Kind == seal.Message:
			if whole := s.assembly.add(o.From, f.Body, p.Timestamp); whole != nil {
				s.deliver(o.From, from, p.Timestamp, whole)
			}
		case expectedMembership(f.Body):
			s.pass(&memberlist.Packet{Buf: f.Body, From: p.From, Timestamp: p.Timestamp})
		}
	}
}

// survive ends a panic: it costs the datagram that caused it, which is counted.
func (s *secure) survive(p *memberlist.Packet) {
	cause := recover()
	if cause == nil {
		return
	}
	s.refusals.note(seal.Garbled.String(), addrPort(p.From).Addr(), s.guests.known)
	if s.panicked.IsZero() || p.Timestamp.Sub(s.panicked) >= refusedEvery {
		s.panicked = p.Timestamp
		s.log.Error("a datagram was dropped, for reading it failed in a way that nobody thought of; please report this", "from", p.From, "panic", cause, "stack", string(debug.Stack()))
	}
}

// pass gives the library a datagram; where it does not come to it, it is lost, as
// UDP loses them.
func (s *secure) pass(p *memberlist.Packet) {
	select {
	case s.packets <- p:
	default:
	}
}

// accept takes connections until the end.
func (s *secure) accept() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case conn := <-s.inner.StreamCh():
			leave := s.guests.admit(addrPort(conn.RemoteAddr()).Addr(), conn)
			if leave == nil {
				conn.Close()
				continue
			}
			s.wg.Go(func() {
				defer leave()
				s.welcome(conn)
			})
		}
	}
}

// welcome passes on a connection whose other end shows a key in time.
func (s *secure) welcome(conn net.Conn) {
	c, err := s.shake(conn, false, streamLimit)
	if err == nil {
		select {
		case s.streams <- c:
			return
		case <-s.ctx.Done():
		}
	}
	// A server of the system that opens a connection and says nothing has looked whether it can.
	looked := errors.Is(err, io.EOF) && s.guests.known(addrPort(conn.RemoteAddr()).Addr())
	if s.ctx.Err() == nil && !looked {
		s.refusals.note(RefusedConnections, addrPort(conn.RemoteAddr()).Addr(), s.guests.known)
	}
	s.log.Debug("refusing a connection to the gossip port", "from", conn.RemoteAddr(), "err", err)
	conn.Close()
}

// shake has both ends show their keys within a time.
func (s *secure) shake(conn net.Conn, client bool, limit time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(s.ctx, limit)
	defer cancel()
	return s.guard(ctx, conn, *s.keys.Load(), client)
}

// DialAddressTimeout connects to another server, and has it show a key.
func (s *secure) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	began := time.Now()
	conn, err := s.inner.DialTimeout(to.Addr, timeout)
	if err != nil {
		return nil, err
	}
	c, err := s.shake(conn, true, max(timeout-time.Since(began), time.Millisecond))
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// WriteToAddress sends a datagram of the library.
func (s *secure) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	err := s.sendFrame(seal.Membership, to.Name, to.Addr, b)
	return time.Now(), err
}

// WriteTo does nothing: who a datagram is for must be known.
func (s *secure) WriteTo(_ []byte, addr string) (time.Time, error) {
	return time.Time{}, fmt.Errorf("a datagram for %s without a server's name", addr)
}

// DialTimeout is DialAddressTimeout for an address without a name.
func (s *secure) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return s.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// FinalAdvertiseAddr is that of the transport beneath.
func (s *secure) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	return s.inner.FinalAdvertiseAddr(ip, port)
}

// PacketCh delivers the library's datagrams.
func (s *secure) PacketCh() <-chan *memberlist.Packet { return s.packets }

// StreamCh delivers connections of servers of the system.
func (s *secure) StreamCh() <-chan net.Conn { return s.streams }

// Shutdown closes the transport beneath. It may be called again.
func (s *secure) Shutdown() error {
	s.ending.Do(func() {
		s.cancel()
		s.refusals.end()
		s.ended = s.inner.Shutdown()
		s.wg.Wait()
	})
	return s.ended
}

// addrPort returns the address of a datagram or connection; the zero one where it
// has none, as in memory.
func addrPort(a net.Addr) netip.AddrPort {
	var at netip.AddrPort
	switch a := a.(type) {
	case *net.UDPAddr:
		at = a.AddrPort()
	case *net.TCPAddr:
		at = a.AddrPort()
	}
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}
