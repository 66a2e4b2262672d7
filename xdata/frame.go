package xdata

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
	"time"

	"mxcluster/internal/fault"
)

// A frame is one message of the transfer protocol: a type, the payload's length
// as four bytes, the highest first, and the payload. Numbers of types are never
// used for another meaning; what a peer may send is bounded here, before any
// memory is set aside for it.
type frameType uint8

const (
	frameGreeting frameType = 1  // server: greeting
	frameClock    frameType = 2  // client: nothing; server: clock
	frameOpen     frameType = 3  // client: openRequest; server: summary
	frameDigest   frameType = 4  // client: nothing; server: digest of its newest version
	framePull     frameType = 5  // client: nothing; a version follows
	framePush     frameType = 6  // client: nothing; a version follows
	frameHead     frameType = 7  // sender: versionHead
	frameHave     frameType = 8  // receiver: IDs of chunks that it has; an empty one ends them
	frameBatch    frameType = 9  // sender: batch
	frameEnd      frameType = 10 // sender: digest of all of it
	frameWant     frameType = 11 // receiver: the files that it needs again; none when all is well
	frameDone     frameType = 12 // server: the version is in place, or goodbye
	frameError    frameType = 13 // either: peerError; nothing follows
	frameBye      frameType = 14 // client: done
	frameSame     frameType = 15 // receiver: what it has begins with the list that versionHead names
	frameContent  frameType = 16 // sender: the content beside the batch before
	frameAlive    frameType = 17 // either, between other frames: a sign of life
	frameConflict frameType = 18 // client: its newest version, which and the server's do not follow each other; server: done
	frameKeep     frameType = 19 // client: the same; the server makes a version of its own that follows both: summary
	lastFrame               = frameKeep
)

const (
	maxControl  = 64 << 10  // bytes of a message's payload
	maxPayload  = 256 << 10 // bytes of IDs in a frame, and of a batch's steps
	maxBatch    = maxChunk + maxPayload + maxExtras + 1<<10
	maxHead     = maxControl + 2*maxExtras // as text
	frameHeader = 5
)

// limit returns how long a payload of the type may be.
func (t frameType) limit() uint32 {
	switch t {
	case frameBatch:
		return maxBatch
	case frameHead:
		return maxHead
	case frameHave:
		return maxPayload
	case frameContent:
		return maxChunk
	case frameAlive:
		return 0
	}
	return maxControl
}

// pipeBytes is what a pipe that frames come through may hold of them, so that sshd and
// ssh keep little of it themselves: their buffer is dear to let grow (decision 0035).
const pipeBytes = 32 << 20

// sshd and ssh hand over what they receive by 32 KiB at most. To be woken for each of them
// is dear (decision 0039), so where a pipe holds it meanwhile, and much of a frame is still
// to come, more is let gather. Who is behind finds enough there, and waits for nothing.
const (
	gatherBytes = 512 << 10
	gatherTime  = time.Millisecond
)

// link reads and writes frames.
type link struct {
	r       *bufio.Reader
	ear     ear    // below r
	deep    bool   // r is a pipe in which more can gather than is read at once
	payload []byte // of the frame read last
	read    int64  // bytes read so far
	signs   int    // of life in a row, with nothing between them

	mu      sync.Mutex // of what is written: signs of life go between other frames
	w       *bufio.Writer
	raw     syscall.RawConn // below w, if it is a file or socket
	written int64
}

// readAhead is how much is read at once where little is asked for, as with the head of a
// frame. What follows of the frame is copied then, so it is little.
const readAhead = 16 << 10

func newLink(r io.Reader, w io.Writer) *link {
	l := &link{ear: ear{r: r}, w: bufio.NewWriterSize(w, maxPayload)}
	l.r = bufio.NewReaderSize(&l.ear, readAhead)
	if c, ok := w.(syscall.Conn); ok {
		l.raw, _ = c.SyscallConn() // without, what is in files is copied
	}
	return l
}

// deepen lets the pipe that the frames come through hold more, if it is one.
func (l *link) deepen(f *os.File) { l.deep = widenPipe(f, pipeBytes) >= 2*gatherBytes }

// next reads a frame. The payload is valid until the next call.
func (l *link) next() (frameType, []byte, error) {
	t, size, err := l.head()
	if err != nil {
		return 0, nil, err
	}
	if cap(l.payload) < size {
		l.payload = make([]byte, size)
	}
	l.payload = l.payload[:size]
	if err := l.content(l.payload); err != nil {
		return 0, nil, err
	}
	l.read += frameHeader
	return t, l.payload, nil
}

// head reads the head of a frame. Signs of life are passed over.
func (l *link) head() (t frameType, size int, err error) {
	var head [frameHeader]byte
	for {
		if _, err := io.ReadFull(l.r, head[:]); err != nil {
			return 0, 0, fmt.Errorf("read from the other side: %w", err)
		}
		t, n := frameType(head[0]), binary.BigEndian.Uint32(head[1:])
		switch {
		case t < frameGreeting || t > lastFrame:
			return 0, 0, l.strange(head[:], "unknown message %d", t)
		case n > t.limit():
			return 0, 0, l.strange(head[:], "a message of %d bytes", n)
		case t != frameAlive:
			l.signs = 0
			return t, int(n), nil
		}
		if l.signs++; l.signs > maxSigns {
			return 0, 0, stuck()
		}
	}
}

