package xdata

import (
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"mxcluster/internal/fault"
)

// ParseRate reads a rate in bytes a second: a number with a unit of 1024 (k, M,
// G, with or without B, iB or /s), or in bits a second (kbit, Mbit, Gbit, of
// 1000). A number alone counts KiB a second, as rsync's does. fault.Usage.
func ParseRate(text string) (int64, error) {
	bad := func() (int64, error) {
		return 0, fault.New(fault.Usage, "give a rate such as 500k, 10M or 100Mbit; the first two are bytes a second", "bad rate %q", text)
	}
	t := strings.ToLower(strings.TrimSpace(text))
	t = strings.TrimSuffix(strings.TrimSuffix(t, "/s"), "ps")
	cut := strings.IndexFunc(t, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	number, unit := t, ""
	if cut >= 0 {
		number, unit = t[:cut], t[cut:]
	}
	n, err := strconv.ParseFloat(number, 64)
	factor, known := rateUnits()[strings.TrimSpace(unit)]
	if err != nil || !known || n <= 0 || n*factor >= math.MaxInt64 {
		return bad()
	}
	if rate := int64(n * factor); rate > 0 {
		return rate, nil
	}
	return bad()
}

// rateUnits are what a unit stands for, in bytes a second.
func rateUnits() map[string]float64 {
	units := map[string]float64{"": 1 << 10, "b": 1, "bit": 1.0 / 8}
	bytes, bits := 1.0, 1.0/8
	for _, letter := range "kmgt" {
		bytes, bits = bytes*1024, bits*1000
		for _, end := range []string{"", "b", "ib"} {
			units[string(letter)+end] = bytes
		}
		units[string(letter)+"bit"] = bits
	}
	return units
}

// pace lets bytes through at a rate.
type pace struct {
	rate   float64 // bytes a second
	closed chan struct{}
	once   sync.Once

	mu   sync.Mutex
	next time.Time // when the bytes so far are due
}

// paceBurst is how much of the time that nothing was sent may be made up for.
const paceBurst = 100 * time.Millisecond

func newPace(rate int64) *pace { return &pace{rate: float64(rate), closed: make(chan struct{})} }

// piece is how much goes through at once.
func (p *pace) piece() int { return max(int(min(p.rate*paceBurst.Seconds(), 1<<20)), 1) }

// due books n bytes and says how long to wait before going on.
func (p *pace) due(n int, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if early := now.Add(-paceBurst); p.next.Before(early) {
		p.next = early
	}
	p.next = p.next.Add(time.Duration(float64(n) / p.rate * float64(time.Second)))
	return p.next.Sub(now)
}

// pass waits until n bytes are due, or the connection is closed.
func (p *pace) pass(n int) {
	wait := p.due(n, time.Now())
	if wait <= 0 {
		return
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-p.closed:
	}
}

// metered is a connection that is held to a rate.
type metered struct {
	Conn
	pace *pace
}

// Read fulfils io.Reader.
func (m *metered) Read(b []byte) (int, error) {
	n, err := m.Conn.Read(b[:min(len(b), m.pace.piece())])
	m.pace.pass(n)
	return n, err
}

// Write fulfils io.Writer.
func (m *metered) Write(b []byte) (written int, err error) {
	for len(b) > 0 && err == nil {
		var n int
		n, err = m.Conn.Write(b[:min(len(b), m.pace.piece())])
		written += n
		b = b[n:]
		m.pace.pass(n)
	}
	return written, err
}

// Close ends what waits, too.
func (m *metered) Close() error {
	m.pace.once.Do(func() { close(m.pace.closed) })
	return m.Conn.Close()
}

// meter holds a request's connection to its rate.
func meter(peer Conn, req Request) Conn {
	if req.Rate <= 0 {
		return peer
	}
	return &metered{Conn: peer, pace: newPace(req.Rate)}
}
