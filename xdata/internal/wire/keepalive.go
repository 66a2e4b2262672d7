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
// what is held for it is held that long. So both sides of a sync send a keepalive
// every second, whatever they do meanwhile, and whoever hears nothing for the idle limit
// lets go. A peer that is slow sends keepalives; one that is gone, or stopped, does not.

// DefaultIdle is how long nothing may be heard of a peer, where nothing else is said.
const DefaultIdle = 60 * time.Second

const (
	// KeepaliveEvery is the time between two keepalives.
	KeepaliveEvery = time.Second

	// maxKeepalives is how many keepalives may come one after the other, with nothing else:
	// half a day's. A peer whose disk hangs sends them for ever.
	maxKeepalives = int(12 * time.Hour / KeepaliveEvery)

	// minHeard is how many bytes within the idle limit are a sign of life: fewer than
	// the slowest rate gives, more than what a connection that is stuck dribbles.
	minHeard = 3

	// backlog is how many bytes may wait to be read here before their number says nothing
	// any more: a peer that wrote as many may wait for us.
	backlog = 32 << 10
)

// activity reads from the peer, and keeps account of that.
type activity struct {
	r       io.Reader
	bytes   atomic.Int64  // read so far
	waiting atomic.Bool   // somebody waits for more
	Due     atomic.Uint32 // the FrameType that is waited for; 0: any
}

// Read fulfils io.Reader.
func (e *activity) Read(p []byte) (int, error) {
	e.waiting.Store(true)
	n, err := e.r.Read(p)
	e.waiting.Store(false)
	e.bytes.Add(int64(n))
	return n, err
}

// idleTimer tells for how long nothing was heard of the peer.
type idleTimer struct {
	activity *activity
	unread   func() (int, bool) // bytes that came and were not read; false: it cannot be seen

	mark    int64 // of activity.bytes
	pending int
	idle    time.Duration
}

// advance takes note of what was heard in the time since the last call, and returns how long
// it has been quiet. While nobody reads, the number of bytes that wait says whether any came.
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

// Watch sends keepalives, and calls gone, once, when nothing was heard for the limit, 0
// meaning DefaultIdle. What comes from the peer comes through in, nil where that is no
// file. The caller calls stop.
func (l *Link) Watch(in *os.File, limit time.Duration, gone func(error)) (stop func()) {
	done := make(chan struct{})
	go l.sendKeepalives(done) // not waited for: it may be in the middle of a write
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
			gone(l.silent(limit))
		}
	})
	return func() {
		close(done)
		all.Wait()
	}
}

// expires waits until it was quiet for the limit, or until done is closed. The time in
// which this process was stopped itself is nobody's silence: a look counts for little
// more than the time between two.
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
		if last = now; s.advance(d)+every > limit { // the next look would be late
			return true
		}
	}
}

// sendKeepalives sends keepalives between other frames. While one is written there is no
// need for any.
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
			return // whoever writes next is told
		}
	}
}

// silent is the error of a peer of which nothing is heard any more.
func (l *Link) silent(limit time.Duration) error {
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

// onlyKeepalives is the error of a peer that is there, and does nothing.
func onlyKeepalives() error {
	return fault.New(fault.Unreachable, "look at what mxcluster does on the other server, and at its disks",
		"the other side has sent signs of life, and nothing else, for %s", time.Duration(maxKeepalives)*KeepaliveEvery)
}
