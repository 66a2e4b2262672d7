package bandwidth

import (
	"bytes"
	"compress/zlib"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// slow is a stream whose bytes take time on a clock of its own.
type slow struct {
	io.Reader
	io.Writer
	now      time.Time
	up, down int64 // bytes a second
}

func (s *slow) clock() time.Time { return s.now }

func (s *slow) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	s.now = s.now.Add(time.Duration(int64(n) * int64(time.Second) / s.down))
	return n, err
}

func (s *slow) Write(p []byte) (int, error) {
	n, err := s.Writer.Write(p)
	s.now = s.now.Add(time.Duration(int64(n) * int64(time.Second) / s.up))
	return n, err
}

// served returns a stream to where it is measured.
func served(t *testing.T, up, down int64) *slow {
	t.Helper()
	theirs, out := io.Pipe()
	in, ours := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := Serve(theirs, ours)
		ours.CloseWithError(err)
		ended <- err
	}()
	t.Cleanup(func() {
		out.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return &slow{Reader: in, Writer: out, up: up, down: down}
}

// Each way is measured by itself, however much faster it is than the other.
func TestEachWayIsMeasured(t *testing.T) {
	t.Parallel()
	for _, want := range []Rates{{10e6, 1e6}, {20e3, 100e6}, {1e9, 1e9}} {
		s := served(t, want.Up, want.Down)
		got, err := Measure(s, s.clock)
		if err != nil {
			t.Fatal(err)
		}
		near := func(a, b int64) bool { return a > b*97/100 && a < b*103/100 }
		if !near(got.Up, want.Up) || !near(got.Down, want.Down) {
			t.Errorf("measured %+v, want %+v", got, want)
		}
	}
}

// Who asks for more than a measurement takes, or for nothing that is known, is shut out.
func TestServeIsBounded(t *testing.T) {
	t.Parallel()
	for _, asked := range []string{
		"down 67108865\n", "down -1\n", "up 99999999999999999999\n", "shell 1\n", "up\n", strings.Repeat("x", 1<<20), "down 1",
		strings.Repeat("down 67108864\n", 5),
	} {
		var out counter
		if err := Serve(strings.NewReader(asked), &out); err == nil || out > maxBytes {
			t.Errorf("%.30q: %v after %d bytes", asked, err, out)
		}
	}
	if err := Serve(strings.NewReader(""), io.Discard); err != nil {
		t.Errorf("asked nothing: %v", err)
	}
	if err := Serve(strings.NewReader("up 9\n123"), io.Discard); !errors.Is(err, io.EOF) {
		t.Errorf("cut off: %v", err)
	}
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// Who answers with something else is not measured.
func TestMeasureBelievesNobody(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"", "no\n", "\n", strings.Repeat("\n", 1000)} {
		s := &slow{Reader: strings.NewReader(answer), Writer: io.Discard, up: 1e4, down: 1e4}
		if r, err := Measure(s, s.clock); err == nil {
			t.Errorf("%.9q: %+v", answer, r)
		}
	}
}

// What is sent is not made smaller on its way.
func TestBytesDoNotCompress(t *testing.T) {
	t.Parallel()
	var sent, packed bytes.Buffer
	if err := send(&sent, 1<<20); err != nil || sent.Len() != 1<<20 {
		t.Fatal(sent.Len(), err)
	}
	z := zlib.NewWriter(&packed)
	if _, err := z.Write(sent.Bytes()); err != nil || z.Close() != nil || packed.Len() < sent.Len() {
		t.Errorf("%d bytes of %d, %v", packed.Len(), sent.Len(), err)
	}
}
