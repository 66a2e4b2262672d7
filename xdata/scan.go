package xdata

import (
	"cmp"
	"context"
	"errors"
	"io"
)

// scanner takes files apart and hashes them, one after the other.
type scanner struct {
	cut    *cutter
	guide  *guide // nil: none
	hash   hasher
	unkept *unkept // is told of attributes that are not kept; nil: nobody is
	buf    []byte
	chunks []chunk
}

func newScanner(version int64) (*scanner, error) {
	cut, err := newCutter(version)
	return &scanner{cut: cut, hash: newHasher(), buf: make([]byte, maxChunk)}, err
}

// content is a part of what a file holds, of whole chunks. It is valid until whoever gets it
// returns.
type content struct {
	data   []byte // nil: a hole
	chunks []chunk
	off    int64 // in the file
	size   int64
}

// scanFile reads an open file from end to end, hands what it holds to each, and returns its
// digest.
func (s *scanner) scanFile(ctx context.Context, in handle, e *entry, each func(p content) error) (sum digest, err error) {
	return s.scanAs(ctx, layoutOf(in, e, int64(s.cut.opt.MinSize)), each)
}

// scanAs is scanFile by where the holes are.
func (s *scanner) scanAs(ctx context.Context, where *layout, each func(p content) error) (sum digest, err error) {
	s.hash.reset()
	for off := int64(0); off < where.size; {
		start, end, err := where.next(off)
		if err == nil {
			err = s.scan(ctx, &extent{h: where.h, off: off, end: start}, func(data []byte, chunks []chunk) error {
				p := content{data: data, chunks: chunks, off: off, size: int64(len(data))}
				off += p.size
				return each(p)
			})
		}
		if err == nil && off < start {
			return sum, nil // it has become shorter
		}
		if err == nil {
			err = s.hole(ctx, off, end-start, each)
		}
		if err != nil {
			return sum, err
		}
		off = end
	}
	return s.hash.sum(), nil
}

// hole hands a hole to each.
func (s *scanner) hole(ctx context.Context, off, size int64, each func(p content) error) error {
	if size == 0 {
		return nil
	}
	p := content{off: off, size: size}
	for left := size; left > 0; left -= maxHole {
		p.chunks = append(p.chunks, holeOf(left))
	}
	return cmp.Or(hashZeros(ctx, s.hash, size), each(p))
}

// scan reads r to its end, hashes it, and hands it to each in pieces of whole chunks.
// What each gets is valid until it returns.
func (s *scanner) scan(ctx context.Context, r io.Reader, each func(data []byte, chunks []chunk) error) error {
	for held, end := 0, false; !end; {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		n, err := io.ReadFull(r, s.buf[held:])
		end = errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !end {
			return err
		}
		held += n
		used := s.split(s.buf[:held], end)
		s.hash.write(s.buf[:used])
		if used > 0 {
			if err := each(s.buf[:used], s.chunks); err != nil {
				return err
			}
		}
		held = copy(s.buf, s.buf[used:held])
	}
	return nil
}

// split cuts chunks off data, all of it at the end of the file, and returns how
// many bytes they take.
func (s *scanner) split(data []byte, end bool) (used int) {
	s.chunks = s.chunks[:0]
	for used < len(data) && (end || len(data)-used >= s.cut.opt.MaxSize) {
		c, ok := s.guide.expect(data[used:], s.cut.opt.MinSize, s.cut.opt.MaxSize)
		if !ok {
			c = chunkOf(data[used : used+s.cut.next(data[used:])])
			s.guide.found(c)
		}
		s.chunks = append(s.chunks, c)
		used += int(c.Size)
	}
	return used
}
