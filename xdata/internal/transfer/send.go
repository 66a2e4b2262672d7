// Package transfer copies a version from the folder of one server to that of another: a [Sender]
// sends what a [Receiver] lacks, which assembles the version from that and from its own [Sources].
package transfer

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"

	"github.com/zeebo/xxh3"

	"mxcluster/internal/fault"
	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/tree"
	"mxcluster/xdata/internal/wire"
)

// Sender sends a version to a receiver, which first lists the chunks that it has.
type Sender struct {
	*Snapshot
	Link    *wire.Link
	Head    wire.VersionHead // the announcement; what the manifest says is filled in
	out     *batches
	have    []uint64          // IDs of the receiver's chunks
	places  map[uint64]uint32 // index of each ID in have
	same    bool              // have is the guide's list
	next    uint64            // index behind the last chunk found in have
	Abort   func()            // ends a link that is blocked; may be nil
	files   tree.Opener
	in      *sharedFile // the open file; nil: none
	buf     []byte
	Counted tree.Counter
}

// Send sends the whole version: head, batches, end; and once more the files that the receiver asks
// for again.
func (s *Sender) Send(ctx context.Context) error {
	if s.Problem != nil {
		return s.Problem
	}
	s.Start(ctx)
	s.files, s.buf = tree.Opener{Root: s.Root}, make([]byte, chunk.MaxSize)
	defer s.files.Close()
	m := s.Manifest
	head := s.Head
	head.Mtime, head.Entries, head.Bytes, head.Content, head.Top = m.NewestMtime(), len(m.Entries), m.Bytes(), m.Content(), m.Top
	if g := s.Guide(); g != nil {
		head.Known = chunk.ListDigest(g.Chunks)
	}
	if err := s.Link.Send(wire.FrameHead, head); err != nil {
		return err
	}
	if err := s.readHave(); err != nil {
		return err
	}
	answer := s.await()
	err := s.all(ctx)
	if err == nil {
		err = s.Link.Send(wire.FrameEnd, wire.DigestMessage{Digest: m.Digest()})
	}
	if err != nil {
		return s.failed(err, answer)
	}
	first := <-answer
	if first.err != nil || len(first.want.Files) == 0 {
		return errors.Join(first.err, s.ReadAll(ctx))
	}
	if err := s.repeat(ctx, first.want.Files); err != nil {
		return err
	}
	var second wire.Want
	if err := s.Link.ExpectJSON(wire.FrameWant, &second); err != nil {
		return err
	}
	if len(second.Files) > 0 {
		return mismatch("files do not arrive as they are sent")
	}
	return s.ReadAll(ctx)
}

// readHave reads the list of the receiver's chunks.
func (s *Sender) readHave() error {
	for {
		kind, payload, err := s.Link.ExpectEither(wire.FrameHave, wire.FrameSame)
		switch {
		case err != nil:
			return err
		case kind == wire.FrameSame:
			if err := s.haveSame(payload); err != nil {
				return err
			}
			continue
		case len(payload) == 0:
			s.indexHave()
			return nil
		case len(payload)%8 != 0 || len(s.have)+len(payload)/8 > MaxHave:
			return manifest.Violation("a list of chunks of %d bytes after %d chunks", len(payload), len(s.have))
		}
		for ; len(payload) > 0; payload = payload[8:] {
			s.have = append(s.have, binary.LittleEndian.Uint64(payload))
		}
	}
}

// haveSame handles the receiver's answer that it has the list of chunks which the head names.
func (s *Sender) haveSame(payload []byte) error {
	g := s.Guide()
	if g == nil || len(payload) > 0 || len(s.have) > 0 {
		return manifest.Violation("a list of chunks that is none")
	}
	s.haveGuide(g)
	return nil
}

// haveGuide takes the guide's chunks as the receiver's list.
func (s *Sender) haveGuide(g *chunk.Guide) {
	s.have = make([]uint64, len(g.Chunks))
	for i, c := range g.Chunks {
		s.have[i] = c.ID
	}
	s.places, s.same = g.Places, true
}

// indexHave builds the lookup of the receiver's chunks, if that was not done.
func (s *Sender) indexHave() {
	if g := s.Guide(); s.same && len(s.have) == len(g.Chunks) {
		return
	}
	s.same = false
	// A map that grows takes twice as long.
	s.places = make(map[uint64]uint32, len(s.have))
	for i, id := range s.have {
		s.places[id] = uint32(i) //nolint:gosec // MaxHave at most
	}
}

