package commands

import (
	"bytes"
	"io"
	"sync/atomic"
	"time"
)

const (
	linesWaiting = 1000        // lines of a log that wait for a reader who takes his time
	lastLines    = time.Second // that what still waits is given at the end
)

// asyncWriter is a writer that never blocks who writes: a goroutine of its own writes
// line after line. A journal that hangs, a full pipe or a terminal that was
// stopped must not stop the main loop of an agent, and with it the leases of its aliases.
type asyncWriter struct {
	out   io.Writer
	lines chan []byte
	lost  atomic.Int64
	ended chan struct{}
}

// newAsyncWriter returns a writer to out, and how to end it. told is called with the
// number of lines for which there was no room, as soon as there is again.
func newAsyncWriter(out io.Writer, told func(lost int64)) (w *asyncWriter, end func()) {
	w = &asyncWriter{out: out, lines: make(chan []byte, linesWaiting), ended: make(chan struct{})}
	go w.run(told)
	return w, w.end
}

// Write takes one line; it never fails.
func (w *asyncWriter) Write(line []byte) (int, error) {
	select {
	case w.lines <- bytes.Clone(line):
	default:
		w.lost.Add(1)
	}
	return len(line), nil
}

func (w *asyncWriter) run(told func(lost int64)) {
	defer close(w.ended)
	for line := range w.lines {
		if line == nil {
			return
		}
		_, _ = w.out.Write(line) // there is nowhere to say that it failed
		if n := w.lost.Swap(0); n > 0 {
			told(n)
		}
	}
}

// end waits until what was written is out, but not for long.
func (w *asyncWriter) end() {
	patience := time.NewTimer(lastLines)
	defer patience.Stop()
	select {
	case w.lines <- nil:
	case <-patience.C:
		return
	}
	select {
	case <-w.ended:
	case <-patience.C:
	}
}
