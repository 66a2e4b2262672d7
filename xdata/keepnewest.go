package xdata

import (
	"context"
	"fmt"
	"slices"
)

// KeepNewest removes all versions of a LIM but the newest complete one, after an action that makes
// older ones incompatible (spec ch. 9). The newest is verified first, by reading all of it; an
// error means that this failed, and that all versions stay. Versions that are still being written
// stay as well, and so do those that Prune must keep: they are removed after the next sync.
func (s *Store) KeepNewest(ctx context.Context, lim int) (removed []Version, err error) {
	release, err := s.lock(lim, "xdata prune")
	if err != nil {
		return nil, err
	}
	defer release()
	versions, err := s.List(lim)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(versions, func(v Version) bool { return v.Complete })
	if i < 0 {
		return nil, nil
	}
	if len(versions) > 1 {
		f, err := s.Verify(ctx, versions[i], nil)
		if err == nil {
			err = f.Failure()
		}
		if err != nil {
			return nil, fmt.Errorf("read version %s before others are removed: %w", versions[i].Name, err)
		}
	}
	p, err := s.files(lim).pair()
	if err != nil {
		return nil, err
	}
	if p.OldestCompatible == nil || !sameVersion(p.OldestCompatible, &versions[i].line) {
		p.OldestCompatible = &versions[i].line // the other side is told in the next sync
		if err := s.files(lim).setPair(p); err != nil {
			return nil, err
		}
	}
	return s.prune(lim, 1, s.paired(lim))
}

// Incompatible returns the versions that KeepNewest would remove, and those that it would leave
// until both sides have a newer one. It changes nothing.
func (s *Store) Incompatible(lim int) (gone, waiting []Version, err error) {
	versions, err := s.List(lim)
	if err != nil {
		return nil, nil, err
	}
	p, err := s.files(lim).pair()
	if err != nil {
		return nil, nil, err
	}
	now := s.now()
	i := slices.IndexFunc(versions, func(v Version) bool { return v.Complete })
	if i < 0 {
		return nil, nil, nil
	}
	versions[i].Verified = &now
	gone = p.surplus(versions, 1, s.paired(lim), now)
	for _, v := range p.surplus(versions, 1, false, now) {
		if !slices.ContainsFunc(gone, func(g Version) bool { return g.Name == v.Name }) {
			waiting = append(waiting, v)
		}
	}
	return gone, waiting, nil
}
