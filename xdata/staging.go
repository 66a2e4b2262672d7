package xdata

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// staging is a version that is being put together, invisible until committed.
type staging struct {
	store *Store
	lim   int
	root  *os.Root
}

// stagingPrefix starts the names of what is not, or no longer, a version.
func stagingPrefix(lim int) string { return fmt.Sprintf(".staging-%d-", lim) }

// stage makes an empty staging folder. The caller holds the LIM's lock.
func (s *Store) stage(lim int) (*staging, error) {
	dir, err := os.MkdirTemp(s.Dir, stagingPrefix(lim))
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	return &staging{store: s, lim: lim, root: root}, nil
}

// discard removes what was staged. After a commit it only closes.
func (g *staging) discard() {
	g.root.Close()
	_ = removeTree(g.root.Name()) // a failure leaves it to the next holder of the lock
}

// commit makes the staged version durable, then visible under the first free
// name from stamp on: two versions of one second get stamps that differ.
func (g *staging) commit(stamp time.Time, verified *time.Time) (Version, error) {
	if err := syncTree(g.root); err != nil {
		return Version{}, fmt.Errorf("make the version durable: %w", err)
	}
	name, err := g.store.freeName(g.lim, stamp)
	if err != nil {
		return Version{}, err
	}
	if err := g.store.writeMark(g.root, name, verified); err != nil {
		return Version{}, err
	}
	if err := os.Rename(g.root.Name(), filepath.Join(g.store.Dir, name)); err != nil {
		return Version{}, errors.Join(err, os.Remove(g.store.markPath(name)))
	}
	if err := syncDir(g.store.Dir); err != nil {
		return Version{}, err
	}
	return g.store.look(name)
}

// freeName returns the first unused name of a LIM from a time on.
func (s *Store) freeName(lim int, stamp time.Time) (string, error) {
	for ; ; stamp = stamp.Add(time.Second) {
		name := versionName(lim, stamp)
		_, err := os.Lstat(filepath.Join(s.Dir, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return name, nil
		case err != nil:
			return "", err
		}
	}
}

// remove deletes a version. It is renamed first, so that one half deleted is
// never taken for a version.
func (s *Store) remove(v Version) error {
	dir, err := os.MkdirTemp(s.Dir, stagingPrefix(v.LIM))
	if err != nil {
		return err
	}
	if err := os.Rename(v.Path, filepath.Join(dir, v.Name)); err != nil {
		return errors.Join(err, os.Remove(dir))
	}
	if err := os.Remove(s.markPath(v.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return removeTree(dir)
}

// removeTree removes a folder, also one with read-only folders in it, which
// only root removes without more ado.
func removeTree(dir string) error {
	err := os.RemoveAll(dir)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	_ = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		// A folder is announced before it is read, and again when that failed.
		if d != nil && d.IsDir() && err == nil {
			return os.Chmod(name, 0o700)
		}
		return nil
	})
	return os.RemoveAll(dir)
}

// clean clears away what crashed holders of a LIM's lock left: staging folders,
// and marks without a version. The caller holds the lock.
func (s *Store) clean(lim int) error {
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), stagingPrefix(lim)) {
			err = errors.Join(err, removeTree(filepath.Join(s.Dir, e.Name())))
			continue
		}
		name, ok := strings.CutPrefix(strings.TrimSuffix(e.Name(), ".json"), markPrefix)
		if of, _, valid := parseName(name); !ok || !valid || of != lim {
			continue
		}
		if _, gone := os.Lstat(filepath.Join(s.Dir, name)); errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, os.Remove(filepath.Join(s.Dir, e.Name())))
		}
	}
	return err
}

// syncTree makes everything below root durable. It is one pass at the end, not
// one call per file as it is written: the first call makes the file system
// write nearly all of it, and the others find little left to do.
func syncTree(root *os.Root) error {
	folders := []string{"."}
	err := walk(root, func(name string, info fs.FileInfo) error {
		if info.IsDir() {
			folders = append(folders, name)
			return nil
		}
		return syncOne(root, name)
	})
	for i := len(folders) - 1; i >= 0 && err == nil; i-- {
		err = syncOne(root, folders[i])
	}
	return err
}

func syncOne(root *os.Root, name string) error {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// syncDir makes the renames in a folder durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
