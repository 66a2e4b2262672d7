package xdata

import (
	"context"
	"fmt"
	"slices"
)

// KeepNewest leaves one version of a LIM, the newest complete one, as the
// actions do that make older ones incompatible (spec ch. 9). In the safe order:
// it is read from end to end and noted as verified, and only then are the
// others removed. An error says that it could not be read; then all stay.
// Versions that are still being written stay, too, and those that Prune has to leave:
// they go with the next sync.
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
	if p.Fits == nil || !sameVersion(p.Fits, &versions[i].line) {
		p.Fits = &versions[i].line // the other side hears of it with the next sync
		if err := s.files(lim).setPair(p); err != nil {
			return nil, err
		}
	}
	return s.prune(lim, 1, s.paired(lim))
}

// Unfit returns what KeepNewest would remove, and what it would have to leave until
// something newer is on both sides. It reads and changes nothing.
func (s *Store) Unfit(lim int) (gone, waiting []Version, err error) {
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
