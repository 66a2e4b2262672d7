package xdata

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mxcluster/xdata/internal/wire"
)

// At most maxPartials interrupted transfers of a LIM are kept, for partialsStale at most.
const (
	maxPartials   = 3
	partialsStale = 7 * 24 * time.Hour
)

// partials returns the folders of interrupted transfers of a LIM, the newest first.
func (s *Store) partials(lim int) (dirs []string) {
	type partial struct {
		dir   string
		mtime time.Time
	}
	var found []partial
	entries, _ := os.ReadDir(s.Dir) // without a store there are none
	for _, e := range entries {
		if info, err := e.Info(); err == nil && e.IsDir() && strings.HasPrefix(e.Name(), partialPrefix(lim)) {
			found = append(found, partial{filepath.Join(s.Dir, e.Name()), info.ModTime()})
		}
	}
	slices.SortFunc(found, func(a, b partial) int { return b.mtime.Compare(a.mtime) })
	for _, p := range found {
		dirs = append(dirs, p.dir)
	}
	return dirs
}

// removePartials removes what interrupted transfers left. What cannot be removed is
// left to the next time.
func (s *Store) removePartials(lim int) {
	for _, dir := range s.partials(lim) {
		s.warnLeft(removeTree(dir))
	}
}

// cleanPartials removes partial folders that are too many or too old to be of use.
func (s *Store) cleanPartials(lim int) {
	for i, dir := range s.partials(lim) {
		info, bad := os.Lstat(dir)
		if errors.Is(bad, fs.ErrNotExist) {
			continue
		}
		if i >= maxPartials || bad != nil || s.now().Sub(info.ModTime()) > partialsStale {
			s.warnLeft(removeTree(dir))
		}
	}
}

// checkSpaceAfterPartials refuses a version that does not fit. Where it fits
// only without what interrupted transfers left, that goes.
func (s *Store) checkSpaceAfterPartials(lim int, h *wire.VersionHead) error {
	err := s.checkSpace(volume{bytes: h.Bytes, content: h.Content, files: h.Entries})
	if err == nil || len(s.partials(lim)) == 0 {
		return err
	}
	s.removePartials(lim)
	return s.checkSpace(volume{bytes: h.Bytes, content: h.Content, files: h.Entries})
}
