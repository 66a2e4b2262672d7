package wire

import (
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"mxcluster/internal/fault"
)

// A peer whose power went says nothing, for the hours that TCP takes to find out, and
// what is held for it is held that long. So both sides of a sync send a sign of life
// every second, whatever they do meanwhile, and whoever hears nothing for the idle limit
// lets go. A peer that is slow sends signs; one that is gone, or stopped, does not.

// DefaultIdle is how long nothing may be heard of a peer, where nothing else is said.
const DefaultIdle = 60 * time.Second

const (
	SignEvery = time.Second

	// maxSigns is how many signs of life may come one after the other, with nothing else:
	// half a day's. A peer whose disk hangs sends them for ever.
	maxSigns = int(12 * time.Hour / SignEvery)

	// leastHeard is how many bytes within the idle limit are a sign of life: fewer than
	// the slowest rate gives, more than what a connection that is stuck dribbles.
	leastHeard = 3

	// backlog is how many bytes may wait to be read here before their number says nothing
	// any more: a peer that wrote as many may wait for us.
	backlog = 32 << 10
)

// ear reads from the peer, and counts.
type ear struct {
	r     io.Reader
	heard atomic.Int64  // bytes
	reads atomic.Bool   // somebody waits for more
	Due   atomic.Uint32 // the frameType that is waited for; 0: any
}

// Read fulfils io.Reader.
func (e *ear) Read(p []byte) (int, error) {
	e.reads.Store(true)
	n, err := e.r.Read(p)
	e.reads.Store(false)
	e.heard.Add(int64(n))
	return n, err
}

// silence is for how long nothing was heard.
type silence struct {
	ear     *ear
	waiting func() (int, bool) // bytes that came and were not read; false: it cannot be seen

	mark    int64 // of ear.heard
	pending int
	quiet   time.Duration
}

// pass takes note of what was heard in the time since the last call, and returns how long
// it has been quiet. While nobody reads, the number of bytes that wait says whether any came.
func (s *silence) pass(d time.Duration) time.Duration {
	heard := s.ear.heard.Load()
	come := heard-s.mark >= leastHeard
	if !come && !s.ear.reads.Load() {
		n, ok := s.waiting()
		come = !ok || n > backlog || n != s.pending
		s.pending = n
	}
	if come {
		s.mark, s.quiet = heard, 0
		return 0
	}
	s.quiet += d
	return s.quiet
}

// Watch sends signs of life, and calls gone, once, when none were heard for the limit, 0
// meaning DefaultIdle. What comes from the peer comes through in, nil where that is no
// file. The caller calls stop.
func (l *Link) Watch(in *os.File, limit time.Duration, gone func(error)) (stop func()) {
	done := make(chan struct{})
	go l.tellSigns(done) // not waited for: it may be in the middle of a write
	deaf := l.Listen(in, limit, gone)
	return func() {
		close(done)
		deaf()
	}
}

// Listen is watch without signs.
func (l *Link) Listen(in *os.File, limit time.Duration, gone func(error)) (stop func()) {
	if limit == 0 {
		limit = DefaultIdle
	}
	done := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		s := &silence{ear: &l.Ear, waiting: func() (int, bool) { return unreadBytes(in) }}
		if s.lasts(limit, done) {
			gone(l.lapsed(limit))
		}
	})
	return func() {
		close(done)
		all.Wait()
	}
}

// lasts waits until it was quiet for the limit, or until done is closed. The time in
// which this process was stopped itself is nobody's silence: a look counts for little
// more than the time between two.
func (s *silence) lasts(limit time.Duration, done <-chan struct{}) (lapsed bool) {
	every := min(time.Second, limit/20)
	tick := time.NewTicker(every)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-done:
			return false
		case <-tick.C:
		}
		now := time.Now()
		d := min(now.Sub(last), 2*every)
		if last = now; s.pass(d)+every > limit { // the next look would be late
			return true
		}
	}
}

// tellSigns sends signs of life between other frames. While one is written there is no
// need for any.
func (l *Link) tellSigns(done <-chan struct{}) {
	tick := time.NewTicker(SignEvery)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		if !l.mu.TryLock() {
			continue
		}
		_, err := l.w.Write([]byte{byte(frameAlive), 0, 0, 0, 0})
		if err == nil {
			err = l.w.Flush()
		}
		l.mu.Unlock()
		if err != nil {
			return // whoever writes next is told
		}
	}
}

// lapsed is the error of a peer of which nothing is heard any more.
func (l *Link) lapsed(limit time.Duration) error {
	return fault.New(fault.Unreachable, goneHint, "nothing was heard of the other side for %s, not even a sign of life, while %s",
		limit, l.doing())
}

const goneHint = "check that the other server is up and the network between the two; then try again: what was sent is kept"

// doing words what was waited for.
func (l *Link) doing() string {
	if !l.Ear.reads.Load() {
		return "this side was at work"
	}
	return "waiting for " + FrameType(l.Ear.Due.Load()).what() //nolint:gosec // a frameType
}

// what words what a frame brings.
func (t FrameType) what() string {
	switch t {
	case FrameClock:
		return "its time"
	case FrameOpen:
		return "what its newest version is"
	case FrameDigest:
		return "the hash of its version"
	case FrameHead, FrameBatch, FrameContent, FrameEnd:
		return "the data"
	case FrameHave:
		return "what it has already"
	case FrameWant, FrameDone:
		return "it to take the version"
	}
	return "its next request"
}

// stuck is the error of a peer that is there, and does nothing.
func stuck() error {
	return fault.New(fault.Unreachable, "look at what mxcluster does on the other server, and at its disks",
		"the other side has sent signs of life, and nothing else, for %s", time.Duration(maxSigns)*SignEvery)
}
