package wire

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"syscall"

	"mxcluster/internal/fault"
	"mxcluster/xdata/internal/manifest"
)

// Link reads and writes frames. Reading is for one goroutine; writing is safe for concurrent use.
type Link struct {
	R          *bufio.Reader
	Activity   activity // between the connection and R
	payload    []byte   // of the last frame
	BytesRead  int64    // bytes read so far
	keepalives int      // in a row, with no other frame between them

	mu           sync.Mutex // for writing: keepalives go between other frames
	w            *bufio.Writer
	raw          syscall.RawConn // the connection below w, if it is a file or socket
	BytesWritten int64
}

// readAhead is the size of the read buffer. What it holds of a large payload is copied, so it is
// small.
const readAhead = 16 << 10

// NewLink returns a Link that reads frames from r and writes frames to w. Either may be nil if it
// is not used.
func NewLink(r io.Reader, w io.Writer) *Link {
	l := &Link{Activity: activity{r: r}, w: bufio.NewWriterSize(w, MaxPayload)}
	l.R = bufio.NewReaderSize(&l.Activity, readAhead)
	if c, ok := w.(syscall.Conn); ok {
		l.raw, _ = c.SyscallConn() // without it, content of files is copied
	}
	return l
}

// Next reads a frame. The payload is valid until the next call.
func (l *Link) Next() (FrameType, []byte, error) {
	t, size, err := l.readHeader()
	if err != nil {
		return 0, nil, err
	}
	if cap(l.payload) < size {
		l.payload = make([]byte, size)
	}
	l.payload = l.payload[:size]
	if err := l.ReadContent(l.payload); err != nil {
		return 0, nil, err
	}
	l.BytesRead += frameHeader
	return t, l.payload, nil
}

// readHeader reads the header of a frame. Keepalives are skipped.
func (l *Link) readHeader() (t FrameType, size int, err error) {
	var head [frameHeader]byte
	for {
		if _, err := io.ReadFull(l.R, head[:]); err != nil {
			return 0, 0, fmt.Errorf("read from the other side: %w", err)
		}
		t, n := FrameType(head[0]), binary.BigEndian.Uint32(head[1:])
		switch {
		case t < FrameGreeting || t > lastFrame:
			return 0, 0, l.badHeader(head[:], "unknown message %d", t)
		case n > t.limit():
			return 0, 0, l.badHeader(head[:], "a message of %d bytes", n)
		case t != frameAlive:
			l.keepalives = 0
			return t, int(n), nil
		}
		if l.keepalives++; l.keepalives > maxKeepalives {
			return 0, 0, onlyKeepalives()
		}
	}
}

// badHeader is the violation of an invalid header. Text in it, printed by another program of the
// login, is quoted.
func (l *Link) badHeader(head []byte, format string, args ...any) error {
	more, _ := l.R.Peek(min(l.R.Buffered(), quotedNoise))
	if text := firstLine(slices.Concat(head, more)); text != "" {
		return fault.Wrap(manifest.ErrProtocol, fault.Failed, noiseHint, "%s: something there prints %q into the data", fmt.Sprintf(format, args...), text)
	}
	return manifest.Violation(format, args...)
}

// ReadContent reads the next bytes of a payload after its header.
func (l *Link) ReadContent(p []byte) error {
	if _, err := io.ReadFull(l.R, p); err != nil {
		return fmt.Errorf("read from the other side: %w", noEOF(err))
	}
	l.BytesRead += int64(len(p))
	return nil
}

// noEOF turns an EOF within a message into an unexpected one.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Expect reads a frame of one type. A frame with a peerError is returned as that error.
func (l *Link) Expect(want FrameType) ([]byte, error) {
	_, payload, err := l.ExpectEither(want, want)
	return payload, err
}

// ExpectEither reads a frame of one of two types.
func (l *Link) ExpectEither(want, or FrameType) (FrameType, []byte, error) {
	l.Activity.Due.Store(uint32(want))
	t, payload, err := l.Next()
	switch {
	case errors.Is(err, io.EOF):
		return 0, nil, wentAway()
	case err != nil:
		return 0, nil, err
	case t == FrameError:
		return 0, nil, DecodeError(payload)
	case t != want && t != or:
		return 0, nil, manifest.Violation("message %d where %d is due", t, want)
	}
	return t, payload, nil
}

func wentAway() error {
	return fault.Wrap(io.ErrUnexpectedEOF, fault.Unreachable, "", "the other side went away")
}

