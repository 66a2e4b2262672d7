package xdata

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

// folders opens files below a root. It keeps the folder used last open: names
// come in order, and a version may have tens of thousands of files.
type folders struct {
	root   *os.Root
	unkept *unkept // is told of attributes that are not kept; nil: nobody is
	name   string
	f      *os.File // nil until the first use
}

// at returns the folder that a file lies in. Links on the way that lead out of
// the root are refused by os.Root.
func (d *folders) at(name string) (fd int, base string, err error) {
	dir, base := ".", name
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		dir, base = name[:i], name[i+1:]
	}
	if d.f == nil || d.name != dir {
		f, err := d.root.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		if err != nil {
			return 0, "", err
		}
		d.close()
		d.f, d.name = f, dir
	}
	return int(d.f.Fd()), base, nil
}

// close forgets the folder.
func (d *folders) close() {
	if d.f != nil {
		d.f.Close()
		d.f = nil
	}
}

// open opens a file. A link in its place is refused, and a FIFO does not hold us up.
func (d *folders) open(name string, flags int, mode uint32) (handle, error) {
	dir, base, err := d.at(name)
	if err != nil {
		return handle{}, err
	}
	for {
		fd, err := unix.Openat(dir, base, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, mode)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return handle{}, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		return handle{fd: fd, name: name}, nil
	}
}

// stat describes a file or folder.
func (d *folders) stat(name string) (now entry, err error) {
	dir, base, err := d.at(name)
	if err != nil {
		return now, err
	}
	var st unix.Stat_t
	if err := unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return now, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	describeEntry(&now, &st)
	return now, nil
}

// handle is an open file. os.File does more on every open than small files need.
type handle struct {
	fd   int
	name string
}

func (h handle) fail(op string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: h.name, Err: err}
}

// pread reads from an offset, as much as there is.
func (h handle) pread(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		m, err := unix.Pread(h.fd, p[n:], off+int64(n))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return n, h.fail("read", err)
		case m == 0:
			return n, io.ErrUnexpectedEOF
		default:
			n += m
		}
	}
	return n, nil
}

// pwrite writes all of p at an offset.
func (h handle) pwrite(p []byte, off int64) error {
	for len(p) > 0 {
		n, err := unix.Pwrite(h.fd, p, off)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return h.fail("write", err)
		default:
			p, off = p[n:], off+int64(n)
		}
	}
	return nil
}

// stat fills in what e says of the file itself, as it is now.
func (h handle) stat(e *entry) error {
	var st unix.Stat_t
	if err := unix.Fstat(h.fd, &st); err != nil {
		return h.fail("stat", err)
	}
	describeEntry(e, &st)
	return nil
}

// lengthen has a file end so far from its beginning; what was not written is a hole.
func (h handle) lengthen(size int64) error { return h.fail("lengthen", unix.Ftruncate(h.fd, size)) }

func (h handle) close() error { return h.fail("close", unix.Close(h.fd)) }

// check makes sure that the file is still what e describes.
func (h handle) check(e *entry) error {
	now := entry{}
	if err := h.stat(&now); err != nil {
		return err
	}
	if now.Ino != e.Ino || now.Size != e.Size || now.Attr.Mtime != e.Attr.Mtime || now.kind != e.kind {
		return changed(e.Path)
	}
	return nil
}

func changed(path string) error {
	return fault.New(fault.Busy, "try again when nothing writes there", "%q changed while it was read", path)
}

// openEntry opens the file that e describes for reading. What was put in its
// place since is refused.
func (d *folders) openEntry(e *entry) (handle, error) {
	h, err := d.open(e.Path, unix.O_RDONLY, 0)
	if err != nil {
		return h, err
	}
	if err := h.check(e); err != nil {
		return handle{}, errors.Join(err, h.close())
	}
	return h, nil
}

// extent reads a part of a file, and no further.
type extent struct {
	h   handle
	off int64
	end int64
}

// Read fulfils io.Reader.
func (c *extent) Read(p []byte) (int, error) {
	left := c.end - c.off
	if left == 0 {
		return 0, io.EOF
	}
	n, err := c.h.pread(p[:min(int64(len(p)), left)], c.off)
	c.off += int64(n)
	return n, err
}

// openFolder opens a folder; "." is the root itself.
func (d *folders) openFolder(name string) (handle, error) {
	return d.open(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
}
