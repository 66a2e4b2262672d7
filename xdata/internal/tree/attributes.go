package tree

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"mxcluster/xdata/internal/manifest"
)

// SetDirAttributes gives a folder its attributes, in the order of SetAttributes.
func SetDirAttributes(in *Opener, name string, a *manifest.Attributes) error {
	h, err := in.OpenDir(name)
	if err != nil {
		return err
	}
	err = setOwnerAndMode(h, a, in.Dropped.of(name))
	if err == nil {
		err = in.SetMtime(name, a.Mtime)
	}
	return cmp.Or(err, h.Close())
}

// setOwnerAndMode gives an open folder all but the time.
func setOwnerAndMode(h Handle, a *manifest.Attributes, lost func(name string)) error {
	if mayOwn() {
		// EINVAL: the root of a user namespace that has no such owner in it.
		if err := unix.Fchown(h.Fd, int(a.UID), int(a.GID)); err != nil && !errors.Is(err, unix.EINVAL) {
			return h.wrap("chown", err)
		}
	}
	if a.Xattrs != "" {
		return setXattrsAndMode(h, a, lost)
	}
	return h.wrap("chmod", unix.Fchmod(h.Fd, a.Mode))
}

// setXattrsAndMode gives an open file or folder attributes that it has besides owner and mode: those of
// users while it may be written to, access lists at last, which take and make modes.
func setXattrsAndMode(h Handle, a *manifest.Attributes, lost func(name string)) error {
	if err := h.wrap("chmod", unix.Fchmod(h.Fd, a.Mode|0o600)); err != nil {
		return err
	}
	if err := setXattrs(h, a.Xattrs, true, lost); err != nil {
		return err
	}
	if err := h.wrap("chmod", unix.Fchmod(h.Fd, a.Mode)); err != nil {
		return err
	}
	mode := a.Mode
	err := setXattrs(h, a.Xattrs, false, func(name string) {
		lost(name)
		if name == manifest.AclAccess {
			mode = a.Narrow()
		}
	})
	if err == nil && mode != a.Mode {
		err = h.wrap("chmod", unix.Fchmod(h.Fd, mode))
	}
	return err
}

// setXattrs gives an open file or folder its attributes whose names have, or have not, the prefix
// of those of users. lost is told of one that is not kept there.
func setXattrs(h Handle, x manifest.Xattrs, users bool, lost func(name string)) error {
	for name, value := range x.All {
		if strings.HasPrefix(name, manifest.UserPrefix) != users {
			continue
		}
		err := unix.Fsetxattr(h.Fd, name, []byte(value), 0)
		switch {
		case err == nil:
		case isUnsupported(err):
			lost(name)
		default:
			return h.wrap("write the attribute "+name, err)
		}
	}
	return nil
}

// isUnsupported tells whether an error says that an attribute cannot be kept where it should be.
// A file system that has no room left says so as well when anything else is written.
func isUnsupported(err error) bool {
	return slices.ContainsFunc([]error{unix.ENOTSUP, unix.EINVAL, unix.ENOSPC, unix.EDQUOT, unix.E2BIG, unix.ERANGE, unix.EPERM, unix.EACCES},
		func(is error) bool { return errors.Is(err, is) })
}

// DropInheritedACL takes the access lists off a folder that it got from the one above, as
// what is made in it would get them, too.
func DropInheritedACL(root *os.Root) error {
	in := Opener{Root: root}
	defer in.Close()
	dir, err := in.OpenDir(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	for _, name := range []string{manifest.AclDefault, manifest.AclAccess} {
		err := unix.Fremovexattr(dir.Fd, name)
		if err != nil && !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOTSUP) {
			return dir.wrap("remove the attribute "+name, err)
		}
	}
	return nil
}

// SetAttributes gives an open file its attributes, and returns it as it is then. Most have
// owner and mode from when they were made; the others get them in the order that
// is needed: changing the owner clears bits of the mode.
func (d *Opener) SetAttributes(h Handle, a *manifest.Attributes) (now manifest.Entry, err error) {
	if err := d.SetMtime(h.Name, a.Mtime); err != nil {
		return now, err
	}
	if err := h.stat(&now); err != nil {
		return now, err
	}
	owned := now.Attr.UID == a.UID && now.Attr.GID == a.GID || !mayOwn()
	if !owned {
		// EINVAL: the root of a user namespace that has no such owner in it.
		if err := unix.Fchown(h.Fd, int(a.UID), int(a.GID)); err != nil && !errors.Is(err, unix.EINVAL) {
			return now, h.wrap("chown", err)
		}
	}
	switch {
	case a.Xattrs != "":
		err = setXattrsAndMode(h, a, d.Dropped.of(h.Name))
	case owned && now.Attr.Mode == a.Mode:
		return now, nil
	default:
		err = h.wrap("chmod", unix.Fchmod(h.Fd, a.Mode))
	}
	return now, cmp.Or(err, h.stat(&now))
}

// SetMtime gives a file or folder its modification time.
func (d *Opener) SetMtime(name string, mtime int64) error {
	dir, base, err := d.at(name)
	if err != nil {
		return err
	}
	t := unix.NsecToTimespec(mtime)
	if err := unix.UtimesNanoAt(dir, base, []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &fs.PathError{Op: "chtimes", Path: name, Err: err}
	}
	return nil
}

// SetAllDirAttributes gives the folders of a version their attributes, the inner ones first,
// when nothing is written into them any more: filling a folder changes its
// time, and its mode may forbid filling it. What m says of the folders themselves is
// true afterwards.
func SetAllDirAttributes(in *Opener, m *manifest.Manifest) error {
	defer in.Close()
	for i := len(m.Entries) - 1; i >= 0; i-- {
		e := &m.Entries[i]
		if !e.Dir {
			continue
		}
		if err := SetDirAttributes(in, e.Path, &e.Attr); err != nil {
			return err
		}
		now, err := in.stat(e.Path)
		if err != nil {
			return err
		}
		e.SetPlace(&now)
	}
	return SetDirAttributes(in, ".", &m.Top)
}
