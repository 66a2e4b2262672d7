package wire

import (
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"mxcluster/internal/fault"
)

// A peer that loses its power is silent, for the hours until TCP gives up, and would keep locks
// that long. So both sides of a sync send a keepalive every second, whatever else they do, and end
// the sync when nothing arrives within the idle limit. A slow peer sends keepalives; one that is
// dead or stopped does not.

// DefaultIdle is the default of the idle limit.
const DefaultIdle = 60 * time.Second

const (
	// KeepaliveEvery is the time between two keepalives.
	KeepaliveEvery = time.Second

	// maxKeepalives is how many keepalives in a row, with nothing else, are accepted: half a day's.
	// A peer whose disk hangs sends them without end.
	maxKeepalives = int(12 * time.Hour / KeepaliveEvery)

	// minHeard is the least number of bytes within the idle limit that counts as a sign of life:
	// below the slowest rate, above the few bytes that a stuck connection may deliver.
	minHeard = 3

	// backlog is how many unread bytes make their number meaningless as a sign of life: the peer
	// may be blocked by us then.
	backlog = 32 << 10
)

// activity reads from the peer, and counts.
type activity struct {
	r       io.Reader
	bytes   atomic.Int64  // read so far
	waiting atomic.Bool   // a read is blocked
	Due     atomic.Uint32 // the FrameType that is expected; 0: any
}

// Read implements io.Reader.
func (e *activity) Read(p []byte) (int, error) {
	e.waiting.Store(true)
	n, err := e.r.Read(p)
	e.waiting.Store(false)
	e.bytes.Add(int64(n))
	return n, err
}

// idleTimer measures how long the peer has been silent.
type idleTimer struct {
	activity *activity
	unread   func() (int, bool) // bytes received and not read; false: unknown

	mark    int64 // activity.bytes at the last call
	pending int
	idle    time.Duration
}

// advance evaluates the time d since the last call, and returns how long the peer has been silent.
// While nothing is read here, a growing number of unread bytes is a sign of life.
func (s *idleTimer) advance(d time.Duration) time.Duration {
	heard := s.activity.bytes.Load()
	come := heard-s.mark >= minHeard
	if !come && !s.activity.waiting.Load() {
		n, ok := s.unread()
		come = !ok || n > backlog || n != s.pending
		s.pending = n
	}
	if come {
		s.mark, s.idle = heard, 0
		return 0
	}
	s.idle += d
	return s.idle
}

// Watch sends keepalives, and calls gone, once, when the peer was silent for limit; 0: DefaultIdle.
// in is the file that the link reads from; nil: it is not a file. The caller calls stop.
func (l *Link) Watch(in *os.File, limit time.Duration, gone func(error)) (stop func()) {
	done := make(chan struct{})
	go l.sendKeepalives(done) // not waited for: it may be blocked in a write
	stopListening := l.Listen(in, limit, gone)
	return func() {
		close(done)
		stopListening()
	}
}

// Listen is Watch without keepalives.
func (l *Link) Listen(in *os.File, limit time.Duration, gone func(error)) (stop func()) {
	if limit == 0 {
		limit = DefaultIdle
	}
	done := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		s := &idleTimer{activity: &l.Activity, unread: func() (int, bool) { return unreadBytes(in) }}
		if s.expires(limit, done) {
			gone(l.silentError(limit))
		}
	})
	return func() {
		close(done)
		all.Wait()
	}
}

// expires waits until the peer was silent for the limit, or done is closed. Time in which this
// process was stopped does not count: between two checks, little more than their interval is added.
func (s *idleTimer) expires(limit time.Duration, done <-chan struct{}) (lapsed bool) {
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
		if last = now; s.advance(d)+every > limit { // the next check would be late
			return true
		}
	}
}

// sendKeepalives sends keepalives between other frames. None is needed while a frame is being
// written.
func (l *Link) sendKeepalives(done <-chan struct{}) {
	tick := time.NewTicker(KeepaliveEvery)
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
			return // the next write returns the error
		}
	}
}

// silent is the error for a peer that was silent for the limit.
func (l *Link) silentError(limit time.Duration) error {
	return fault.New(fault.Unreachable, goneHint, "nothing was heard of the other side for %s, not even a sign of life, while %s",
		limit, l.doing())
}

const goneHint = "check that the other server is up and the network between the two; then try again: what was sent is kept"

// doing words what was waited for.
func (l *Link) doing() string {
	if !l.Activity.waiting.Load() {
		return "this side was at work"
	}
	return "waiting for " + FrameType(l.Activity.Due.Load()).what() //nolint:gosec // a FrameType
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

// onlyKeepalives is the error for a peer that sends nothing but keepalives.
func onlyKeepalives() error {
	return fault.New(fault.Unreachable, "look at what mxcluster does on the other server, and at its disks",
		"the other side has sent signs of life, and nothing else, for %s", time.Duration(maxKeepalives)*KeepaliveEvery)
}
