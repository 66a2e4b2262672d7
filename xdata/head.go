package xdata

import (
	"errors"
	"io/fs"
	"slices"

	"mxcluster/internal/fault"
	"mxcluster/internal/lineage"
)

// The head of a LIM's data on a server is the version that its data come from: the one that the LIM
// was last started on, received, or backed up to. The next backup follows it. It need not be the
// newest version in the store.

// head returns the head of a LIM; nil: none. Where none is recorded, as in a copied store, it is
// the newest version made by Backup, unless another one neither follows it nor is followed by it.
// versions may be nil: they are inspected then if needed.
func (s *Store) head(lim int, versions []observed) (*lineage.Version, error) {
	if v, err := s.files(lim).head(); v != nil || err != nil {
		return v, err
	}
	if versions == nil {
		var err error
		if versions, err = s.list(lim, false); err != nil {
			return nil, err
		}
	}
	versions = slices.DeleteFunc(slices.Clone(versions), func(v observed) bool { return !v.line.Made })
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

// Started records that a LIM was started on a version, which becomes the head. fault.NotFound when
// the version is gone.
func (s *Store) Started(lim int, name string) error {
	v, err := s.inspector().inspect(name, false)
	if errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.NotFound, "", "LIM %d has no version %q here", lim, name)
	}
	if err != nil {
		return err
	}
	return s.files(lim).setHead(&v.line)
}