// reply is the receiver's answer at the end of a version.
type reply struct {
	want wire.Want
	err  error
}

// await reads the receiver's answer in the background while the version is sent: a receiver that
// refuses sends an error and reads no further, so that the sending would block for ever. Abort ends
// it then.
func (s *Sender) await() <-chan reply {
	answer := make(chan reply, 1)
	go func() {
		var a reply
		if a.err = s.Link.ExpectJSON(wire.FrameWant, &a.want); a.err != nil && s.Abort != nil {
			s.Abort()
		}
		answer <- a
	}()
	return answer
}

// failed returns why sending failed. A receiver that gave up has sent its reason, which says more
// than "broken pipe".
func (s *Sender) failed(err error, answer <-chan reply) error {
	var lost wire.WriteError
	if s.Abort == nil {
		return err
	}
	if !errors.As(err, &lost) {
		_ = s.Link.Send(wire.FrameError, wire.EncodeError(err))
		s.Abort()
		<-answer
		return err
	}
	if a := <-answer; a.err != nil {
		return a.err
	}
	return err
}

// all sends all files and folders. What was prepared is used if the receiver has what was assumed.
func (s *Sender) all(ctx context.Context) (err error) {
	if a := s.prefetched; a != nil && a.fits(s) {
		return a.send(s.Link, s.Counted)
	}
	if err := s.DropPrefetch(); err != nil {
		return err
	}
	if s.out, err = newBatches(); err != nil {
		return err
	}
	s.out.send(s.Link)
	return s.entries(ctx)
}

// entries adds all files and folders to batches.
func (s *Sender) entries(ctx context.Context) (err error) {
	for i := range s.Manifest.Entries {
		e := &s.Manifest.Entries[i]
		if err = errors.Join(context.Cause(ctx), s.out.failed()); err != nil {
			break
		}
		s.out.entry(e)
		if e.Dir {
			s.out.extra(e.Attr.Xattrs)
			continue
		}
		if err = s.file(ctx, i); err != nil {
			break
		}
	}
	return cmp.Or(err, s.out.close())
}

// repeat sends files again, with all of their content.
func (s *Sender) repeat(ctx context.Context, places []int) (err error) {
	s.have, s.places = nil, nil
	if s.out, err = newBatches(); err != nil {
		return err
	}
	s.out.send(s.Link)
	for _, i := range places {
		if i < 0 || i >= len(s.Manifest.Entries) || s.Manifest.Entries[i].Dir {
			err = manifest.Violation("file %d asked for again", i)
			break
		}
		s.out.repeat(i)
		if err = s.file(ctx, i); err != nil {
			break
		}
	}
	if err := cmp.Or(err, s.out.close()); err != nil {
		return err
	}
	return s.Link.Send(wire.FrameEnd, wire.DigestMessage{Digest: s.Manifest.Digest()})
}

// file sends one file: references to chunks that the receiver has, and the content of the others.
func (s *Sender) file(ctx context.Context, place int) error {
	e := &s.Manifest.Entries[place]
	defer s.closeFile()
	off := int64(0)
	for n, whole := 0, false; !whole; {
		s.waitUntilSent()
		f, err := s.take(place, n)
		if err != nil {
			return changedIfGone(err, e)
		}
		n, whole = n+len(f.chunks), f.whole
		if f.data != nil {
			if err := s.sendRead(ctx, e, f, off); err != nil {
				return err
			}
			off += int64(len(f.data))
			continue
		}
		for chunks := f.chunks; len(chunks) > 0; {
			count, size := 1, int64(chunks[0].Size)
			if chunks[0].IsHole() {
				s.out.hole(size)
			} else if at, ok := s.find(chunks[0]); ok {
				s.out.copyChunk(at, size)
			} else if count, size, err = s.sendStored(ctx, e, chunks, off); err != nil {
				return err
			}
			chunks, off = chunks[count:], off+size
			s.Counted.Add(size)
		}
	}
	s.out.extra(e.Attr.Xattrs)
	s.out.end(e.Sum)
	return nil
}

// open opens the file that is being sent, if it is not open.
func (s *Sender) open(e *manifest.Entry) error {
	if s.in != nil {
		return nil
	}
	h, err := s.files.OpenEntry(e)
	if err != nil {
		return changedIfGone(err, e)
	}
	s.in = share(h, &s.out.files)
	return nil
}

// closeFile releases it.
func (s *Sender) closeFile() {
	if s.in != nil {
		s.in.Release()
		s.in = nil
	}
}

