package xdata

import (
	"context"
	"math"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"mxcluster/internal/fault"
)

// ParseRate parses a rate and returns it in bytes per second: a number with a unit of 1024 bytes
// (k, M, G, with or without B, iB or /s), or of 1000 bits per second (kbit, Mbit, Gbit). A number
// alone is in KiB per second, as in rsync. fault.Usage.
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

// rateUnits maps units to bytes per second.
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

// limitBurst bounds the catching up after a time without traffic.
const limitBurst = 100 * time.Millisecond

// limited is a connection with a rate limit for both directions together.
type limited struct {
	Conn
	limiter *rate.Limiter
	ctx     context.Context //nolint:containedctx // ends what waits when the connection is closed
	end     context.CancelFunc
}

// limit applies a request's rate limit to its connection.
func limit(peer Conn, req Request) Conn {
	if req.Rate <= 0 {
		return peer
	}
	burst := int(min(float64(req.Rate)*limitBurst.Seconds(), 1<<20))
	l := &limited{Conn: peer, limiter: rate.NewLimiter(rate.Limit(req.Rate), max(burst, 1))}
	l.ctx, l.end = context.WithCancel(context.Background())
	return l
}

// burst is as much of b as may go through at once.
func (l *limited) burst(b []byte) []byte { return b[:min(len(b), l.limiter.Burst())] }

// wait waits until n bytes are due, or the connection is closed.
func (l *limited) wait(n int) { _ = l.limiter.WaitN(l.ctx, n) } // the next read or write fails after a close

// Read implements io.Reader.
func (l *limited) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(l.burst(b))
	l.wait(n)
	return n, err
}

// Write implements io.Writer.
func (l *limited) Write(b []byte) (written int, err error) {
	for len(b) > 0 && err == nil {
		var n int
		n, err = l.Conn.Write(l.burst(b))
		written += n
		b = b[n:]
		l.wait(n)
	}
	return written, err
}

// Close closes the connection and ends what waits.
func (l *limited) Close() error {
	l.end()
	return l.Conn.Close()
}
