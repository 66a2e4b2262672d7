// Package membernet is a network in memory for pools of package member: tests
// and simulations run whole clusters on it, in a testing/synctest bubble.
package membernet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

const backlog = 1024 // datagrams and connections that wait; more datagrams are lost, as UDP loses them

var errClosed = errors.New("this end of the network is closed")

// Network connects endpoints by their addresses.
type Network struct {
	mu    sync.Mutex
	ends  map[netip.AddrPort]*Endpoint
	drop  func(from, to netip.AddrPort) bool
	shape func(from, to netip.AddrPort) []time.Duration
}

// New returns a network without endpoints.
func New() *Network { return &Network{ends: map[netip.AddrPort]*Endpoint{}} }

// DropWith has drop asked for every datagram and every connection; true loses
// or refuses it. It must not call the network; nil ends it.
func (n *Network) DropWith(drop func(from, to netip.AddrPort) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.drop = drop
}

// ShapeWith has shape asked for every datagram that was not dropped: one copy of
// it arrives after each of the delays that it returns, so that it can be lost,
// late, out of order and twice. It must not call the network; nil ends it.
func (n *Network) ShapeWith(shape func(from, to netip.AddrPort) []time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.shape = shape
}

// delays returns how late each copy of a datagram arrives.
func (n *Network) delays(from, to netip.AddrPort) []time.Duration {
	n.mu.Lock()
	shape := n.shape
	n.mu.Unlock()
	if shape == nil {
		return []time.Duration{0}
	}
	return shape(from, to)
}

// Open makes an endpoint; an address has one at a time.
func (n *Network) Open(at netip.AddrPort) (*Endpoint, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ends[at] != nil {
		return nil, fmt.Errorf("listen on %s: address in use", at)
	}
	e := &Endpoint{net: n, at: at, packets: make(chan *memberlist.Packet, backlog), streams: make(chan net.Conn, backlog), closed: make(chan struct{})}
	n.ends[at] = e
	return e, nil
}

// find returns the endpoint that from reaches at an address.
func (n *Network) find(from, to netip.AddrPort) (*Endpoint, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ends[from] == nil || n.drop != nil && n.drop(from, to) {
		return nil, false
	}
	e := n.ends[to]
	return e, e != nil
}

// Endpoint is a memberlist.Transport.
type Endpoint struct {
	net     *Network
	at      netip.AddrPort
	packets chan *memberlist.Packet
	streams chan net.Conn
	closed  chan struct{}
}

var _ memberlist.Transport = (*Endpoint)(nil)

// FinalAdvertiseAddr returns the endpoint's own address.
func (e *Endpoint) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return e.at.Addr().AsSlice(), int(e.at.Port()), nil
}

// WriteTo sends a datagram, which is lost where nobody listens.
func (e *Endpoint) WriteTo(b []byte, addr string) (time.Time, error) {
	now := time.Now()
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return now, err
	}
	dest, ok := e.net.find(e.at, to)
	if !ok {
		return now, nil
	}
	for _, late := range e.net.delays(e.at, to) {
		p := &memberlist.Packet{Buf: append([]byte(nil), b...), From: net.UDPAddrFromAddrPort(e.at)}
		if late > 0 {
			time.AfterFunc(late, func() { dest.arrive(p) })
		} else {
			dest.arrive(p)
		}
	}
	return now, nil
}

// arrive delivers a datagram; a full queue loses it.
func (e *Endpoint) arrive(p *memberlist.Packet) {
	p.Timestamp = time.Now()
	select {
	case e.packets <- p:
	default:
	}
}

// PacketCh delivers datagrams.
func (e *Endpoint) PacketCh() <-chan *memberlist.Packet { return e.packets }

// DialTimeout connects to another endpoint; one that is cut off times out.
func (e *Endpoint) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	dest, ok := e.net.find(e.at, to)
	if !ok {
		select {
		case <-time.After(timeout):
		case <-e.closed:
			return nil, errClosed
		}
		return nil, fmt.Errorf("dial %s: no answer in %s", addr, timeout)
	}
	here, there := net.Pipe()
	select {
	case dest.streams <- there:
		return here, nil
	default:
		return nil, fmt.Errorf("dial %s: its backlog is full", addr)
	}
}

// StreamCh delivers connections.
func (e *Endpoint) StreamCh() <-chan net.Conn { return e.streams }

// Shutdown leaves the network.
func (e *Endpoint) Shutdown() error {
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	if e.net.ends[e.at] != e {
		return errClosed
	}
	delete(e.net.ends, e.at)
	close(e.closed)
	return nil
}
