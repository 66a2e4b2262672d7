package xdata

import "context"

// read reads an open file from end to end, notes what it holds in e, and makes
// sure that it did not change meanwhile. each gets all that it holds, piece by piece.
func (s *scanner) readEntry(ctx context.Context, m *manifest, in handle, e *entry, each func(p content) error) error {
	e.first = len(m.Chunks)
	sum, err := s.scanFile(ctx, in, e, func(p content) error {
		m.Chunks = append(m.Chunks, p.chunks...)
		return each(p)
	})
	if err == nil {
		err = in.check(e)
	}
	if err == nil {
		e.Attr.Extra, err = readExtras(in, false, s.unkept.of(e.Path))
		m.extras += len(e.Attr.Extra)
	}
	if err == nil {
		err = checkExtras(m.extras)
	}
	e.Sum, e.count, e.known = sum, len(m.Chunks)-e.first, err == nil
	return err
}

// readFile opens and reads one file.
func readFile(ctx context.Context, m *manifest, scan *scanner, from *folders, e *entry, read counting) error {
	in, err := from.openEntry(e)
	if err != nil {
		return err
	}
	defer in.close()
	return scan.readEntry(ctx, m, in, e, func(p content) error {
		read.add(p.size)
		return nil
	})
}

// counting counts bytes; nil: nobody does.
type counting func(n int64)

func (c counting) add(n int64) {
	if c != nil {
		c(n)
	}
}
