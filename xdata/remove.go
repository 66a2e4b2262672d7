package xdata

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
	"mxcluster/internal/safepath"
	"mxcluster/xdata/internal/tree"
)

// MayRemove checks whether Remove would remove a version, and changes nothing.
func (s *Store) MayRemove(lim int, name string) (Version, error) {
	versions, err := s.List(lim)
	if err != nil {
		return Version{}, err
	}
	i := slices.IndexFunc(versions, func(v Version) bool { return v.Name == name })
	if i < 0 {
		return Version{}, notHere(lim, name)
	}
	v := versions[i]
	others := slices.ContainsFunc(versions, func(o Version) bool { return o.Complete && o.Name != name })
	switch {
	case v.Complete && !others:
		return v, fault.New(fault.Refused, "make another one first, with 'mxcluster xdata backup'",
			"%s is the last complete version of LIM %d here", name, lim)
	case !v.Complete && v.Damage == "" && v.Files > 0:
		return v, fault.New(fault.Refused, "wait until nothing writes to it", "%s is still being written", name)
	}
	return v, nil
}

// Remove removes one version of a LIM. The last complete version, and one that is still being
// written, are fault.Refused; fault.NotFound, fault.Busy. Files that could not be deleted are
// reported by Warn: the version counts as removed.
func (s *Store) Remove(lim int, name string) (v Version, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("removing version %s: %w", name, err)
		}
	}()
	if v, err = s.MayRemove(lim, name); err != nil {
		return v, err // before a folder is made for the lock
	}
	release, err := s.lock(lim, "xdata remove")
	if err != nil {
		return v, err
	}
	defer release()
	if v, err = s.MayRemove(lim, name); err != nil {
		return v, err
	}
	if err := s.remove(v); err != nil {
		return v, err
	}
	return v, safepath.SyncDir(s.Dir)
}

// remove deletes a version. It is renamed first, so that a half-deleted folder never counts as a
// version. An error means that it is still there. Files that could not be deleted after the
// renaming are reported, and tried again by the next holder of the lock.
func (s *Store) remove(v Version) error {
	if err := refuseMounted(v.Path); err != nil {
		return cannotRemove(err)
	}
	aside, err := safepath.MkdirTemp(s.Dir, stagingPrefix(v.LIM))
	if err != nil {
		return err
	}
	defer aside.Close()
	dir := aside.Name()
	if err := safepath.Rename(v.Path, filepath.Join(dir, v.Name)); err != nil {
		return errors.Join(cannotRemove(err), safepath.Remove(dir))
	}
	warner(s.warn).left(s.forget(v.Name))
	warner(s.warn).left(removeTree(dir))
	return nil
}

// forget removes mark and index of a version that is gone.
func (s *Store) forget(name string) error {
	return errors.Join(s.marks().remove(name), s.indexes().remove(name))
}

// warn reports what does not stop the work.
func (s *Store) warn(err error) {
	if s.Warn != nil && err != nil {
		s.Warn(err)
	}
}

// warner receives reports of what does not stop the work.
type warner func(err error)

// left reports something that could not be removed; nil reports nothing.
func (w warner) left(err error) {
	if err != nil {
		w(cannotRemove(err))
	}
}

// cannotRemove gives the error of a removal its remedy.
func cannotRemove(err error) error {
	path, why := "", err
	var p *fs.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p):
		path, why = p.Path, p.Err
	case errors.As(err, &l):
		path, why = l.Old, l.Err
	}
	return fault.New(fault.Failed, removalHint(path, why), "%s cannot be removed: %v", path, why)
}

func removalHint(path string, why error) string {
	const again = ", and 'mxcluster xdata prune' then removes it"
	switch {
	case errors.Is(why, unix.EPERM):
		return fmt.Sprintf("it or its folder may be immutable: 'lsattr -d %s' tells, 'chattr -R -i' takes that off%s", path, again)
	case errors.Is(why, unix.EBUSY):
		return fmt.Sprintf("something is mounted there: 'umount %s'%s", path, again)
	case errors.Is(why, unix.ENOTEMPTY):
		return "a program may have a file in it open, which NFS keeps for it: end that" + again
	case errors.Is(why, unix.EROFS):
		return "the file system is read-only: see the kernel's log, and mount it for writing" + again
	case errors.Is(why, unix.EACCES):
		return "run 'mxcluster xdata prune' as root"
	}
	return "check the disk; 'mxcluster xdata prune' tries again"
}

// refuseMounted refuses to remove a folder with a mount point at or below it: that content is not
// the version's.
func refuseMounted(dir string) error {
	real, err := filepath.Abs(dir)
	if err == nil {
		var parent string
		if parent, err = filepath.EvalSymlinks(filepath.Dir(real)); err == nil {
			real = filepath.Join(parent, filepath.Base(real)) // name may be a link itself, and only the link is removed
		}
	}
	if err != nil {
		return err
	}
	if at := tree.MountedAt(real); at != "" {
		return &fs.PathError{Op: "remove", Path: at, Err: unix.EBUSY}
	}
	return nil
}

// removeTree removes a folder, including read-only folders in it, which ordinary users cannot
// delete files from.
func removeTree(dir string) error {
	if err := refuseMounted(dir); err != nil {
		return ignoreAbsent(err)
	}
	return safepath.RemoveAll(dir)
}

// Advice joins an error and its remedy into one line.
func Advice(err error) string {
	text := err.Error()
	if hint := fault.HintOf(err); hint != "" {
		text += "; " + hint
	}
	return text
}
