// Package safepath works on files in folders that other users may write to, where anything
// may have been put in the place of anything: a link that lies in such a folder is never
// followed. Links that only root, or who runs this, can have made are followed as ever.
package safepath

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// ErrLink is the error of a link that is not followed.
var ErrLink = errors.New("it is a link, and is not followed where others may have put it")

// ErrReplaced is the error of what somebody puts other things in the place of.
var ErrReplaced = errors.New("somebody else put another one in its place")

// tries is how often something is done again that somebody came in between of.
const tries = 10

// Folder opens a folder. A link on the way to it is followed only where nobody but root, and
// who runs this, may write: else the error is ErrLink.
func Folder(path string) (*os.Root, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	for range tries {
		is, err := find(path)
		if err != nil {
			return nil, err
		}
		root, err := os.OpenRoot(path)
		if err != nil {
			return nil, err
		}
		now, err := root.Stat(".")
		if err == nil && (is == nil || os.SameFile(is, now)) {
			return root, nil
		}
		root.Close()
	}
	return nil, &fs.PathError{Op: "open", Path: path, Err: ErrReplaced}
}

// in does something in the folder that a path lies in, to the last part of it.
func in(path string, do func(dir *os.Root, base string) error) error {
	dir, err := Folder(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return whole(dir, do(dir, filepath.Base(path)))
}

// descriptor does something with the descriptor of a folder.
func descriptor(dir *os.Root, do func(fd int) error) error {
	f, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	return do(int(f.Fd()))
}

// OpenFile opens a regular file, and nothing that has been put in its place: a link is
// ErrLink, and a pipe holds nobody up.
func OpenFile(path string, flag int, mode fs.FileMode) (f *os.File, err error) {
	err = in(path, func(dir *os.Root, base string) error {
		f, err = open(dir, base, flag, mode)
		return err
	})
	return f, err
}

func open(dir *os.Root, base string, flag int, mode fs.FileMode) (*os.File, error) {
	path, fd := filepath.Join(dir.Name(), base), -1
	err := descriptor(dir, func(at int) (err error) {
		for {
			fd, err = unix.Openat(at, base, flag|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, uint32(mode.Perm()))
			if !errors.Is(err, unix.EINTR) {
				return err
			}
		}
	})
	if errors.Is(err, unix.ELOOP) {
		err = ErrLink
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: errNoFile}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

var errNoFile = errors.New("it is not a file")

// ReadFile reads a file as OpenFile opens it.
func ReadFile(path string) ([]byte, error) {
	f, err := OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// Replace replaces a file at once by a new one, and does not wait for the disk: it is for what
// shows by itself when a crash took some or all of it away.
func Replace(path string, data []byte, mode fs.FileMode) error {
	return replace(path, data, mode, false)
}

// ReplaceDurably does so and has it, and its name, on the disk when it returns.
func ReplaceDurably(path string, data []byte, mode fs.FileMode) error {
	return replace(path, data, mode, true)
}

func replace(path string, data []byte, mode fs.FileMode, durable bool) error {
	return in(path, func(dir *os.Root, base string) error {
		f, err := create(dir, "."+base+"-", mode)
		if err != nil {
			return err
		}
		temporary := filepath.Base(f.Name())
		_, err = f.Write(data)
		if err == nil && durable {
			err = f.Sync()
		}
		if err = errors.Join(err, f.Close()); err == nil {
			err = dir.Rename(temporary, base)
		}
		if err != nil {
			return errors.Join(err, ignoreAbsent(dir.Remove(temporary)))
		}
		if !durable {
			return nil
		}
		return descriptor(dir, unix.Fsync)
	})
}

// SyncDir makes what was renamed, made and removed in a folder durable.
func SyncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// CreateTemp makes a file in a folder whose name nobody has, and returns the name.
func CreateTemp(dir, prefix string) (name string, err error) {
	root, err := Folder(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	f, err := create(root, prefix, 0o600)
	if err != nil {
		return "", err
	}
	return filepath.Base(f.Name()), f.Close()
}

func create(dir *os.Root, prefix string, mode fs.FileMode) (f *os.File, err error) {
	err = unused(prefix, func(name string) error {
		f, err = open(dir, name, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
		return err
	})
	return f, err
}

// unused tries names until one is free.
func unused(prefix string, try func(name string) error) error {
	var err error
	for range 1000 {
		err = try(prefix + strconv.FormatUint(uint64(rand.Uint32()), 10)) //nolint:gosec // no secret: who guesses it is only in the way
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return err
}

// MkdirTemp makes a folder in a folder, for who runs this alone, whose name nobody has, and
// opens it. Somebody may have put another one in its place, but no link, and it is empty.
func MkdirTemp(dir, prefix string) (made *os.Root, err error) {
	root, err := Folder(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	err = unused(prefix, func(name string) error {
		if err := root.Mkdir(name, 0o700); err != nil {
			return whole(root, err)
		}
		if made, err = Sub(root, name); err != nil {
			return errors.Join(err, root.Remove(name))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(made.FS(), ".")
	if err == nil && len(entries) > 0 {
		err = &fs.PathError{Op: "make", Path: made.Name(), Err: ErrReplaced}
	}
	if err != nil {
		made.Close()
		return nil, err
	}
	return made, nil
}

// Sub opens a folder that lies in another one; ErrReplaced where there is none, but
// something else.
func Sub(dir *os.Root, name string) (*os.Root, error) {
	before, err := dir.Lstat(name)
	if err != nil {
		return nil, whole(dir, err)
	}
	replaced := &fs.PathError{Op: "open", Path: filepath.Join(dir.Name(), name), Err: ErrReplaced}
	if !before.IsDir() {
		return nil, replaced
	}
	root, err := dir.OpenRoot(name)
	if err != nil {
		return nil, whole(dir, err)
	}
	now, err := root.Stat(".")
	if err == nil && !os.SameFile(before, now) {
		err = replaced
	}
	if err != nil {
		root.Close()
		return nil, err
	}
	return root, nil
}

// Own tells whether a folder belongs to who runs this, and nobody else may write to it.
func Own(dir *os.Root) bool {
	info, err := dir.Stat(".")
	return err == nil && mine(info) && info.Mode().Perm()&0o022 == 0
}

// whole has an error name the whole path.
func whole(dir *os.Root, err error) error {
	name := func(path string) string {
		if filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(dir.Name(), path)
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		return &fs.PathError{Op: path.Op, Path: name(path.Path), Err: path.Err}
	}
	var link *os.LinkError
	if errors.As(err, &link) {
		return &os.LinkError{Op: link.Op, Old: name(link.Old), New: name(link.New), Err: link.Err}
	}
	return err
}

// Mkdir makes a folder unless it is there; a link in its place is ErrLink.
func Mkdir(path string, mode fs.FileMode) error {
	return in(path, func(dir *os.Root, base string) error {
		if err := dir.Mkdir(base, mode); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		info, err := dir.Lstat(base)
		switch {
		case err != nil:
			return err
		case info.Mode()&fs.ModeSymlink != 0:
			return &fs.PathError{Op: "mkdir", Path: path, Err: ErrLink}
		case !info.IsDir():
			return &fs.PathError{Op: "mkdir", Path: path, Err: unix.ENOTDIR}
		}
		return nil
	})
}

// Rename renames what lies at one path to another one, as the system call does: an empty
// folder there is replaced.
func Rename(from, to string) error {
	return in(from, func(old *os.Root, was string) error {
		return in(to, func(dir *os.Root, base string) error {
			err := descriptor(old, func(a int) error {
				return descriptor(dir, func(b int) error { return unix.Renameat(a, was, b, base) })
			})
			if err != nil {
				return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
			}
			return nil
		})
	})
}

// Move renames an open folder to a path; ErrReplaced where somebody came in between, and
// what has that name now is another one.
func Move(root *os.Root, to string) error {
	if err := Rename(root.Name(), to); err != nil {
		return err
	}
	is, err := root.Stat(".")
	if err != nil {
		return err
	}
	return in(to, func(dir *os.Root, base string) error {
		now, err := dir.Lstat(base)
		if err == nil && !os.SameFile(is, now) {
			err = &fs.PathError{Op: "rename", Path: to, Err: ErrReplaced}
		}
		return err
	})
}

// Remove removes a file, a link or an empty folder.
func Remove(path string) error {
	return in(path, func(dir *os.Root, base string) error { return dir.Remove(base) })
}

// RemoveAll removes what lies at a path with all that is in it, also with read-only folders,
// which only root removes without more ado. What is not there is no error.
func RemoveAll(path string) error {
	return ignoreAbsent(in(path, RemoveIn))
}

// RemoveIn is RemoveAll of what lies in an open folder.
func RemoveIn(dir *os.Root, base string) error {
	err := dir.RemoveAll(base)
	if !errors.Is(err, fs.ErrPermission) {
		return whole(dir, err)
	}
	_ = fs.WalkDir(dir.FS(), filepath.ToSlash(base), func(name string, d fs.DirEntry, err error) error {
		// A folder is announced before it is read, and again when that failed.
		if d != nil && d.IsDir() && err == nil {
			return dir.Chmod(name, 0o700)
		}
		return nil
	})
	return whole(dir, dir.RemoveAll(base))
}

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
