package tree

import (
	"cmp"
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"mxcluster/xdata/internal/manifest"
)

// copier copies a folder into an empty one.
type copier struct {
	from, to Opener
	scan     *Scanner
	copied   Counter
	made     *manifest.Manifest // manifest of the copy
	seen     []manifest.Entry   // entries of made as they were in the source (by round)
}

// newCopier returns a copier for bytes bytes. The caller closes it.
func newCopier(from, to *os.Root, bytes int64, copied Counter) (*copier, error) {
	u := &Dropped{}
	scan, err := NewScanner(bytes)
	if err != nil {
		return nil, err
	}
	scan.Dropped = u
	return &copier{from: Opener{Root: from, Dropped: u}, to: Opener{Root: to, Dropped: u}, scan: scan, copied: copied, made: &manifest.Manifest{}}, nil
}

// top copies the attributes of the folder itself.
func (c *copier) top(top manifest.Attributes) error {
	e := manifest.Entry{Path: ".", Attr: top}
	err := c.from.ReadXattrs(&e)
	c.made.Top = e.Attr
	return err
}

func (c *copier) close() {
	c.from.Close()
	c.to.Close()
}

// Copy copies everything below from into the empty folder to. It returns the manifest of the copy,
// and the attributes that could not be kept. copied receives the number of bytes; may be nil.
func Copy(ctx context.Context, from, to *os.Root, copied Counter) (*manifest.Manifest, *Dropped, error) {
	return copyBy(from, to, copied, Survey, func(c *copier, source *manifest.Manifest) error { return c.all(ctx, source) })
}

// copyBy copies what survey lists, by the function run.
func copyBy(from, to *os.Root, copied Counter, survey func(*os.Root) (*manifest.Manifest, Totals, error), run func(c *copier, source *manifest.Manifest) error) (*manifest.Manifest, *Dropped, error) {
	source, t, err := survey(from)
	if err != nil {
		return nil, nil, err
	}
	c, err := newCopier(from, to, t.Bytes, copied)
	if err != nil {
		return nil, nil, err
	}
	defer c.close()
	if err := run(c, source); err != nil {
		return nil, nil, err
	}
	return c.made, c.to.Dropped, SetAllDirAttributes(&c.to, c.made)
}

// all copies a folder that does not change meanwhile.
func (c *copier) all(ctx context.Context, source *manifest.Manifest) error {
	if err := c.top(source.Top); err != nil {
		return err
	}
	for i := range source.Entries {
		if err := c.entry(ctx, &source.Entries[i]); err != nil {
			return err
		}
	}
	return nil
}

// entry copies a file, or creates a folder.
func (c *copier) entry(ctx context.Context, e *manifest.Entry) error {
	if err := cmp.Or(context.Cause(ctx), e.CheckKind()); err != nil {
		return err
	}
	made := *e
	var err error
	if e.Dir {
		err = cmp.Or(c.from.ReadXattrs(&made), c.to.Root.Mkdir(e.Path, 0o700))
		c.made.XattrBytes += len(made.Attr.Xattrs)
	} else {
		err = c.file(ctx, &made)
	}
	if err != nil {
		return err
	}
	c.made.Entries = append(c.made.Entries, made)
	return cmp.Or(manifest.CheckChunks(len(c.made.Chunks)), manifest.CheckXattrs(c.made.XattrBytes))
}

// file copies one file, and checks that it did not change meanwhile. e then has the identity of the
// copy.
func (c *copier) file(ctx context.Context, e *manifest.Entry) (err error) {
	in, err := c.from.OpenEntry(e)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := c.to.Open(e.Path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, e.Attr.Mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	length := int64(0)
	err = c.scan.ReadEntry(ctx, c.made, in, e, func(p Piece) error {
		c.copied.Add(p.size)
		if p.Data == nil {
			return nil
		}
		length = p.off + p.size
		return out.Pwrite(p.Data, p.off)
	})
	if err == nil && length < e.Size {
		err = out.Truncate(e.Size)
	}
	if err != nil {
		return err
	}
	now, err := c.to.SetAttributes(out, &e.Attr)
	if err != nil {
		return err
	}
	now.Attr.Xattrs = e.Attr.Xattrs
	e.Attr = now.Attr
	e.SetPlace(&now)
	return nil
}
