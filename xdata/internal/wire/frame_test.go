package wire

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"
)

// Frames arrive as they were sent, in whatever parts they come, and a frame that is cut off is
// an error.
func TestFramesInParts(t *testing.T) {
	var stream bytes.Buffer
	out := NewLink(nil, &stream)
	var payloads [][]byte
	for i, size := range []int{0, 1, MaxPayload, readAhead, readAhead + 1, maxBatch, maxBatch} {
		payload := bytes.Repeat([]byte{byte(i + 1), byte(size), byte(size >> 8)}, size/3+1)[:size]
		must(t, out.Put(FrameBatch, payload))
		payloads = append(payloads, payload)
	}
	must(t, out.Flush())
	for name, r := range map[string]io.Reader{
		"whole":     bytes.NewReader(stream.Bytes()),
		"halves":    iotest.HalfReader(bytes.NewReader(stream.Bytes())),
		"late ends": iotest.DataErrReader(bytes.NewReader(stream.Bytes())),
	} {
		in := NewLink(r, nil)
		for i, want := range payloads {
			kind, got, err := in.Next()
			if err != nil || kind != FrameBatch || !bytes.Equal(got, want) {
				t.Fatalf("%s: frame %d: type %d, %d bytes, %v; want %d bytes", name, i, kind, len(got), err, len(want))
			}
		}
		if _, _, err := in.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: after the last frame: %v", name, err)
		}
	}
	for _, n := range []int{1, frameHeader, frameHeader + 1, frameHeader + maxBatch - 1} {
		cut := stream.Bytes()[stream.Len()-frameHeader-maxBatch:][:n]
		if _, _, err := NewLink(bytes.NewReader(cut), nil).Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

// A pipe that may hold more does; what is none is left as it is.
func TestWidenPipe(t *testing.T) {
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	defer w.Close()
	if holds := widenPipe(r, 1<<20); holds != 1<<20 {
		t.Errorf("the pipe holds %d bytes", holds)
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	socket, theirs := os.NewFile(uintptr(fds[0]), "socket"), os.NewFile(uintptr(fds[1]), "theirs")
	defer socket.Close()
	defer theirs.Close()
	if holds := widenPipe(socket, 1<<20); holds != 0 {
		t.Errorf("a socket holds %d bytes as a pipe", holds)
	}
}
