package tree

import (
	"context"

	"mxcluster/xdata/internal/manifest"
)

// ReadEntry reads an open file in full, fills digest and chunks in, and checks that the file did
// not change meanwhile. each is called with the content, piece by piece.
func (s *Scanner) ReadEntry(ctx context.Context, m *manifest.Manifest, in Handle, e *manifest.Entry, each func(p Piece) error) error {
	e.First = len(m.Chunks)
	sum, err := s.scanFile(ctx, in, e, func(p Piece) error {
		m.Chunks = append(m.Chunks, p.chunks...)
		return each(p)
	})
	if err == nil {
		err = in.CheckUnchanged(e)
	}
	if err == nil {
		e.Attr.Xattrs, err = ReadXattrs(in, false, s.Dropped.of(e.Path))
		m.XattrBytes += len(e.Attr.Xattrs)
	}
	if err == nil {
		err = manifest.CheckXattrs(m.XattrBytes)
	}
	e.Sum, e.Count, e.Known = sum, len(m.Chunks)-e.First, err == nil
	return err
}

// ReadFile opens and reads one file.
func ReadFile(ctx context.Context, m *manifest.Manifest, scan *Scanner, from *Opener, e *manifest.Entry, read Counter) error {
	in, err := from.OpenEntry(e)
	if err != nil {
		return err
	}
	defer in.Close()
	return scan.ReadEntry(ctx, m, in, e, func(p Piece) error {
		read.Add(p.size)
		return nil
	})
}

// Counter receives numbers of bytes; nil: nobody does.
type Counter func(n int64)

// Add reports n more bytes.
func (c Counter) Add(n int64) {
	if c != nil {
		c(n)
	}
}
