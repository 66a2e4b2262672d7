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

// replacedStale is how old a file must be that was to replace another before it
// counts as left by a crash: who verifies makes some too, without the lock.
const replacedStale = time.Hour

// leftovers are what crashed holders of a LIM's lock left in a store.
type leftovers struct {
	dir  string
	lim  int
	now  func() time.Time
	warn warner
}

// isReplacement tells whether a file was to replace an index, a mark, or what is remembered
// of a LIM.
func (l leftovers) isReplacement(name string) bool {
	version, files := fmt.Sprintf("xdata_%d_", l.lim), limFiles{dir: l.dir, lim: l.lim}
	of := []string{indexPrefix + version, markPrefix + version, filepath.Base(files.headPath()), filepath.Base(files.pairPath())}
	return slices.ContainsFunc(of, func(prefix string) bool { return strings.HasPrefix(name, "."+prefix) })
}

// cleanReplacement removes such a file, or a sign, unless it is new.
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

// clean clears them away: staging folders, files that were to replace others, and marks
// without a version. What cannot be removed is told, and tried again by the next holder of
// the lock. The caller holds it.
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

// isGone tells whether a name is that of a version of a LIM, and none of that name is in dir.
func isGone(dir string, lim int, name string) bool {
	if of, _, valid := parseName(name); !valid || of != lim {
		return false
	}
	_, err := os.Lstat(filepath.Join(dir, name))
	return errors.Is(err, fs.ErrNotExist)
}