// waitUntilSent waits until sending begins, when no more may be prepared. The reading goes on
// without this sender meanwhile, so content that was at hand may be gone.
func (s *Sender) waitUntilSent() {
	if s.out.isOpen() || !s.out.full() {
		return
	}
	s.reading.unfollow()
	<-s.out.open
}

// changedIfGone turns the error for a vanished file into one for a changed file.
func changedIfGone(err error, e *manifest.Entry) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.Busy, "try again when nothing writes there", "%q is gone", e.Path)
	}
	return err
}

// sendRead sends chunks that were just read, with content at hand.
func (s *Sender) sendRead(ctx context.Context, e *manifest.Entry, f found, off int64) error {
	for len(f.chunks) > 0 {
		count, size := 1, int(f.chunks[0].Size)
		if at, ok := s.find(f.chunks[0]); ok {
			s.out.copyChunk(at, int64(size))
		} else {
			var err error
			if count, size, err = s.sendMissing(e, f.chunks, f.data, off); err != nil {
				return err
			}
		}
		f.chunks, f.data, off = f.chunks[count:], f.data[size:], off+int64(size)
		s.Counted.Add(int64(size))
	}
	return cmp.Or(context.Cause(ctx), s.out.failed())
}

// minZeroCopy is from how many bytes on content is sent from the file without a copy.
const minZeroCopy = 32 << 10

// sendMissing sends adjacent chunks of a file: the first, which the receiver lacks, and those
// behind it that it lacks as well and that are as compressible.
func (s *Sender) sendMissing(e *manifest.Entry, chunks []chunk.Chunk, data []byte, off int64) (count, size int, err error) {
	dense := isIncompressible(data[:chunks[0].Size])
	alike := func(c chunk.Chunk) bool {
		p := data[size:][:c.Size]
		return !s.has(c) && isIncompressible(p) == dense
	}
	for count == 0 || count < len(chunks) && alike(chunks[count]) {
		size += int(chunks[count].Size)
		count++
	}
	if dense && size >= minZeroCopy && s.out.files.Load() <= s.out.limit {
		if err := s.open(e); err != nil {
			return 0, 0, err
		}
		s.out.zeroCopy(s.in, off, chunks[:count], size)
		return count, size, nil
	}
	for _, c := range chunks[:count] {
		s.out.data(data[:c.Size], dense)
		data = data[c.Size:]
	}
	return count, size, nil
}

// sendStored sends chunks at an offset of a file which the receiver lacks: the first of chunks, and
// those that follow. They are read again, and their IDs verified.
func (s *Sender) sendStored(ctx context.Context, e *manifest.Entry, chunks []chunk.Chunk, off int64) (count int, size int64, err error) {
	if err := cmp.Or(context.Cause(ctx), s.out.failed(), s.open(e)); err != nil {
		return 0, 0, err
	}
	for count == 0 || count < len(chunks) && size+int64(chunks[count].Size) <= chunk.MaxSize && !s.has(chunks[count]) && !chunks[count].IsHole() {
		size += int64(chunks[count].Size)
		count++
	}
	data := s.buf[:size]
	if _, err := s.in.Pread(data, off); err != nil {
		return 0, 0, err
	}
	rest := data
	for _, c := range chunks[:count] {
		if xxh3.Hash(rest[:c.Size]) != c.ID {
			s.stopReading()
			if err := s.in.CheckUnchanged(e); err != nil {
				return 0, 0, err
			}
			return 0, 0, s.reportDamage([]string{manifest.DoesNotMatch(e.Path)})
		}
		rest = rest[c.Size:]
	}
	for chunks = chunks[:count]; len(chunks) > 0; {
		n, bytes, err := s.sendMissing(e, chunks, data, off)
		if err != nil {
			return 0, 0, err
		}
		chunks, data, off = chunks[n:], data[bytes:], off+int64(bytes)
	}
	return count, size, nil
}

// has tells whether the receiver has a chunk.
func (s *Sender) has(c chunk.Chunk) bool {
	_, ok := s.places[c.ID]
	return ok
}

// find returns the index of a chunk in the receiver's list. The successor of the last one found is
// tried first, which makes long runs.
func (s *Sender) find(c chunk.Chunk) (uint64, bool) {
	if s.next < uint64(len(s.have)) && s.have[s.next] == c.ID {
		s.next++
		return s.next - 1, true
	}
	at, ok := s.places[c.ID]
	if ok {
		s.next = uint64(at) + 1
	}
	return uint64(at), ok
}