// strange is the violation of a head that is none. Text there is what a program that
// shares the login's output printed, and is shown.
func (l *link) strange(head []byte, format string, args ...any) error {
	more, _ := l.r.Peek(min(l.r.Buffered(), quotedNoise))
	if text := firstLine(slices.Concat(head, more)); text != "" {
		return fault.Wrap(errProtocol, fault.Failed, noiseHint, "%s: something there prints %q into the data", fmt.Sprintf(format, args...), text)
	}
	return violation(format, args...)
}

// content reads the next bytes of the payload of a frame whose head was read.
func (l *link) content(p []byte) error {
	if err := l.fill(p); err != nil {
		return fmt.Errorf("read from the other side: %w", noEOF(err))
	}
	l.read += int64(len(p))
	return nil
}

// fill reads all of p.
func (l *link) fill(p []byte) error {
	for len(p) > 0 {
		buffered := l.r.Buffered() > 0
		n, err := l.r.Read(p)
		if p = p[n:]; len(p) > 0 && err != nil {
			return err
		}
		if l.deep && !buffered && n < gatherBytes && len(p) >= gatherBytes {
			<-time.After(gatherTime)
		}
	}
	return nil
}

// noEOF makes an end in mid-message an unexpected one.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// expect reads a frame that must be of one type. A peerError is returned as
// the error that it is.
func (l *link) expect(want frameType) ([]byte, error) {
	_, payload, err := l.expectEither(want, want)
	return payload, err
}

// expectEither reads a frame that must be of one of two types.
func (l *link) expectEither(want, or frameType) (frameType, []byte, error) {
	l.ear.due.Store(uint32(want))
	t, payload, err := l.next()
	switch {
	case errors.Is(err, io.EOF):
		return 0, nil, wentAway()
	case err != nil:
		return 0, nil, err
	case t == frameError:
		return 0, nil, decodeError(payload)
	case t != want && t != or:
		return 0, nil, violation("message %d where %d is due", t, want)
	}
	return t, payload, nil
}

func wentAway() error {
	return fault.Wrap(io.ErrUnexpectedEOF, fault.Unreachable, "", "the other side went away")
}

// expectContent reads the head of a frame of content, which must be of a size. What it
// holds is still to be read.
func (l *link) expectContent(size int) error {
	t, n, err := l.head()
	switch {
	case errors.Is(err, io.EOF):
		return wentAway()
	case err != nil:
		return err
	case t != frameContent:
		return violation("message %d where %d is due", t, frameContent)
	case n != size:
		return violation("%d bytes of content where %d are announced", n, size)
	}
	l.read += frameHeader
	return nil
}

// expectJSON reads a frame of one type into v.
func (l *link) expectJSON(want frameType, v any) error {
	payload, err := l.expect(want)
	if err != nil {
		return err
	}
	return decodeJSON(payload, v)
}

// wireError is the error of a write to the peer, as opposed to that of reading
// what was to be sent.
type wireError struct{ error }

func (e wireError) Unwrap() error { return e.error }

// put writes a frame into the buffer. Its payload may be in pieces.
func (l *link) put(t frameType, payload ...[]byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	size := 0
	for _, p := range payload {
		size += len(p)
	}
	err := l.putHead(t, size)
	for _, p := range payload {
		if err == nil {
			_, err = l.w.Write(p)
		}
	}
	return toWire(err)
}

// putHead writes the head of a frame whose payload has a size.
func (l *link) putHead(t frameType, size int) error {
	var head [frameHeader]byte
	head[0] = byte(t)
	binary.BigEndian.PutUint32(head[1:], uint32(size)) //nolint:gosec // see limit
	_, err := l.w.Write(head[:])
	l.written += frameHeader + int64(size)
	return err
}

// putSpans writes a frame of content that lies in memory and in files. A file that does not
// have it any more is an error; the frame is complete all the same.
func (l *link) putSpans(spans []span) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	size := 0
	for _, p := range spans {
		size += p.size()
	}
	err := toWire(l.putHead(frameContent, size))
	var gone error
	for _, p := range spans {
		switch {
		case err != nil:
		case p.file == nil:
			_, err = l.w.Write(p.data)
			err = toWire(err)
		default:
			var bad error
			bad, err = l.putFile(p)
			gone = cmp.Or(gone, bad)
		}
	}
	return cmp.Or(err, gone)
}

// putFile writes a part of a file, without a copy where the system can: its pages in memory
// then go to the reader. What the file does not have is filled up with zeros; gone says so.
func (l *link) putFile(p span) (gone, err error) {
	if err := l.w.Flush(); err != nil {
		return nil, toWire(err)
	}
	n := 0
	if l.raw != nil {
		n = sendFile(l.raw, p.file.Fd(), p.off, p.n) // what it does not send, for whatever reason, is copied
	}
	buf := make([]byte, min(p.n-n, copyBytes))
	for n < p.n {
		buf = buf[:min(len(buf), p.n-n)]
		if gone == nil {
			_, gone = p.file.ReadAt(buf, p.off+int64(n))
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

// send writes a frame of v as JSON, or an empty one for nil, and flushes.
func (l *link) send(t frameType, v any) error {
	var payload []byte
	if v != nil {
		var err error
		if payload, err = json.Marshal(v); err != nil {
			return err
		}
	}
	if err := l.put(t, payload); err != nil {
		return err
	}
	return l.flush()
}

// flush has what was put written.
func (l *link) flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return toWire(l.w.Flush())
}

func toWire(err error) error {
	if err == nil {
		return nil
	}
	return wireError{fmt.Errorf("write to the other side: %w", err)}
}
