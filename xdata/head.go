package xdata

import (
	"errors"
	"io/fs"
	"slices"

	"mxcluster/internal/fault"
	"mxcluster/internal/lineage"
)

// The head of a LIM's data on a server is the version that the LIM here was last started
// on, received or backed up to: what its next backup follows. It is never simply the
// newest one in the store.

// head returns the head of a LIM; nil when there is none. Where it is not known, as in a
// copy of the versions alone, it is the one that all others lead to. The versions there
// are looked at then, unless they are given.
func (s *Store) head(lim int, versions []seen) (*lineage.Version, error) {
	if v, err := s.files(lim).head(); v != nil || err != nil {
		return v, err
	}
	if versions == nil {
		var err error
		if versions, err = s.list(lim, false); err != nil {
			return nil, err
		}
	}
	versions = slices.DeleteFunc(slices.Clone(versions), func(v seen) bool { return !v.line.Made })
	for i := range versions {
		if i > 0 && lineage.Compare(&versions[0].line, &versions[i].line) == lineage.Apart {
			return nil, nil
		}
	}
	if len(versions) == 0 {
		return nil, nil
	}
	return &versions[0].line, nil
}

// Started notes that a LIM was started on a version here: its next backup follows that.
// fault.NotFound when the version is gone.
func (s *Store) Started(lim int, name string) error {
	v, err := s.looker().see(name, false)
	if errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.NotFound, "", "LIM %d has no version %q here", lim, name)
	}
	if err != nil {
		return err
	}
	return s.files(lim).setHead(&v.line)
}
