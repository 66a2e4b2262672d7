package ui

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Progress shows on one line of a terminal how far long work has come: bytes,
// rate and the time left. The nil Progress shows nothing. It may be used by
// several goroutines.
type Progress struct {
	out  io.Writer
	what string
	now  func() time.Time

	mu           sync.Mutex
	total, done  int64
	began, shown time.Time
}

// redraw is how often the line is drawn anew.
const redraw = 100 * time.Millisecond

// NewProgress returns the line of a work of total bytes; 0 where that is not known.
func NewProgress(out io.Writer, what string, total int64, now func() time.Time) *Progress {
	return &Progress{out: out, what: what, total: total, now: now, began: now()}
}

// Add notes n bytes more.
func (p *Progress) Add(n int64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	p.draw()
}

// Expect says how much there is in all, once that is known.
func (p *Progress) Expect(total int64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total = total
}

// Close takes the line away.
func (p *Progress) Close() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.shown.IsZero() {
		_, _ = io.WriteString(p.out, "\r\x1b[K")
	}
}

// draw writes the line, unless it is too early. It is called under the lock.
func (p *Progress) draw() {
	now := p.now()
	if now.Sub(p.shown) < redraw {
		return
	}
	p.shown = now
	_, _ = fmt.Fprintf(p.out, "\r\x1b[K%s", progressLine(Plain(p.what), p.done, p.total, now.Sub(p.began)))
}

// progressLine words how far a work has come.
func progressLine(what string, done, total int64, took time.Duration) string {
	line := what + "  " + Bytes(done)
	if total > 0 {
		line += fmt.Sprintf(" of %s  %d %%", Bytes(total), min(100*done/total, 100))
	}
	if took < redraw || done <= 0 {
		return line
	}
	rate := float64(done) / took.Seconds()
	line += "  " + Bytes(int64(rate)) + "/s"
	if total > done {
		left := time.Duration(float64(total-done) / rate * float64(time.Second))
		line += "  " + left.Round(time.Second).String() + " left"
	}
	return line
}

// Bytes writes a size as people do, in units of 1024.
func Bytes(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	size, unit := float64(n)/(1<<10), 0
	for size >= 1000 && unit < len("KMGTP")-1 {
		size, unit = size/(1<<10), unit+1
	}
	return fmt.Sprintf("%.1f %ciB", size, "KMGTP"[unit])
}
