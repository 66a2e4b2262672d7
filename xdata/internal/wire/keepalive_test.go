package wire

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"mxcluster/internal/fault"
)

// How long it has been quiet, by what was heard.
func TestSilence(t *testing.T) {
	type step struct {
		heard   int64 // bytes that were read in this time
		reading bool
		waiting int // bytes that wait to be read; -1: it cannot be seen
		quiet   time.Duration
	}
	const s = time.Second
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"nothing comes", []step{{0, true, 0, s}, {0, true, 0, 2 * s}, {0, true, 0, 3 * s}}},
		{"something comes", []step{{0, true, 0, s}, {5, true, 0, 0}, {0, true, 0, s}}},
		{"a byte now and then is nothing", []step{{1, true, 0, s}, {1, true, 0, 2 * s}, {1, true, 0, 0}, {0, true, 0, s}}},
		{"signs come while this side works", []step{{0, false, 5, 0}, {0, false, 10, 0}, {0, false, 15, 0}}},
		{"none come any more", []step{{0, false, 5, 0}, {0, false, 5, s}, {0, false, 5, 2 * s}, {0, true, 5, 3 * s}, {5, true, 0, 0}}},
		{"much waits: the peer waits for us", []step{{0, false, 1 << 20, 0}, {0, false, 1 << 20, 0}}},
		{"what waits cannot be seen", []step{{0, false, -1, 0}, {0, false, -1, 0}, {0, true, -1, s}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var e activity
			waiting := 0
			q := &idleTimer{activity: &e, unread: func() (int, bool) { return max(waiting, 0), waiting >= 0 }}
			for i, st := range tt.steps {
				e.bytes.Add(st.heard)
				e.waiting.Store(st.reading)
				waiting = st.waiting
				if got := q.advance(s); got != st.quiet {
					t.Fatalf("step %d: quiet for %v, want %v", i, got, st.quiet)
				}
			}
		})
	}
}

// What is slow is not gone: signs of life come while a side works, and are enough.
func TestSlowIsNotGone(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	slow, waits := NewLink(theirs, theirs), NewLink(ours, ours)
	const shortIdle = 4 * time.Second
	gone := make(chan error, 2)
	defer slow.Watch(nil, shortIdle, func(err error) { gone <- err })()
	defer waits.Watch(nil, shortIdle, func(err error) { gone <- err })()
	got := make(chan error, 1)
	go func() {
		_, err := waits.Expect(FrameDone)
		got <- err
	}()
	select { // longer than the limit
	case err := <-gone:
		t.Fatal(err)
	case err := <-got:
		t.Fatalf("an answer that was not given: %v", err)
	case <-time.After(shortIdle + 2*time.Second):
	}
	must(t, slow.Send(FrameDone, Done{}))
	must(t, <-got)
}

// Signs of life alone are no life for ever.
func TestSignsAlone(t *testing.T) {
	l := NewLink(strings.NewReader(strings.Repeat(frame(frameAlive, 0, ""), maxKeepalives+1)), io.Discard)
	_, _, err := l.Next()
	wantCode(t, err, fault.Unreachable, "signs of life, and nothing else, for 12h0m0s")
	l = NewLink(strings.NewReader(strings.Repeat(frame(frameAlive, 0, ""), 100)+frame(FrameDone, 0, "")), io.Discard)
	if _, err := l.Expect(FrameDone); err != nil {
		t.Error(err)
	}
}
