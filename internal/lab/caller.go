//go:build linux

package lab

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Caller is a client of a LIM: it calls the alias again and again and notes
// which calls were answered, and by whom.
type Caller struct {
	conn   *net.UDPConn
	every  time.Duration
	target net.Addr

	mu    sync.Mutex
	calls []call
	heard chan struct{} // closed and made anew with every answer
}

// call is one datagram.
type call struct {
	sent     time.Time
	answered time.Time // zero: not yet
	server   string
}

// callEvery is the time between two calls of the client.
const callEvery = 5 * time.Millisecond

// AddCaller connects a client of its own to the switch, which calls an address
// until the lab ends.
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

// newCaller makes a client of a LIM with that alias, as ordinary a one as can
// be, in the network namespace of the calling thread. Once it runs, it calls at
// the given interval.
func newCaller(alias netip.Addr, every time.Duration) (*Caller, error) {
	target := netip.AddrPortFrom(alias, exchangePort)
	// Not connected: an error that the network reports for one call must not
	// spoil the next one.
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
	defer context.AfterFunc(ctx, func() { c.conn.Close() })()
	done := make(chan struct{})
	defer func() { <-done }()
	go func() {
		defer close(done)
		c.listen(ctx)
	}()
	ticker := time.NewTicker(c.every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			c.dial()
		}
	}
}

func (c *Caller) dial() {
	c.mu.Lock()
	number := len(c.calls)
	c.calls = append(c.calls, call{sent: time.Now()})
	c.mu.Unlock()
	// A call that cannot even be sent is one that is not answered.
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

// note takes one answer: number, server and LIM.
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

// WaitAnswer returns when a call that was sent after a point in time has been
// answered by a server, or by whomever when server is empty.
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

// Service is what a caller saw over a span of time.
type Service struct {
	Calls   int
	Lost    int           // calls without an answer
	Silence time.Duration // longest time between two answers
	By      []string      // servers that answered, in the order of their first answer
}

// Between returns what the caller saw of the calls sent in a span of time. The
// last answers should be in: see Settle.
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
	// A call that had to wait for the address to be resolved is answered out
	// of its turn; what counts for silence is when answers came in.
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

// Settle returns when a call sent from now on has been answered, by whomever:
// what is still unanswered of the calls before it is lost.
func (c *Caller) Settle(ctx context.Context) error {
	return c.WaitAnswer(ctx, "", time.Now())
}
