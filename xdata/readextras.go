package xdata

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// readExtras returns what an open file or folder has. left is told of an attribute that is
// not kept.
func readExtras(h handle, dir bool, left func(name string)) (extras, error) {
	names, err := attributeNames(h)
	if err != nil || len(names) == 0 {
		return "", err
	}
	var x extras
	for _, name := range names {
		if !keepsExtra(name, dir) {
			left(name)
			continue
		}
		value := make([]byte, 256)
		n, err := unix.Fgetxattr(h.fd, name, value)
		if errors.Is(err, unix.ERANGE) {
			value = make([]byte, maxExtraValue)
			n, err = unix.Fgetxattr(h.fd, name, value)
		}
		switch {
		case errors.Is(err, unix.ENODATA): // it was removed since
			continue
		case err != nil:
			return "", h.fail("read the attribute "+name, err)
		}
		x = x.add(name, value[:n])
	}
	return x, x.fit(h.name)
}

// attributeNames returns the names of all attributes, in order. File systems without any have none.
func attributeNames(h handle) ([]string, error) {
	buf := make([]byte, 256)
	n, err := unix.Flistxattr(h.fd, buf)
	if errors.Is(err, unix.ERANGE) {
		buf = make([]byte, maxExtraValue) // the most that the kernel gives
		n, err = unix.Flistxattr(h.fd, buf)
	}
	if errors.Is(err, unix.ENOTSUP) || err == nil && n == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, h.fail("list the attributes", err)
	}
	names := strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00")
	slices.Sort(names)
	return names, nil
}

// extras reads those of a folder.
func (d *folders) extras(e *entry) error {
	h, err := d.openFolder(e.Path)
	if err != nil {
		return err
	}
	e.Attr.Extra, err = readExtras(h, true, d.unkept.of(e.Path))
	return cmp.Or(err, h.close())
}
