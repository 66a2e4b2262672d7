package netops

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"mxcluster/internal/fault"
)

// Prober is what Probe needs of a Wire, real or fake. If it has a method Minds(net.HardwareAddr)
// bool, that tells whose probes for the same address count as use; otherwise all do, as in RFC
// 5227. If it has a method Believes(net.HardwareAddr) bool, that tells whose answers count.
type Prober interface {
	Subscribe(ctx context.Context) <-chan Observation
	CatchUp() (lost uint64, err error)
	Ask(from, target netip.Addr, to net.HardwareAddr) error
}

// probeAgain bounds the further requests that Probe sends because frames were lost, among which may
// have been the answer.
const probeAgain = 20

// Probe asks whether anybody uses addr, by RFC 5227 and, for IPv6, RFC 4862: it sends count
// requests without a sender address, interval apart, and waits for interval after the last. It
// returns the MAC address of the first other station that answers, announces, or probes for the
// address itself. Silence counts only if everything received was read, and nothing was lost. An
// error means that it is unknown whether the address is free.
func Probe(ctx context.Context, w Prober, addr netip.Addr, count int, interval time.Duration) (mac net.HardwareAddr, inUse bool, err error) {
	if count < 1 || interval <= 0 {
		return nil, false, fault.New(fault.Usage, "probe three times, 50ms apart, for instance",
			"probe %s: %d times, %s apart: both must be positive", addr, count, interval)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l := listener{wire: w, addr: addr, heard: w.Subscribe(ctx), start: time.Now()}
	if some, ok := w.(interface{ Minds(net.HardwareAddr) bool }); ok {
		l.minds = some.Minds
	}
	if some, ok := w.(interface{ Believes(net.HardwareAddr) bool }); ok {
		l.believes = some.Believes
	}
	if l.lost, err = w.CatchUp(); err != nil {
		return nil, false, wrap(err, "probe %s", addr)
	}
	next := time.NewTicker(interval)
	defer next.Stop()
	for sent := 0; sent < count; {
		if err := w.Ask(Unspecified(addr), addr, nil); err != nil {
			return nil, false, wrap(err, "probe %s", addr)
		}
		next.Reset(interval) // the request may have been delayed by the ARP budget
		mac, inUse, err := l.await(ctx, next.C)
		switch {
		case errors.Is(err, errLost) && l.again < probeAgain:
			l.again++
			continue
		case inUse || err != nil:
			return mac, inUse, wrap(err, "probe %s", addr)
		}
		sent++
	}
	return nil, false, nil
}

// errLost is the error for silence that proves nothing.
var errLost = errors.New("frames were lost, since more came in than could be read")

// listener waits for another station to claim addr.
type listener struct {
	wire  Prober
	addr  netip.Addr
	heard <-chan Observation
	start time.Time                   // frames received before do not count
	lost  uint64                      // frames lost until now
	again int                         // requests repeated because of losses
	minds func(net.HardwareAddr) bool // whose probes count; nil: all do

	believes func(net.HardwareAddr) bool // whose answers count; nil: all do
}

// await listens until the next tick, and then handles frames that have already arrived: a process
// that was stopped finds answer and tick at the same time.
func (l *listener) await(ctx context.Context, tick <-chan time.Time) (net.HardwareAddr, bool, error) {
	for {
		select {
		case o, open := <-l.heard:
			if !open {
				return nil, false, closedCause(ctx)
			}
			if l.claimed(o) {
				return o.SenderMAC, true, nil
			}
		case <-tick:
			lost, err := l.wire.CatchUp()
			full := len(l.heard) == cap(l.heard) // older frames were dropped
			if mac, inUse := l.pending(); inUse || err != nil {
				return mac, inUse, err
			}
			if full || lost != l.lost {
				l.lost = lost
				return nil, false, errLost
			}
			return nil, false, nil
		}
	}
}

// pending handles frames that have already arrived, without waiting.
func (l *listener) pending() (net.HardwareAddr, bool) {
	for {
		select {
		case o, open := <-l.heard:
			if !open {
				return nil, false
			}
			if l.claimed(o) {
				return o.SenderMAC, true
			}
		default:
			return nil, false
		}
	}
}

func (l *listener) claimed(o Observation) bool {
	if l.minds != nil && o.SenderIP != l.addr && !l.minds(o.SenderMAC) {
		return false
	}
	return Claims(o, l.addr) && !o.Time.Before(l.start) && (l.believes == nil || l.believes(o.SenderMAC))
}

// closedCause returns why a subscription ended.
func closedCause(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return net.ErrClosed
}
