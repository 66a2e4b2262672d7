package xdata

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Prune removes the oldest complete versions of a LIM until keep are left, and
// damaged ones that are no newer than a good one. Whatever keep says, the
// newest complete version stays, and so do the newest that was verified and
// those still being written. The LIM's lock taken is fault.Busy.
func (s *Store) Prune(lim, keep int) (removed []Version, err error) {
	release, err := s.lock(lim, "xdata prune")
	if err != nil {
		return nil, err
	}
	defer release()
	return s.prune(lim, keep)
}

// Surplus returns what Prune would remove, and removes nothing.
func (s *Store) Surplus(lim, keep int) ([]Version, error) {
	if few, err := s.few(lim, keep); few || err != nil {
		return nil, err
	}
	versions, err := s.List(lim)
	if err != nil {
		return nil, err
	}
	return surplus(versions, keep), nil
}

// few tells whether there are no more versions of a LIM than are kept anyway, none
// of them damaged. That spares the look at every file of them.
func (s *Store) few(lim, keep int) (bool, error) {
	entries, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("list data versions: %w", err)
	}
	count := 0
	for _, e := range entries {
		of, _, ok := parseName(e.Name())
		if !ok || !e.IsDir() || of != lim {
			continue
		}
		own, err := s.markOf(e.Name())
		if count++; err != nil || own != nil && own.Damage != "" || count > max(keep, 1) {
			return false, nil //nolint:nilerr // whoever looks closer says so
		}
	}
	return true, nil
}

// surplus says which versions of a LIM, newest first, are one too many.
func surplus(versions []Version, keep int) (over []Version) {
	good, verified := 0, false
	for _, v := range versions {
		switch {
		case v.Damage != "":
			if good > 0 {
				over = append(over, v)
			}
			continue
		case !v.Complete:
			continue
		}
		good++
		first := v.Verified != nil && !verified
		verified = verified || v.Verified != nil
		if good > max(keep, 1) && !first {
			over = append(over, v)
		}
	}
	return over
}

// prune is Prune for a caller that holds the LIM's lock.
func (s *Store) prune(lim, keep int) (removed []Version, err error) {
	over, err := s.Surplus(lim, keep)
	if err != nil {
		return nil, err
	}
	for _, v := range over {
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
