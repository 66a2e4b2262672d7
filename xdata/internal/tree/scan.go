package tree

import (
	"cmp"
	"context"
	"errors"
	"io"

	"mxcluster/xdata/internal/chunk"
	"mxcluster/xdata/internal/manifest"
)

// Scanner cuts files into chunks and hashes them, one file at a time.
type Scanner struct {
	cut     *chunk.Cutter
	Guide   *chunk.Guide // nil: none
	hash    chunk.Hasher
	Dropped *Dropped // collects attributes that are not kept; nil: they are not collected
	buf     []byte
	chunks  []chunk.Chunk
}

// NewScanner returns a Scanner for a version of version bytes.
func NewScanner(version int64) (*Scanner, error) {
	cut, err := chunk.NewCutter(version)
	return &Scanner{cut: cut, hash: chunk.NewHasher(), buf: make([]byte, chunk.MaxSize)}, err
}

// Piece is a part of a file that consists of whole chunks. It is valid until the callback returns.
type Piece struct {
	Data   []byte // nil: a hole
	chunks []chunk.Chunk
	off    int64 // in the file
	size   int64
}

// scanFile reads an open file in full, calls each with its content, and returns its digest.
func (s *Scanner) scanFile(ctx context.Context, in Handle, e *manifest.Entry, each func(p Piece) error) (sum chunk.Digest, err error) {
	return s.scanAs(ctx, layoutOf(in, e, int64(s.cut.Opt.MinSize)), each)
}

// scanAs is scanFile with a given layout of holes.
func (s *Scanner) scanAs(ctx context.Context, where *layout, each func(p Piece) error) (sum chunk.Digest, err error) {
	s.hash.Reset()
	for off := int64(0); off < where.size; {
		start, end, err := where.next(off)
		if err == nil {
			err = s.scan(ctx, &extent{h: where.h, off: off, end: start}, func(data []byte, chunks []chunk.Chunk) error {
				p := Piece{Data: data, chunks: chunks, off: off, size: int64(len(data))}
				off += p.size
				return each(p)
			})
		}
		if err == nil && off < start {
			return sum, nil // the file has become shorter
		}
		if err == nil {
			err = s.hole(ctx, off, end-start, each)
		}
		if err != nil {
			return sum, err
		}
		off = end
	}
	return s.hash.Sum(), nil
}

// hole calls each with a hole.
func (s *Scanner) hole(ctx context.Context, off, size int64, each func(p Piece) error) error {
	if size == 0 {
		return nil
	}
	p := Piece{off: off, size: size}
	for left := size; left > 0; left -= chunk.MaxHole {
		p.chunks = append(p.chunks, chunk.Hole(left))
	}
	return cmp.Or(chunk.HashZeros(ctx, s.hash, size), each(p))
}

// scan reads r to its end, hashes it, and calls each with pieces of whole chunks, which are valid
// until it returns.
func (s *Scanner) scan(ctx context.Context, r io.Reader, each func(data []byte, chunks []chunk.Chunk) error) error {
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
		s.hash.Write(s.buf[:used])
		if used > 0 {
			if err := each(s.buf[:used], s.chunks); err != nil {
				return err
			}
		}
		held = copy(s.buf, s.buf[used:held])
	}
	return nil
}

// split cuts chunks off data and returns their bytes. end: data is the rest of the file.
func (s *Scanner) split(data []byte, end bool) (used int) {
	s.chunks = s.chunks[:0]
	for used < len(data) && (end || len(data)-used >= s.cut.Opt.MaxSize) {
		c, ok := s.Guide.Expect(data[used:], s.cut.Opt.MinSize, s.cut.Opt.MaxSize)
		if !ok {
			c = chunk.Of(data[used : used+s.cut.Next(data[used:])])
			s.Guide.Found(c)
		}
		s.chunks = append(s.chunks, c)
		used += int(c.Size)
	}
	return used
}
