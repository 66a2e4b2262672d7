package xdata

import (
	"cmp"
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// copier copies a folder into an empty one.
type copier struct {
	from, to folders
	scan     *scanner
	copied   counting
	made     *manifest // the copy, as it was read
	seen     []entry   // what was copied by round, as it was seen: one for each entry of made
}

// newCopier returns one for so many bytes. The caller closes it.
func newCopier(from, to *os.Root, bytes int64, copied counting) (*copier, error) {
	u := &unkept{}
	scan, err := newScanner(bytes)
	if err != nil {
		return nil, err
	}
	scan.unkept = u
	return &copier{from: folders{root: from, unkept: u}, to: folders{root: to, unkept: u}, scan: scan, copied: copied, made: &manifest{}}, nil
}

// top notes what is kept of the folder itself.
func (c *copier) top(top attributes) error {
	e := entry{Path: ".", Attr: top}
	err := c.from.extras(&e)
	c.made.Top = e.Attr
	return err
}

func (c *copier) close() {
	c.from.close()
	c.to.close()
}

// copyTree copies everything below from into the empty folder to, and returns
// the manifest of the copy, and what was not kept. copied, which may be nil, is told of
// bytes as they are copied.
func copyTree(ctx context.Context, from, to *os.Root, copied counting) (*manifest, *unkept, error) {
	source, t, err := survey(from)
	if err != nil {
		return nil, nil, err
	}
	c, err := newCopier(from, to, t.bytes, copied)
	if err != nil {
		return nil, nil, err
	}
	defer c.close()
	if err := c.top(source.Top); err != nil {
		return nil, nil, err
	}
	for i := range source.Entries {
		if err := c.entry(ctx, &source.Entries[i]); err != nil {
			return nil, nil, err
		}
	}
	return c.made, c.to.unkept, dressFolders(&c.to, c.made)
}

// entry copies a file, or makes a folder.
func (c *copier) entry(ctx context.Context, e *entry) error {
	if err := cmp.Or(context.Cause(ctx), e.checkKind()); err != nil {
		return err
	}
	made := *e
	var err error
	if e.Dir {
		err = cmp.Or(c.from.extras(&made), c.to.root.Mkdir(e.Path, 0o700))
		c.made.extras += len(made.Attr.Extra)
	} else {
		err = c.file(ctx, &made)
	}
	if err != nil {
		return err
	}
	c.made.Entries = append(c.made.Entries, made)
	return cmp.Or(checkChunks(len(c.made.Chunks)), checkExtras(c.made.extras))
}

// file copies one file, and makes sure that it did not change meanwhile. What e
// says of the file itself is that of the copy afterwards.
func (c *copier) file(ctx context.Context, e *entry) (err error) {
	in, err := c.from.openEntry(e)
	if err != nil {
		return err
	}
	defer in.close()
	out, err := c.to.open(e.Path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, e.Attr.Mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.close()) }()
	length := int64(0)
	err = c.scan.readEntry(ctx, c.made, in, e, func(p content) error {
		c.copied.add(p.size)
		if p.data == nil {
			return nil
		}
		length = p.off + p.size
		return out.pwrite(p.data, p.off)
	})
	if err == nil && length < e.Size {
		err = out.lengthen(e.Size)
	}
	if err != nil {
		return err
	}
	now, err := c.to.dress(out, &e.Attr)
	if err != nil {
		return err
	}
	now.Attr.Extra = e.Attr.Extra
	e.Attr = now.Attr
	e.place(&now)
	return nil
}
