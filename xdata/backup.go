package xdata

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"mxcluster/internal/fault"
	"mxcluster/xdata/internal/tree"
)

// Backup makes a version of a LIM from the folder from, all or nothing: the version becomes visible
// when it is complete and durable. Modification times, modes and, as root, owners are kept.
//
// The new version follows the head of the LIM's data (see Started). Where the newest version has
// the same content and is the head or follows it, no version is made: the newest is returned, with
// Reused set.
//
// Links and special files, a folder without files, and one that does not fit on the disk are
// fault.Refused; a file that changes meanwhile, and a LIM whose data are in use, are fault.Busy.
func (s *Store) Backup(ctx context.Context, lim int, from string) (v Version, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("back up the data of LIM %d from %s: %w", lim, from, err)
		}
	}()
	source, err := openSource(from)
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
	g, err := s.stage(lim, stagingPrefix(lim))
	if err != nil {
		return Version{}, err
	}
	defer g.discard()
	m, lost, err := tree.CopyLive(ctx, source, g.root, tree.Counter(s.Progress))
	if err != nil {
		return Version{}, noRoom(err, s.Dir)
	}
	v, err = s.keepBackup(ctx, g, m)
	if err == nil && !v.Reused {
		s.note(lost)
	}
	return v, noRoom(err, s.Dir)
}

// MayBackup checks whether Backup would accept a folder, as far as this can be seen without
// copying, and changes nothing.
func (s *Store) MayBackup(from string) error {
	source, err := openSource(from)
	if err != nil {
		return err
	}
	defer source.Close()
	return s.admit(source, from)
}

// openSource opens the folder that a version is made of.
func openSource(from string) (*os.Root, error) {
	info, err := os.Stat(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.NotFound, "name the folder that holds the data", "no such folder")
	}
	if err == nil && !info.IsDir() {
		return nil, fault.New(fault.Refused, "name the folder that holds the data", "it is not a folder")
	}
	if err != nil {
		return nil, err
	}
	return os.OpenRoot(from)
}

// admit checks that a folder can become a version of this store: it does not contain the store, has
// only files and folders, is within the bounds, and fits on the disk.
func (s *Store) admit(source *os.Root, from string) error {
	within, err := inside(s.Dir, from)
	if err != nil {
		return err
	}
	if within {
		return fault.New(fault.Refused, "back up a folder that does not hold the versions",
			"the versions themselves are kept below it, in %s", s.Dir)
	}
	m, t, err := tree.SurveyLive(source)
	if err != nil {
		return err
	}
	if t.Files == 0 {
		return tree.NoFiles()
	}
	if err := m.CheckCopyable(); err != nil {
		return err
	}
	return s.checkSpace(volumeOf(&t))
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

// realPath resolves symbolic links in the part of a path that exists.
func realPath(name string) (string, error) {
	name, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	there := existing(name)
	real, err := filepath.EvalSymlinks(there)
	return filepath.Join(real, strings.TrimPrefix(name, there)), err
}

// existing returns the nearest folder above a path, or itself, that exists.
func existing(name string) string {
	for {
		if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) || name == filepath.Dir(name) {
			return name
		}
		name = filepath.Dir(name)
	}
}
