package main

import (
	"context"
	"os"
	"os/signal"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

// onePress is the time within which several signals are one order to end: timeout(1),
// sudo and shells send theirs to the process and then to its group. Later ones are
// those of a person who does not want to wait.
const onePress = 500 * time.Millisecond

// signals is what this process was told by signals. The first order to end ends the
// context, so that everything is put away; a second one ends the process at once,
// should the first one hang. A hangup is such an order as well, but never the second:
// when a terminal goes away, its shell and the kernel both say so.
type signals struct {
	ctx     context.Context // ended by an order to end
	end     context.CancelCauseFunc
	reloads chan struct{} // hangups, once they are asked for
	asked   atomic.Bool   // whether they are

	// Owned by the goroutine that listens.
	ending time.Time // when the first order to end came that was no hangup
}

// told is a signal as the cause of a context's end.
type told struct{ os.Signal }

func (t told) Error() string { return t.String() }

// listen takes the signals of this process. A hangup or a quit key that is ignored, as
// nohup(1) and shells have it for what runs in the background, stays ignored.
func listen() *signals {
	s := &signals{reloads: make(chan struct{}, 1)}
	s.ctx, s.end = context.WithCancelCause(context.Background())
	wanted := []os.Signal{os.Interrupt, unix.SIGTERM}
	for _, sig := range []os.Signal{unix.SIGHUP, unix.SIGQUIT} {
		if !signal.Ignored(sig) {
			wanted = append(wanted, sig)
		}
	}
	came := make(chan os.Signal, len(wanted))
	signal.Notify(came, wanted...)
	// A reader who is gone is an error of the write, not the end in the middle of
	// something. Ignored signals would stay ignored in the software of LIMs, so this
	// one is taken.
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)
	go func() {
		for sig := range came {
			if s.take(sig, time.Now()) {
				os.Exit(int(fault.Interrupted))
			}
		}
	}()
	return s
}

// take does what a signal asks for; impatient: the process is to end at once.
func (s *signals) take(sig os.Signal, now time.Time) (impatient bool) {
	switch {
	case sig == unix.SIGHUP && s.asked.Load():
		select {
		case s.reloads <- struct{}{}:
		default: // one waits already
		}
	case sig == unix.SIGHUP:
		s.end(told{sig})
	case s.ending.IsZero():
		s.ending = now
		s.end(told{sig})
	default:
		return now.Sub(s.ending) >= onePress
	}
	return false
}

// hangups has every hangup from now on be a message, as daemons take it.
func (s *signals) hangups() <-chan struct{} {
	s.asked.Store(true)
	return s.reloads
}

// passOn sends a process what ends this one and is not typed on the keyboard of both,
// until stop is called.
func passOn(ctx context.Context, to *os.Process) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		why, ok := context.Cause(ctx).(told) //nolint:errorlint // main's own, never wrapped
		if ok && (why.Signal == unix.SIGTERM || why.Signal == unix.SIGHUP) {
			_ = to.Signal(why.Signal) // it may have ended
		}
	})
}
