// Package tree works on the folder of a data version: it lists, reads, hashes, copies and writes
// its files, sets their attributes, and makes them durable. It does not follow symbolic links.
package tree

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
	"mxcluster/xdata/internal/manifest"
)

// Opener opens files below a root. It keeps the last folder open: names come in order, and a
// version may have tens of thousands of files.
type Opener struct {
	Root    *os.Root
	Dropped *Dropped // collects attributes that are not kept; nil: they are not collected
	name    string
	f       *os.File // nil until the first use
}

// at returns the folder that a file is in. os.Root refuses links that lead out of the root.
func (d *Opener) at(name string) (fd int, base string, err error) {
	dir, base := ".", name
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		dir, base = name[:i], name[i+1:]
	}
	if d.f == nil || d.name != dir {
		f, err := d.Root.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		if err != nil {
			return 0, "", err
		}
		d.Close()
		d.f, d.name = f, dir
	}
	return int(d.f.Fd()), base, nil
}

// Close closes the folder.
func (d *Opener) Close() {
	if d.f != nil {
		d.f.Close()
		d.f = nil
	}
}

// Open opens a file. It refuses symbolic links, and does not block on a FIFO.
func (d *Opener) Open(name string, flags int, mode uint32) (Handle, error) {
	dir, base, err := d.at(name)
	if err != nil {
		return Handle{}, err
	}
	for {
		fd, err := unix.Openat(dir, base, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, mode)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return Handle{}, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		return Handle{Fd: fd, Name: name}, nil
	}
}

// stat returns the entry of a file or folder.
func (d *Opener) stat(name string) (now manifest.Entry, err error) {
	dir, base, err := d.at(name)
	if err != nil {
		return now, err
	}
	var st unix.Stat_t
	if err := unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return now, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	Describe(&now, &st)
	return now, nil
}

// Handle is an open file. It costs less than os.File, which matters for many small files.
type Handle struct {
	Fd   int
	Name string
}

func (h Handle) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: h.Name, Err: err}
}

// Pread reads from an offset, until p is full or the file ends.
func (h Handle) Pread(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		m, err := unix.Pread(h.Fd, p[n:], off+int64(n))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return n, h.wrap("read", err)
		case m == 0:
			return n, io.ErrUnexpectedEOF
		default:
			n += m
		}
	}
	return n, nil
}

// Pwrite writes all of p at an offset.
func (h Handle) Pwrite(p []byte, off int64) error {
	for len(p) > 0 {
		n, err := unix.Pwrite(h.Fd, p, off)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return h.wrap("write", err)
		default:
			p, off = p[n:], off+int64(n)
		}
	}
	return nil
}

// stat updates the identity in e.
func (h Handle) stat(e *manifest.Entry) error {
	var st unix.Stat_t
	if err := unix.Fstat(h.Fd, &st); err != nil {
		return h.wrap("stat", err)
	}
	Describe(e, &st)
	return nil
}

// Truncate sets the size of a file; what was not written is a hole.
func (h Handle) Truncate(size int64) error { return h.wrap("lengthen", unix.Ftruncate(h.Fd, size)) }

// Close closes the file.
func (h Handle) Close() error { return h.wrap("close", unix.Close(h.Fd)) }

// CheckUnchanged checks that the file still has the identity in e.
func (h Handle) CheckUnchanged(e *manifest.Entry) error {
	now := manifest.Entry{}
	if err := h.stat(&now); err != nil {
		return err
	}
	if now.Ino != e.Ino || now.Size != e.Size || now.Attr.Mtime != e.Attr.Mtime || now.Kind != e.Kind {
		return Changed(e.Path)
	}
	return nil
}

// Changed is the error for a file that another program writes to.
func Changed(path string) error {
	return fault.New(fault.Busy, "try again when nothing writes there", "%q changed while it was read", path)
}

// OpenEntry opens the file of an entry for reading. A file that replaced it is refused.
func (d *Opener) OpenEntry(e *manifest.Entry) (Handle, error) {
	h, err := d.Open(e.Path, unix.O_RDONLY, 0)
	if err != nil {
		return h, err
	}
	if err := h.CheckUnchanged(e); err != nil {
		return Handle{}, errors.Join(err, h.Close())
	}
	return h, nil
}

// extent reads a part of a file.
type extent struct {
	h   Handle
	off int64
	end int64
}

// Read implements io.Reader.
func (c *extent) Read(p []byte) (int, error) {
	left := c.end - c.off
	if left == 0 {
		return 0, io.EOF
	}
	n, err := c.h.Pread(p[:min(int64(len(p)), left)], c.off)
	c.off += int64(n)
	return n, err
}

// openDir opens a folder; "." is the root itself.
func (d *Opener) openDir(name string) (Handle, error) {
	return d.Open(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
}
