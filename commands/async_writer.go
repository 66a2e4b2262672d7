package commands

import (
	"bytes"
	"io"
	"sync/atomic"
	"time"
)

const (
	linesWaiting = 1000        // queued lines of a log
	lastLines    = time.Second // how long queued lines are waited for at the end
)

// asyncWriter is a writer that never blocks: a goroutine writes the lines. A journal that hangs, a
// full pipe or a stopped terminal must not stop the main loop of an agent, which renews the leases
// of its aliases.
type asyncWriter struct {
	out   io.Writer
	lines chan []byte
	lost  atomic.Int64
	ended chan struct{}
}

// newAsyncWriter returns a writer to out, and a function that ends it. told is called with the
// number of lines that were dropped, as soon as there is room again.
func newAsyncWriter(out io.Writer, told func(lost int64)) (w *asyncWriter, end func()) {
	w = &asyncWriter{out: out, lines: make(chan []byte, linesWaiting), ended: make(chan struct{})}
	go w.run(told)
	return w, w.end
}

// Write queues one line; it never fails.
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
		_, _ = w.out.Write(line) // there is no place to report a failure
		if n := w.lost.Swap(0); n > 0 {
			told(n)
		}
	}
}

// end waits until all lines are written, but at most lastLines.
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
