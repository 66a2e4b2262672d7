//go:build linux

package lab

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Caller is a client of a LIM: it calls the alias repeatedly, and records which calls were answered
// by whom.
type Caller struct {
	conn   *net.UDPConn
	every  time.Duration
	target net.Addr

	mu    sync.Mutex
	calls []call
	heard chan struct{} // closed and replaced with every answer
}

// call is one datagram.
type call struct {
	sent     time.Time
	answered time.Time // zero: not answered
	server   string
}

// callEvery is the time between two calls of the client.
const callEvery = 5 * time.Millisecond

// AddCaller connects a new client to the switch, which calls an address until the lab ends.
func (l *Lab) AddCaller(addr netip.Addr) (c *Caller, err error) {
	client, err := l.network.addClient("phone", clientMAC(0), labAddress(100))
	if err != nil {
		return nil, err
	}
	err = client.Do(func() error {
		c, err = newCaller(addr, callEvery)
		return err
	})
	if err == nil {
		l.Go(c.Run)
	}
	return c, err
}

// newCaller returns an ordinary client of the LIM with that alias, in the network namespace of the
// calling thread. Run makes it call at the given interval.
func newCaller(alias netip.Addr, every time.Duration) (*Caller, error) {
	target := netip.AddrPortFrom(alias, exchangePort)
	// The socket is not connected, as a network error for one call would be reported for the next
	// one.
	network := "udp4"
	if alias.Is6() {
		network = "udp6"
	}
	conn, err := net.ListenUDP(network, nil)
	if err != nil {
		return nil, fmt.Errorf("calling %s: %w", target, err)
	}
	return &Caller{
		conn: conn, every: every, target: net.UDPAddrFromAddrPort(target), heard: make(chan struct{}),
	}, nil
}

// Run calls until ctx is done.
func (c *Caller) Run(ctx context.Context) error {
	return askAndListen(ctx, c.conn, c.every, func() error {
		c.dial()
		return nil
	}, c.listen)
}

// askAndListen calls ask at an interval, and listen in a goroutine, until ctx is done or ask
// fails. Then it closes conn, and returns when listen does, whose context is done by then.
func askAndListen(ctx context.Context, conn io.Closer, every time.Duration, ask func() error, listen func(context.Context)) error {
	ctx, end := context.WithCancel(ctx)
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	done := make(chan struct{})
	defer func() {
		end()
		<-done
	}()
	go func() {
		defer close(done)
		listen(ctx)
	}()
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if err := ask(); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

func (c *Caller) dial() {
	c.mu.Lock()
	number := len(c.calls)
	c.calls = append(c.calls, call{sent: time.Now()})
	c.mu.Unlock()
	// A call that cannot be sent is unanswered.
	_, _ = c.conn.WriteTo(strconv.AppendInt(nil, int64(number), 10), c.target)
}

func (c *Caller) listen(ctx context.Context) {
	buf := make([]byte, 1500)
	for {
		n, _, err := c.conn.ReadFromUDPAddrPort(buf)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			c.note(buf[:n], time.Now())
		}
	}
}

// note records an answer: number, server and LIM.
func (c *Caller) note(answer []byte, at time.Time) {
	fields := bytes.Fields(answer)
	if len(fields) != 3 {
		return
	}
	number, err := strconv.Atoi(string(fields[0]))
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || number < 0 || number >= len(c.calls) || !c.calls[number].answered.IsZero() {
		return
	}
	c.calls[number].answered, c.calls[number].server = at, string(fields[1])
	close(c.heard)
	c.heard = make(chan struct{})
}

// WaitAnswer returns when a call sent after a point in time was answered by a server; "": by any.
func (c *Caller) WaitAnswer(ctx context.Context, server string, after time.Time) error {
	for {
		heard, found := c.answeredSince(server, after)
		if found {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s to answer calls: %w", cmp.Or(server, "a server"), context.Cause(ctx))
		case <-heard:
		}
	}
}

func (c *Caller) answeredSince(server string, after time.Time) (<-chan struct{}, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range slices.Backward(c.calls) {
		if !k.sent.After(after) {
			break
		}
		if k.server != "" && (server == "" || k.server == server) {
			return nil, true
		}
	}
	return c.heard, false
}

// Service is the result of the calls in a span of time.
type Service struct {
	Calls   int
	Lost    int           // calls without an answer
	Silence time.Duration // longest time between two answers
	By      []string      // servers that answered, in the order of their first answer
}

// Between returns the result of the calls sent in a span of time. Settle must be called before, so
// that the last answers have arrived.
func (c *Caller) Between(from, to time.Time) Service {
	c.mu.Lock()
	var s Service
	var answered []call
	for _, k := range c.calls {
		if k.sent.Before(from) || k.sent.After(to) {
			continue
		}
		s.Calls++
		if k.answered.IsZero() {
			s.Lost++
			continue
		}
		answered = append(answered, k)
	}
	c.mu.Unlock()
	// A call that waits for address resolution is answered late; silence is measured between
	// arrivals.
	slices.SortFunc(answered, func(a, b call) int { return a.answered.Compare(b.answered) })
	for i, k := range answered {
		if i > 0 {
			s.Silence = max(s.Silence, k.answered.Sub(answered[i-1].answered))
		}
		if !slices.Contains(s.By, k.server) {
			s.By = append(s.By, k.server)
		}
	}
	return s
}

// Settle returns when a call sent from now on was answered; unanswered calls before it are lost.
func (c *Caller) Settle(ctx context.Context) error {
	return c.WaitAnswer(ctx, "", time.Now())
}
