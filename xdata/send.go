package xdata

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"github.com/zeebo/xxh3"

	"mxcluster/internal/fault"
)

// sender sends a version to a receiver, which says first what it has.
type sender struct {
	*snapshot
	link    *link
	out     *batches
	have    []uint64          // IDs of the receiver's chunks
	places  map[uint64]uint32 // in have
	next    uint64            // the place after that of the last chunk found
	abort   func()            // ends a link that waits; may be nil
	counted counting
}

// send writes the whole version: head, batches, end; and files again that the
// receiver did not get as they are.
func (s *sender) send(ctx context.Context) error {
	if s.problem != nil {
		return s.problem
	}
	m := s.manifest
	head := versionHead{Name: s.version.Name, Mtime: m.newestMtime(), Entries: len(m.Entries), Bytes: m.bytes(), Top: m.Top}
	if err := s.link.send(frameHead, head); err != nil {
		return err
	}
	if err := s.readHave(); err != nil {
		return err
	}
	answer := s.await()
	err := s.entries(ctx)
	if err == nil {
		err = s.link.send(frameEnd, digestMessage{Digest: m.digest()})
	}
	if err != nil {
		return s.failed(err, answer)
	}
	first := <-answer
	if first.err != nil || len(first.want.Files) == 0 {
		return errors.Join(first.err, s.save())
	}
	if err := s.repeat(ctx, first.want.Files); err != nil {
		return err
	}
	var second want
	if err := s.link.expectJSON(frameWant, &second); err != nil {
		return err
	}
	if len(second.Files) > 0 {
		return mismatch("files do not arrive as they are sent")
	}
	return s.save()
}

// readHave reads the list of the receiver's chunks.
func (s *sender) readHave() error {
	s.places = map[uint64]uint32{}
	for {
		payload, err := s.link.expect(frameHave)
		if err != nil {
			return err
		}
		if len(payload) == 0 {
			return nil
		}
		if len(payload)%8 != 0 || len(s.have)+len(payload)/8 > maxHave {
			return violation("a list of chunks of %d bytes after %d chunks", len(payload), len(s.have))
		}
		for ; len(payload) > 0; payload = payload[8:] {
			id := binary.LittleEndian.Uint64(payload)
			if _, there := s.places[id]; !there {
				s.places[id] = uint32(len(s.have)) //nolint:gosec // maxHave at most
			}
			s.have = append(s.have, id)
		}
	}
}

// reply is what the receiver says at the end of a version.
type reply struct {
	want want
	err  error
}

// await reads the receiver's answer while the version is still being sent: a
// receiver that refuses it says so and reads no further, and sending to it
// would then never end. abort ends it.
func (s *sender) await() <-chan reply {
	answer := make(chan reply, 1)
	go func() {
		var a reply
		if a.err = s.link.expectJSON(frameWant, &a.want); a.err != nil && s.abort != nil {
			s.abort()
		}
		answer <- a
	}()
	return answer
}

// failed finds out why sending failed. A receiver that gave up has said why,
// and that is worth more than "broken pipe".
func (s *sender) failed(err error, answer <-chan reply) error {
	var wire wireError
	if s.abort == nil {
		return err
	}
	if !errors.As(err, &wire) {
		_ = s.link.send(frameError, encodeError(err))
		s.abort()
		<-answer
		return err
	}
	if a := <-answer; a.err != nil {
		return a.err
	}
	return err
}

// entries sends all files and folders.
func (s *sender) entries(ctx context.Context) (err error) {
	if s.out, err = newBatches(s.link); err != nil {
		return err
	}
	for i := range s.manifest.Entries {
		e := &s.manifest.Entries[i]
		if err = errors.Join(context.Cause(ctx), s.out.failed()); err != nil {
			break
		}
		s.out.entry(e)
		if e.Dir {
			continue
		}
		if err = s.file(ctx, e); err != nil {
			break
		}
		s.out.end(e.Sum)
	}
	return first(err, s.out.close())
}

// first returns the first error, by which others came about.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// repeat sends files once more, all of their content.
func (s *sender) repeat(ctx context.Context, places []int) (err error) {
	s.have, s.places = nil, nil
	if s.out, err = newBatches(s.link); err != nil {
		return err
	}
	for _, i := range places {
		if i < 0 || i >= len(s.manifest.Entries) || s.manifest.Entries[i].Dir {
			err = violation("file %d asked for again", i)
			break
		}
		s.out.again(i)
		e := &s.manifest.Entries[i]
		if err = s.file(ctx, e); err != nil {
			break
		}
		s.out.end(e.Sum)
	}
	if err := first(err, s.out.close()); err != nil {
		return err
	}
	return s.link.send(frameEnd, digestMessage{Digest: s.manifest.digest()})
}

// file sends one file. One whose content is known is read only where the
// receiver lacks it.
func (s *sender) file(ctx context.Context, e *entry) error {
	if !e.known {
		from := len(s.manifest.Chunks)
		return s.read(ctx, e, func(data []byte, _ int64) error {
			for _, c := range s.manifest.Chunks[from:] {
				s.chunk(c, data[:c.Size])
				data = data[c.Size:]
			}
			from = len(s.manifest.Chunks)
			return s.out.failed()
		})
	}
	var in handle
	off := int64(0)
	for _, c := range s.manifest.chunksOf(e) {
		if place, ok := s.find(c); ok {
			s.out.have(place)
		} else {
			if in.name == "" {
				h, err := s.from.openEntry(e)
				if err != nil {
					return sent(err, e)
				}
				in = h
				defer in.close()
			}
			if err := s.piece(ctx, in, e, c, off); err != nil {
				return err
			}
		}
		off += int64(c.Size)
		s.counted.add(int64(c.Size))
	}
	return nil
}

// sent says of a file that is gone that it changed.
func sent(err error, e *entry) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.Busy, "try again when nothing writes there", "%q is gone", e.Path)
	}
	return err
}

// piece sends a chunk from the file, and makes sure that it still is
// what it was when the file was read.
func (s *sender) piece(ctx context.Context, in handle, e *entry, c chunk, off int64) error {
	if err := first(context.Cause(ctx), s.out.failed()); err != nil {
		return err
	}
	data := s.scan.buf[:c.Size]
	if _, err := in.pread(data, off); err != nil {
		return err
	}
	if xxh3.Hash(data) != c.ID {
		return first(in.check(e), s.hold([]string{doesNotMatch(e.Path)}), fmt.Errorf("%s", doesNotMatch(e.Path)))
	}
	s.out.data(data)
	return nil
}

// chunk sends a chunk that was just read.
func (s *sender) chunk(c chunk, data []byte) {
	if place, ok := s.find(c); ok {
		s.out.have(place)
	} else {
		s.out.data(data)
	}
	s.counted.add(int64(len(data)))
}

// find tells where the receiver has a chunk. What follows on the last one found
// is looked at first: that makes long runs.
func (s *sender) find(c chunk) (uint64, bool) {
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
