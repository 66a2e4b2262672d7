package xdata

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mxcluster/internal/safepath"
)

// replacedStale is the age at which a temporary file counts as left by a crash: verify writes such
// files without holding the lock.
const replacedStale = time.Hour

// leftovers are what crashed holders of a LIM's lock left in a store.
type leftovers struct {
	dir  string
	lim  int
	now  func() time.Time
	warn warner
}

// isReplacement tells whether a file is a temporary one, to be renamed to an index, a mark, or a
// state file of the LIM.
func (l leftovers) isReplacement(name string) bool {
	version, files := fmt.Sprintf("xdata_%d_", l.lim), limFiles{dir: l.dir, lim: l.lim}
	of := []string{indexPrefix + version, markPrefix + version, filepath.Base(files.headPath()), filepath.Base(files.pairPath())}
	return slices.ContainsFunc(of, func(prefix string) bool { return strings.HasPrefix(name, "."+prefix) })
}

// cleanReplacement removes a temporary file, or a sign file, unless it is new.
func (l leftovers) cleanReplacement(e fs.DirEntry) error {
	info, err := e.Info()
	if err == nil && l.now().Sub(info.ModTime()) > replacedStale {
		err = safepath.Remove(filepath.Join(l.dir, e.Name()))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// clean removes staging folders, temporary files, and marks without a version. What cannot be
// removed is reported, and tried again by the next holder of the lock. The caller holds the lock.
func (l leftovers) clean() error {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), stagingPrefix(l.lim)) {
			l.warn.left(removeTree(filepath.Join(l.dir, e.Name())))
			continue
		}
		if l.isReplacement(e.Name()) || strings.HasPrefix(e.Name(), signPrefix) {
			l.warn.left(l.cleanReplacement(e))
			continue
		}
		name, ok := strings.CutPrefix(strings.TrimSuffix(e.Name(), ".json"), markPrefix)
		if ok && isGone(l.dir, l.lim, name) {
			l.warn.left(safepath.Remove(filepath.Join(l.dir, e.Name())))
		}
	}
	return nil
}

// isGone tells whether name is that of a version of the LIM which is not in dir.
func isGone(dir string, lim int, name string) bool {
	if of, _, valid := parseName(name); !valid || of != lim {
		return false
	}
	_, err := os.Lstat(filepath.Join(dir, name))
	return errors.Is(err, fs.ErrNotExist)
}
