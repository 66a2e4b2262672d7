package tree

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"mxcluster/xdata/internal/manifest"
)

// ReadXattrs returns the extended attributes of an open file or folder. left is called for each
// that is not kept.
func ReadXattrs(h Handle, dir bool, left func(name string)) (manifest.Xattrs, error) {
	names, err := attributeNames(h)
	if err != nil || len(names) == 0 {
		return "", err
	}
	var x manifest.Xattrs
	for _, name := range names {
		if !manifest.KeepsXattr(name, dir) {
			left(name)
			continue
		}
		value := make([]byte, 256)
		n, err := unix.Fgetxattr(h.Fd, name, value)
		if errors.Is(err, unix.ERANGE) {
			value = make([]byte, manifest.MaxXattrValue)
			n, err = unix.Fgetxattr(h.Fd, name, value)
		}
		switch {
		case errors.Is(err, unix.ENODATA): // removed meanwhile
			continue
		case err != nil:
			return "", h.wrap("read the attribute "+name, err)
		}
		x = x.Add(name, value[:n])
	}
	return x, x.CheckSize(h.Name)
}

// attributeNames returns the sorted names of all attributes; none for file systems without any.
func attributeNames(h Handle) ([]string, error) {
	buf := make([]byte, 256)
	n, err := unix.Flistxattr(h.Fd, buf)
	if errors.Is(err, unix.ERANGE) {
		buf = make([]byte, manifest.MaxXattrValue) // the most that the kernel returns
		n, err = unix.Flistxattr(h.Fd, buf)
	}
	if errors.Is(err, unix.ENOTSUP) || err == nil && n == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, h.wrap("list the attributes", err)
	}
	names := strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00")
	slices.Sort(names)
	return names, nil
}

// ReadXattrs reads those of a folder.
func (d *Opener) ReadXattrs(e *manifest.Entry) error {
	h, err := d.openDir(e.Path)
	if err != nil {
		return err
	}
	e.Attr.Xattrs, err = ReadXattrs(h, true, d.Dropped.of(e.Path))
	return cmp.Or(err, h.Close())
}
