package xdata

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// apply gives a folder its attributes, in the order of folders.dress.
func dressFolder(in *folders, name string, a *attributes) error {
	h, err := in.openFolder(name)
	if err != nil {
		return err
	}
	err = dressOpen(h, a, in.unkept.of(name))
	if err == nil {
		err = in.setTime(name, a.Mtime)
	}
	return cmp.Or(err, h.close())
}

// own gives an open folder all but the time.
func dressOpen(h handle, a *attributes, lost func(name string)) error {
	if mayOwn() {
		// EINVAL: the root of a user namespace that has no such owner in it.
		if err := unix.Fchown(h.fd, int(a.UID), int(a.GID)); err != nil && !errors.Is(err, unix.EINVAL) {
			return h.fail("chown", err)
		}
	}
	if a.Extra != "" {
		return dressWithExtras(h, a, lost)
	}
	return h.fail("chmod", unix.Fchmod(h.fd, a.Mode))
}

// dressWith gives an open file or folder attributes that it has besides owner and mode: those of
// users while it may be written to, access lists at last, which take and make modes.
func dressWithExtras(h handle, a *attributes, lost func(name string)) error {
	if err := h.fail("chmod", unix.Fchmod(h.fd, a.Mode|0o600)); err != nil {
		return err
	}
	if err := giveExtras(h, a.Extra, true, lost); err != nil {
		return err
	}
	if err := h.fail("chmod", unix.Fchmod(h.fd, a.Mode)); err != nil {
		return err
	}
	mode := a.Mode
	err := giveExtras(h, a.Extra, false, func(name string) {
		lost(name)
		if name == aclAccess {
			mode = a.narrow()
		}
	})
	if err == nil && mode != a.Mode {
		err = h.fail("chmod", unix.Fchmod(h.fd, mode))
	}
	return err
}

// give gives an open file or folder its attributes whose names have, or have not, the prefix
// of those of users. lost is told of one that is not kept there.
func giveExtras(h handle, x extras, users bool, lost func(name string)) error {
	for name, value := range x.all {
		if strings.HasPrefix(name, userPrefix) != users {
			continue
		}
		err := unix.Fsetxattr(h.fd, name, []byte(value), 0)
		switch {
		case err == nil:
		case isUnkept(err):
			lost(name)
		default:
			return h.fail("write the attribute "+name, err)
		}
	}
	return nil
}

// isUnkept tells whether an error says that an attribute cannot be kept where it should be.
// A file system that has no room left says so as well when anything else is written.
func isUnkept(err error) bool {
	return slices.ContainsFunc([]error{unix.ENOTSUP, unix.EINVAL, unix.ENOSPC, unix.EDQUOT, unix.E2BIG, unix.ERANGE, unix.EPERM, unix.EACCES},
		func(is error) bool { return errors.Is(err, is) })
}

// inheritNothing takes the access lists off a folder that it got from the one above, as
// what is made in it would get them, too.
func inheritNothing(root *os.Root) error {
	in := folders{root: root}
	defer in.close()
	dir, err := in.openFolder(".")
	if err != nil {
		return err
	}
	defer dir.close()
	for _, name := range []string{aclDefault, aclAccess} {
		err := unix.Fremovexattr(dir.fd, name)
		if err != nil && !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOTSUP) {
			return dir.fail("remove the attribute "+name, err)
		}
	}
	return nil
}

// dress gives an open file its attributes, and returns it as it is then. Most have
// owner and mode from when they were made; the others get them in the order that
// is needed: changing the owner clears bits of the mode.
func (d *folders) dress(h handle, a *attributes) (now entry, err error) {
	if err := d.setTime(h.name, a.Mtime); err != nil {
		return now, err
	}
	if err := h.stat(&now); err != nil {
		return now, err
	}
	owned := now.Attr.UID == a.UID && now.Attr.GID == a.GID || !mayOwn()
	if !owned {
		// EINVAL: the root of a user namespace that has no such owner in it.
		if err := unix.Fchown(h.fd, int(a.UID), int(a.GID)); err != nil && !errors.Is(err, unix.EINVAL) {
			return now, h.fail("chown", err)
		}
	}
	switch {
	case a.Extra != "":
		err = dressWithExtras(h, a, d.unkept.of(h.name))
	case owned && now.Attr.Mode == a.Mode:
		return now, nil
	default:
		err = h.fail("chmod", unix.Fchmod(h.fd, a.Mode))
	}
	return now, cmp.Or(err, h.stat(&now))
}

// setTime gives a file or folder its modification time.
func (d *folders) setTime(name string, mtime int64) error {
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

// dress gives the folders of a version their attributes, the inner ones first,
// when nothing is written into them any more: filling a folder changes its
// time, and its mode may forbid filling it. What m says of the folders themselves is
// true afterwards.
func dressFolders(in *folders, m *manifest) error {
	defer in.close()
	for i := len(m.Entries) - 1; i >= 0; i-- {
		e := &m.Entries[i]
		if !e.Dir {
			continue
		}
		if err := dressFolder(in, e.Path, &e.Attr); err != nil {
			return err
		}
		now, err := in.stat(e.Path)
		if err != nil {
			return err
		}
		e.place(&now)
	}
	return dressFolder(in, ".", &m.Top)
}