// ExpectContent reads the header of a frame of content of size bytes. The content is read by
// ReadContent.
func (l *Link) ExpectContent(size int) error {
	t, n, err := l.readHeader()
	switch {
	case errors.Is(err, io.EOF):
		return wentAway()
	case err != nil:
		return err
	case t != FrameContent:
		return manifest.Violation("message %d where %d is due", t, FrameContent)
	case n != size:
		return manifest.Violation("%d bytes of content where %d are announced", n, size)
	}
	l.BytesRead += frameHeader
	return nil
}

// ExpectJSON reads a frame of one type and decodes it into v.
func (l *Link) ExpectJSON(want FrameType, v any) error {
	payload, err := l.Expect(want)
	if err != nil {
		return err
	}
	return DecodeJSON(payload, v)
}

// WriteError is an error of writing to the peer, as opposed to one of reading the content to send.
type WriteError struct{ error }

// Unwrap returns the connection's error.
func (e WriteError) Unwrap() error { return e.error }

// Put writes a frame to the buffer. Its payload may be in pieces.
func (l *Link) Put(t FrameType, payload ...[]byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	size := 0
	for _, p := range payload {
		size += len(p)
	}
	err := l.putHeader(t, size)
	for _, p := range payload {
		if err == nil {
			_, err = l.w.Write(p)
		}
	}
	return toWire(err)
}

// putHeader writes the header of a frame with a payload of size bytes.
func (l *Link) putHeader(t FrameType, size int) error {
	var head [frameHeader]byte
	head[0] = byte(t)
	binary.BigEndian.PutUint32(head[1:], uint32(size)) //nolint:gosec // see limit
	_, err := l.w.Write(head[:])
	l.BytesWritten += frameHeader + int64(size)
	return err
}

// PutSpans writes a frame of content that is in memory and in files. If a file has become too
// short, that is the error, and the frame is complete nevertheless.
func (l *Link) PutSpans(spans []Span) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	size := 0
	for _, p := range spans {
		size += p.Size()
	}
	err := toWire(l.putHeader(FrameContent, size))
	var gone error
	for _, p := range spans {
		switch {
		case err != nil:
		case p.File == nil:
			_, err = l.w.Write(p.Data)
			err = toWire(err)
		default:
			var bad error
			bad, err = l.putFile(p)
			gone = cmp.Or(gone, bad)
		}
	}
	return cmp.Or(err, gone)
}

// putFile writes a part of a file, with zero-copy where the system supports it: its pages in the
// page cache then go to the reader. Content missing at the end of the file is filled with zeros,
// and reported as gone.
func (l *Link) putFile(p Span) (gone, err error) {
	if err := l.w.Flush(); err != nil {
		return nil, toWire(err)
	}
	n := 0
	if l.raw != nil {
		n = sendFile(l.raw, p.File.Fd(), p.Off, p.N) // what it does not send, for whatever reason, is copied
	}
	buf := make([]byte, min(p.N-n, copyBytes))
	for n < p.N {
		buf = buf[:min(len(buf), p.N-n)]
		if gone == nil {
			_, gone = p.File.ReadAt(buf, p.Off+int64(n))
		}
		if gone != nil {
			clear(buf)
		}
		if _, err := l.w.Write(buf); err != nil {
			return nil, toWire(err)
		}
		n += len(buf)
	}
	return gone, nil
}

// copyBytes is how much of a file is copied at once.
const copyBytes = 64 << 10

// Send writes a frame of v as JSON, or an empty frame for nil, and flushes.
func (l *Link) Send(t FrameType, v any) error {
	var payload []byte
	if v != nil {
		var err error
		if payload, err = json.Marshal(v); err != nil {
			return err
		}
	}
	if err := l.Put(t, payload); err != nil {
		return err
	}
	return l.Flush()
}

// Flush writes the buffer to the connection.
func (l *Link) Flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return toWire(l.w.Flush())
}

func toWire(err error) error {
	if err == nil {
		return nil
	}
	return WriteError{fmt.Errorf("write to the other side: %w", err)}
}

// pipeBytes is the capacity of a pipe that frames come through, so that sshd and ssh buffer little
// themselves: their buffers are expensive to grow (decision 0035).
const pipeBytes = 32 << 20

// WidenPipe raises the capacity of a pipe to pipeBytes. It ignores other files.
func WidenPipe(f *os.File) { widenPipe(f, pipeBytes) }
