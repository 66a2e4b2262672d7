//go:build linux

package lab

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"mxcluster/netops"
)

// Watcher repeatedly asks by ARP who has an address, and records who answers each request. Every
// request has a sender MAC of its own, to which kernels reply, so that late replies are attributed
// correctly.
type Watcher struct {
	conn  *packet.Conn
	own   net.HardwareAddr
	from  netip.Addr
	alias netip.Addr
	every time.Duration

	mu       sync.Mutex
	requests []arpRequest
	answered chan struct{} // closed and replaced with every reply
}

// arpRequest is one request and its repliers.
type arpRequest struct {
	sent    time.Time
	holders []string // MAC addresses
}

// requestMAC is the sender MAC in a request's ARP part. The frame has the interface's own, so that
// the switch does not learn it.
func requestMAC(number int) net.HardwareAddr {
	return binary.BigEndian.AppendUint32(net.HardwareAddr{0x02, 0xa2}, uint32(number))
}

// AddWatcher connects a watcher of an address to the switch. It runs until the lab ends.
func (l *Lab) AddWatcher(addr netip.Addr, every time.Duration) (*Watcher, error) {
	port, err := l.network.addTap("watcher", clientMAC(1))
	if err != nil {
		return nil, err
	}
	w, err := newWatcher(port, labAddress(101).Addr(), addr, every)
	if err == nil {
		l.Go(w.Run)
	}
	return w, err
}

// newWatcher watches alias on an interface, which needs no address. from is the sender address of
// the requests, which nobody may have.
func newWatcher(iface *net.Interface, from, alias netip.Addr, every time.Duration) (*Watcher, error) {
	conn, err := packet.Listen(iface, packet.Raw, unix.ETH_P_ARP, nil)
	if err == nil {
		err = conn.SetPromiscuous(true)
	}
	if err != nil {
		return nil, fmt.Errorf("watching %s on %s: %w", alias, iface.Name, err)
	}
	return &Watcher{
		conn: conn, own: iface.HardwareAddr, from: from, alias: alias, every: every, answered: make(chan struct{}),
	}, nil
}

// Run sends requests until ctx is done.
func (w *Watcher) Run(ctx context.Context) error {
	if err := askAndListen(ctx, w.conn, w.every, w.ask, w.listen); err != nil {
		return fmt.Errorf("watching %s: %w", w.alias, err)
	}
	return nil
}

func (w *Watcher) ask() error {
	w.mu.Lock()
	number := len(w.requests)
	w.requests = append(w.requests, arpRequest{sent: time.Now()})
	w.mu.Unlock()
	everybody := net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	frame, err := netops.Observation{
		Op: netops.Request, EthSrc: w.own, EthDst: everybody,
		SenderMAC: requestMAC(number), SenderIP: w.from,
		TargetMAC: make(net.HardwareAddr, len(w.own)), TargetIP: w.alias,
	}.AppendFrame(nil)
	if err != nil {
		return err
	}
	_, err = w.conn.WriteTo(frame, &packet.Addr{HardwareAddr: everybody})
	return err
}

func (w *Watcher) listen(ctx context.Context) {
	buf := make([]byte, 1500)
	for {
		n, _, err := w.conn.ReadFrom(buf)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			continue
		}
		if o, err := netops.ParseFrame(buf[:n]); err == nil {
			w.note(o)
		}
	}
}

func (w *Watcher) note(o netops.Observation) {
	if o.Op != netops.Reply || o.SenderIP != w.alias || o.TargetIP != w.from {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	number := int(binary.BigEndian.Uint32(o.TargetMAC[2:]))
	if number >= len(w.requests) || !slices.Equal(o.TargetMAC, requestMAC(number)) {
		return
	}
	r := &w.requests[number]
	if mac := o.SenderMAC.String(); !slices.Contains(r.holders, mac) {
		r.holders = append(r.holders, mac)
	}
	close(w.answered)
	w.answered = make(chan struct{})
}

// Holding is who held an address during a span of time, by ARP.
type Holding struct {
	Requests   int
	Unanswered int
	Twice      int           // requests with two repliers
	Vacant     time.Duration // longest time between answered requests
	By         []string      // MAC addresses, in the order of their first reply
}

// Between returns the result of the requests in a span of time.
func (w *Watcher) Between(from, to time.Time) Holding {
	w.mu.Lock()
	defer w.mu.Unlock()
	var h Holding
	var last time.Time
	for _, r := range w.requests {
		if r.sent.Before(from) || r.sent.After(to) {
			continue
		}
		h.Requests++
		switch len(r.holders) {
		case 0:
			h.Unanswered++
			continue
		case 1:
		default:
			h.Twice++
		}
		if !last.IsZero() {
			h.Vacant = max(h.Vacant, r.sent.Sub(last))
		}
		last = r.sent
		for _, mac := range r.holders {
			if !slices.Contains(h.By, mac) {
				h.By = append(h.By, mac)
			}
		}
	}
	return h
}

// WaitHolder returns when a request sent from now on was answered by mac and nobody else.
func (w *Watcher) WaitHolder(ctx context.Context, mac net.HardwareAddr) error {
	after := time.Now()
	for {
		heard, found := w.heldSince(mac.String(), after)
		if found {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s to hold %s: %w", mac, w.alias, context.Cause(ctx))
		case <-heard:
		}
	}
}

func (w *Watcher) heldSince(mac string, after time.Time) (<-chan struct{}, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range slices.Backward(w.requests) {
		if !r.sent.After(after) {
			break
		}
		if len(r.holders) == 1 && r.holders[0] == mac {
			return nil, true
		}
	}
	return w.answered, false
}
