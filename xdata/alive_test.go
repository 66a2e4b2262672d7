package xdata

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/internal/fault"
	"mxcluster/xdata/internal/wire"
)

// shortIdle ends a peer that is gone soon enough for a test, and no peer that is slow:
// signs of life come every second.
const shortIdle = 4 * time.Second

// pipes is a connection through real pipes, as ssh's are, that nothing closes but the test.
func pipes(t *testing.T) (ours, theirs Conn, theirIn *os.File) {
	t.Helper()
	r1, w1, err := os.Pipe()
	must(t, err)
	r2, w2, err := os.Pipe()
	must(t, err)
	t.Cleanup(func() {
		for _, f := range []*os.File{r1, w1, r2, w2} {
			f.Close()
		}
	})
	return twoWay{r1, w2}, twoWay{r2, w1}, r2
}

type twoWay struct {
	io.Reader
	io.Writer
}

// Close closes nothing: sshd keeps its ends open when the other server is gone.
func (twoWay) Close() error { return nil }

// A server whose peer is gone lets go of the lock, wherever the two were.
func TestServeEndsWithoutAPeer(t *testing.T) {
	for name, said := range map[string]string{
		"nothing asked":   "",
		"a LIM is open":   message(wire.FrameOpen, `{"lim":1,"side":"standby"}`),
		"half a request":  message(wire.FrameOpen, `{"lim":1,"side":"standby"}`)[:20],
		"in mid-transfer": message(wire.FrameOpen, `{"lim":1,"side":"standby"}`) + frame(wire.FramePush, 0, ""),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			ours, theirs, in := pipes(t)
			ended := make(chan error, 1)
			go func() { ended <- Serve(context.Background(), s, in, theirs, ServeOptions{Idle: shortIdle}) }()
			_, err := io.WriteString(ours, said)
			must(t, err)
			go io.Copy(io.Discard, ours)
			select {
			case err := <-ended:
				wantCode(t, err, fault.Unreachable, "nothing was heard of the other side for 4s")
			case <-time.After(time.Minute):
				t.Fatal("it holds on")
			}
			release, err := s.lock(1, "test")
			must(t, err)
			release()
		})
	}
}

// A client does the same, and says what it waited for.
func TestSyncEndsWithoutAPeer(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	states["newer"](t, s)
	here, there := net.Pipe()
	defer there.Close()
	go func() {
		_, _ = io.WriteString(there, message(wire.FrameGreeting, string(greetingOf(wire.Spoken.Newest))))
		_, _ = io.Copy(io.Discard, there)
	}()
	_, err := Sync(context.Background(), s, here, Request{LIM: 1, Side: clusterconf.SideRegular, Idle: shortIdle})
	wantCode(t, err, fault.Unreachable, "while waiting for its time")
	release, err := s.lock(1, "test")
	must(t, err)
	release()
}

// An answer that is waited for is given up when not even signs come.
func TestAnswer(t *testing.T) {
	t.Parallel()
	here, there := net.Pipe()
	go func() {
		stop := SendKeepalives(there)
		time.AfterFunc(1500*time.Millisecond, func() {
			stop()
			_, _ = io.WriteString(there, `{"a":1}`)
			there.Close()
		})
	}()
	if got, err := Answer(here, 1000, shortIdle); err != nil || strings.TrimLeft(string(got), Keepalive) != `{"a":1}` || len(got) == len(`{"a":1}`) {
		t.Errorf("%q, %v", got, err)
	}
	here, there = net.Pipe()
	go func() { _, _ = io.WriteString(there, Keepalive) }()
	if _, err := Answer(here, 1000, shortIdle); fault.CodeOf(err) != fault.Unreachable {
		t.Errorf("%v", err)
	}
	if _, err := there.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("it is not closed: %v", err)
	}
}
