package xdata

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

// Backup makes a version of a LIM from the folder from, all at once or not at
// all: nothing of it can be seen before it is complete and durable. Modification
// times, modes and, as root, owners are kept.
//
// Links and special files, a folder without files, and one that does not fit
// are refused (fault.Refused); a file that changes meanwhile, or a LIM whose
// data are in use, is fault.Busy.
func (s *Store) Backup(ctx context.Context, lim int, from string) (v Version, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("back up the data of LIM %d from %s: %w", lim, from, err)
		}
	}()
	source, err := os.OpenRoot(from)
	if errors.Is(err, fs.ErrNotExist) {
		return Version{}, fault.New(fault.NotFound, "name the folder that holds the data", "no such folder")
	}
	if errors.Is(err, unix.ENOTDIR) {
		return Version{}, fault.New(fault.Refused, "name the folder that holds the data", "it is not a folder")
	}
	if err != nil {
		return Version{}, err
	}
	defer source.Close()
	release, err := s.lock(lim, "xdata backup")
	if err != nil {
		return Version{}, err
	}
	defer release()
	if err := s.admit(source, from); err != nil {
		return Version{}, err
	}
	g, err := s.stage(lim)
	if err != nil {
		return Version{}, err
	}
	defer g.discard()
	if err := copyTree(ctx, source, g.root); err != nil {
		return Version{}, err
	}
	return g.commit(s.now(), nil)
}

// admit checks that a folder can become a version of this store.
func (s *Store) admit(source *os.Root, from string) error {
	within, err := inside(s.Dir, from)
	if err != nil {
		return err
	}
	if within {
		return fault.New(fault.Refused, "back up a folder that does not hold the versions",
			"the versions themselves are kept below it, in %s", s.Dir)
	}
	t, err := measure(source)
	if err != nil {
		return err
	}
	if t.files == 0 {
		return fault.New(fault.Refused, "name the folder that holds the data", "there are no files in it")
	}
	return s.checkSpace(t.bytes, t.files+t.folders)
}

// inside tells whether dir is outer or lies below it.
func inside(dir, outer string) (bool, error) {
	dir, err := realPath(dir)
	if err != nil {
		return false, err
	}
	outer, err = realPath(outer)
	if err != nil {
		return false, err
	}
	rel, err := filepath.Rel(outer, dir)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../"), nil
}

func realPath(name string) (string, error) {
	name, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(name)
}

// copyTree copies everything below from into the empty folder to.
func copyTree(ctx context.Context, from, to *os.Root) error {
	type folder struct {
		name string
		attr attributes
	}
	top, err := from.Stat(".")
	if err != nil {
		return err
	}
	folders := []folder{{".", attributesOf(top)}}
	err = walk(from, func(name string, info fs.FileInfo) error {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := checkKind(name, info); err != nil {
			return err
		}
		if info.IsDir() {
			folders = append(folders, folder{name, attributesOf(info)})
			return to.Mkdir(name, 0o700)
		}
		return copyFile(ctx, from, to, name, info)
	})
	// Folders get their attributes last, the inner ones first: filling a folder
	// changes its time, and its mode may forbid filling it.
	for i := len(folders) - 1; i >= 0 && err == nil; i-- {
		err = folders[i].attr.apply(to, folders[i].name)
	}
	return err
}

// copyBytes is how much is copied between two looks at the context.
const copyBytes = 64 << 20

// copyFile copies one file, and makes sure that it did not change meanwhile.
func copyFile(ctx context.Context, from, to *os.Root, name string, info fs.FileInfo) error {
	in, err := openRegular(from, name, info)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := to.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	for err == nil {
		if err = context.Cause(ctx); err == nil {
			_, err = io.CopyN(out, in, copyBytes)
		}
	}
	if errors.Is(err, io.EOF) {
		err = unchanged(in, name, info)
	}
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	return attributesOf(info).apply(to, name)
}

// openRegular opens the file that info describes for reading. What was put in
// its place since is refused, and a FIFO there does not hold us up.
func openRegular(root *os.Root, name string, info fs.FileInfo) (*os.File, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if err := unchanged(f, name, info); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// unchanged checks that an open file is still what info describes.
func unchanged(f *os.File, name string, info fs.FileInfo) error {
	now, err := f.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(now, info) || now.Size() != info.Size() || !now.ModTime().Equal(info.ModTime()) {
		return fault.New(fault.Busy, "try again when nothing writes there", "%q changed while it was read", name)
	}
	return nil
}

// Prune removes the oldest complete versions of a LIM until keep are left. The
// newest complete one always stays, and so do versions still being written.
func (s *Store) Prune(lim, keep int) (removed []Version, err error) {
	release, err := s.lock(lim, "xdata prune")
	if err != nil {
		return nil, err
	}
	defer release()
	return s.prune(lim, keep)
}

// prune is Prune for a caller that holds the LIM's lock.
func (s *Store) prune(lim, keep int) (removed []Version, err error) {
	versions, err := s.List(lim)
	if err != nil {
		return nil, err
	}
	kept := 0
	for _, v := range versions {
		if !v.Complete {
			continue
		}
		if kept++; kept <= max(keep, 1) {
			continue
		}
		if err := s.remove(v); err != nil {
			return removed, fmt.Errorf("remove version %s: %w", v.Name, err)
		}
		removed = append(removed, v)
	}
	if len(removed) == 0 {
		return nil, nil
	}
	return removed, syncDir(s.Dir)
}
