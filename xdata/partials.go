package xdata

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// At most maxPartials interrupted transfers of a LIM are kept, for at most partialsStale.
const (
	maxPartials   = 3
	partialsStale = 7 * 24 * time.Hour
)

// partials are what interrupted transfers of a LIM left in a store.
type partials struct {
	dir  string
	lim  int
	now  func() time.Time
	warn warner
}

func (s *Store) partials(lim int) partials {
	return partials{dir: s.Dir, lim: lim, now: s.now, warn: s.warn}
}

// folders returns their folders, the newest first.
func (ps partials) folders() (dirs []string) {
	type partial struct {
		dir   string
		mtime time.Time
	}
	var found []partial
	entries, _ := os.ReadDir(ps.dir) // none without a store
	for _, e := range entries {
		if info, err := e.Info(); err == nil && e.IsDir() && strings.HasPrefix(e.Name(), partialPrefix(ps.lim)) {
			found = append(found, partial{filepath.Join(ps.dir, e.Name()), info.ModTime()})
		}
	}
	slices.SortFunc(found, func(a, b partial) int { return b.mtime.Compare(a.mtime) })
	for _, p := range found {
		dirs = append(dirs, p.dir)
	}
	return dirs
}

// remove removes all of them. What cannot be removed is left to the next call.
func (ps partials) remove() {
	for _, dir := range ps.folders() {
		ps.warn.left(removeTree(dir))
	}
}

// clean removes those that are too many or too old.
func (ps partials) clean() {
	for i, dir := range ps.folders() {
		info, bad := os.Lstat(dir)
		if errors.Is(bad, fs.ErrNotExist) {
			continue
		}
		if i >= maxPartials || bad != nil || ps.now().Sub(info.ModTime()) > partialsStale {
			ps.warn.left(removeTree(dir))
		}
	}
}
