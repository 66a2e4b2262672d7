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

// setDirAttributes sets the attributes of a folder, in the order of SetAttributes.
func setDirAttributes(in *Opener, name string, a *manifest.Attributes) error {
	h, err := in.openDir(name)
	if err != nil {
		return err
	}
	err = setOwnerAndMode(h, a, in.Dropped.of(name))
	if err == nil {
		err = in.setMtime(name, a.Mtime)
	}
	return cmp.Or(err, h.Close())
}

// setOwnerAndMode sets all attributes of an open folder except the time.
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

// setXattrsAndMode sets extended attributes and mode of an open file or folder: user attributes
// while it is writable, access lists at the end, since these change the mode and the mode changes
// them.
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

// setXattrs sets the attributes of an open file or folder whose names have (users) or do not have
// the prefix of user attributes. lost is called for each that cannot be kept.
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

// isUnsupported tells whether an error means that a file system or namespace cannot keep an
// attribute. A full file system is reported as well, by the next write.
func isUnsupported(err error) bool {
	return slices.ContainsFunc([]error{unix.ENOTSUP, unix.EINVAL, unix.ENOSPC, unix.EDQUOT, unix.E2BIG, unix.ERANGE, unix.EPERM, unix.EACCES},
		func(is error) bool { return errors.Is(err, is) })
}

// DropInheritedACL removes from a folder the access lists that it inherited from its parent, since
// files created in it would inherit them.
func DropInheritedACL(root *os.Root) error {
	in := Opener{Root: root}
	defer in.Close()
	dir, err := in.openDir(".")
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

// SetAttributes sets the attributes of an open file and returns its entry afterwards. Most files
// were created with the right owner and mode; for others the order matters, as changing the owner
// clears bits of the mode.
func (d *Opener) SetAttributes(h Handle, a *manifest.Attributes) (now manifest.Entry, err error) {
	if err := d.setMtime(h.Name, a.Mtime); err != nil {
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

// setMtime sets the modification time of a file or folder.
func (d *Opener) setMtime(name string, mtime int64) error {
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

// SetAllDirAttributes sets the attributes of a version's folders, inner ones first. It is called
// when nothing more is written into them: writing changes a folder's time, and may not be permitted
// by its mode. It updates the folders' entries in m.
func SetAllDirAttributes(in *Opener, m *manifest.Manifest) error {
	defer in.Close()
	for i := len(m.Entries) - 1; i >= 0; i-- {
		e := &m.Entries[i]
		if !e.Dir {
			continue
		}
		if err := setDirAttributes(in, e.Path, &e.Attr); err != nil {
			return err
		}
		now, err := in.stat(e.Path)
		if err != nil {
			return err
		}
		e.SetPlace(&now)
	}
	return setDirAttributes(in, ".", &m.Top)
}
