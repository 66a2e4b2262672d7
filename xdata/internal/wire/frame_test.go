package wire

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// trickle is a stream of which some bytes arrive every 100 microseconds, and gather
// where nobody reads them.
type trickle struct {
	content []byte
	piece   int
	began   time.Time
	taken   int
	reads   int
}

// Read fulfils io.Reader: it waits until there is something, and returns what there is.
func (s *trickle) Read(p []byte) (int, error) {
	const every = 100 * time.Microsecond
	if s.taken == len(s.content) {
		return 0, io.EOF
	}
	s.reads++
	for {
		arrived := min(int(time.Since(s.began)/every)*s.piece, len(s.content))
		if arrived > s.taken {
			n := copy(p, s.content[s.taken:arrived])
			s.taken += n
			return n, nil
		}
		<-time.After(every - time.Since(s.began)%every)
	}
}

// frames returns a stream of frames whose payloads have these sizes, and the payloads.
func frames(t *testing.T, sizes ...int) (stream []byte, payloads [][]byte) {
	t.Helper()
	var b bytes.Buffer
	l := NewLink(nil, &b)
	for i, size := range sizes {
		payload := bytes.Repeat([]byte{byte(i + 1), byte(size), byte(size >> 8)}, size/3+1)[:size]
		if err := l.Put(FrameBatch, payload); err != nil {
			t.Fatal(err)
		}
		payloads = append(payloads, payload)
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), payloads
}

// What comes through a deep pipe in small parts is read in larger ones, and is the same.
func TestPartsGather(t *testing.T) {
	sizes := []int{0, 1, MaxPayload, GatherBytes, GatherBytes + 1}
	for range 20 {
		sizes = append(sizes, maxBatch)
	}
	stream, payloads := frames(t, sizes...)
	read := func(t *testing.T, deep bool) (reads int, took time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			from := &trickle{content: stream, piece: 32 << 10, began: time.Now()}
			l := NewLink(from, nil)
			l.deep = deep
			for i, want := range payloads {
				kind, got, err := l.Next()
				if err != nil || kind != FrameBatch || !bytes.Equal(got, want) {
					t.Fatalf("frame %d: type %d, %d bytes, %v; want %d bytes", i, kind, len(got), err, len(want))
				}
			}
			if _, _, err := l.Next(); err == nil {
				t.Error("a frame after the last one")
			}
			reads, took = from.reads, time.Since(from.began)
		})
		return reads, took
	}
	plain, _ := read(t, false)
	deep, took := read(t, true)
	if deep*2 > plain {
		t.Errorf("%d reads where %d are needed without waiting", deep, plain)
	}
	// The stream alone takes until its last part has come.
	if all := time.Duration(len(stream)/(32<<10)+1) * 100 * time.Microsecond; took > all+gatherTime {
		t.Errorf("took %s for a stream of %s", took, all)
	}
}

// Who has fallen behind finds enough, and waits for nothing.
func TestNothingGathersWhereEnoughIsThere(t *testing.T) {
	stream, payloads := frames(t, maxBatch, maxBatch, 1, maxBatch, GatherBytes)
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		l := NewLink(bytes.NewReader(stream), nil)
		l.deep = true
		for i := range payloads {
			if _, _, err := l.Next(); err != nil {
				t.Fatalf("frame %d: %v", i, err)
			}
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("waited %s", took)
		}
	})
}

func TestCutOffWhileGathering(t *testing.T) {
	stream, _ := frames(t, maxBatch)
	for _, n := range []int{frameHeader, frameHeader + 1, GatherBytes, maxBatch} {
		synctest.Test(t, func(t *testing.T) {
			l := NewLink(&trickle{content: stream[:n], piece: 32 << 10, began: time.Now()}, nil)
			l.deep = true
			if _, _, err := l.Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("after %d bytes: %v", n, err)
			}
		})
	}
}

func TestDeepPipes(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	l := NewLink(r, nil)
	if l.Deepen(r); !l.deep {
		t.Error("a pipe that may hold more does not")
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	socket, theirs := os.NewFile(uintptr(fds[0]), "socket"), os.NewFile(uintptr(fds[1]), "theirs")
	defer socket.Close()
	defer theirs.Close()
	if l.Deepen(socket); l.deep {
		t.Error("a socket is taken for a deep pipe")
	}
}
