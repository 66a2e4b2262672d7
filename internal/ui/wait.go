package ui

import (
	"fmt"
	"io"
	"time"
)

// Wait shows on one line of a terminal for how long something is waited for. The nil Wait
// shows nothing. It is for one goroutine at a time.
type Wait struct {
	out   io.Writer
	what  string
	limit time.Duration
	now   func() time.Time
	began time.Time
	shown bool
}

// NewWait returns the line of a wait that begins now and lasts for limit at most.
func NewWait(out io.Writer, what string, limit time.Duration, now func() time.Time) *Wait {
	return &Wait{out: out, what: what, limit: limit, now: now, began: now()}
}

// Tick draws the line anew.
func (w *Wait) Tick() {
	if w == nil {
		return
	}
	w.shown = true
	_, _ = fmt.Fprintf(w.out, "\r\x1b[K%s: %s of %s", Plain(w.what), w.now().Sub(w.began).Round(time.Second), w.limit)
}

// Close takes the line away.
func (w *Wait) Close() {
	if w != nil && w.shown {
		_, _ = io.WriteString(w.out, "\r\x1b[K")
	}
}
