package xdata

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"mxcluster/internal/lineage"
	"mxcluster/internal/safepath"
)

// Prune removes the oldest complete versions of a LIM until keep are left, versions that are
// incompatible with the cluster document, and damaged ones that have a newer good one. Never
// removed: the newest complete version, the newest verified one, those still being written, and
// both sides of a conflict. Where the LIM has another side, a version made here stays until both
// sides have a newer one. What cannot be removed is reported by Warn. fault.Busy when the LIM's
// lock is taken.
func (s *Store) Prune(lim, keep int) (removed []Version, err error) {
	release, err := s.lock(lim, "xdata prune")
	if err != nil {
		return nil, err
	}
	defer release()
	return s.prune(lim, keep, s.paired(lim))
}

// Surplus returns what Prune would remove, and changes nothing.
func (s *Store) Surplus(lim, keep int) ([]Version, error) {
	return s.surplusOf(lim, keep, s.paired(lim))
}

func (s *Store) paired(lim int) bool { return s.Paired != nil && s.Paired(lim) }

func (s *Store) surplusOf(lim, keep int, paired bool) ([]Version, error) {
	p, err := s.files(lim).pair()
	if err != nil {
		return nil, err
	}
	if few, err := s.fewVersions(lim, keep); err != nil || few && (p.OldestCompatible == nil || !p.hasIncompatible(s, lim)) {
		return nil, err
	}
	versions, err := s.List(lim)
	if err != nil {
		return nil, err
	}
	return p.surplus(versions, keep, paired, s.now()), nil
}

// hasIncompatible tells, by names alone, whether there may be versions older than the oldest
// compatible one.
func (p *pairState) hasIncompatible(s *Store, lim int) bool {
	entries, err := os.ReadDir(s.Dir)
	return err != nil || slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		of, _, ok := parseName(e.Name())
		return ok && of == lim && e.Name() < p.OldestCompatible.Node.Name
	})
}

// Retained returns how many versions Prune leaves only because the other side has no newer one yet.
func (s *Store) Retained(lim, keep int) (int, error) {
	if !s.paired(lim) {
		return 0, nil
	}
	all, err := s.surplusOf(lim, keep, false)
	if err != nil {
		return 0, err
	}
	some, err := s.surplusOf(lim, keep, true)
	return len(all) - len(some), err
}

// fewVersions tells, by names alone, whether there are at most keep versions of a LIM, none of them
// damaged. It saves inspecting every file.
func (s *Store) fewVersions(lim, keep int) (bool, error) {
	entries, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("list data versions: %w", err)
	}
	count := 0
	for _, e := range entries {
		of, _, ok := parseName(e.Name())
		if !ok || of != lim {
			continue
		}
		if count++; count > max(keep, 1) || s.marks().maybeDamaged(e.Name()) {
			return false, nil
		}
	}
	return true, nil
}

// surplus returns the versions of a LIM to prune; versions are sorted, newest first. A version with
// a file from the future is not counted as a good one: it cannot be copied, and its age is unknown.
func (p *pairState) surplus(versions []Version, keep int, paired bool, now time.Time) (over []Version) {
	good, verified := 0, false
	fits := -1
	if p.OldestCompatible != nil {
		fits = slices.IndexFunc(versions, func(v Version) bool { return v.line.Node.Name == p.OldestCompatible.Node.Name })
	}
	for i := range versions {
		v := &versions[i]
		bad := v.Damage != "" || v.Complete && v.future(now) && (paired || !v.line.Made)
		if !bad && !v.Complete || v.noFolder { // put there by a person, who may want it
			continue
		}
		if bad {
			if good > 0 && p.mayGo(v, versions[:i], paired, now) {
				over = append(over, *v)
			}
			continue
		}
		good++
		first := v.Verified != nil && !verified
		verified = verified || v.Verified != nil
		old := good > max(keep, 1) || good > 1 && p.incompatible(v, fits >= 0 && i > fits)
		if old && !first && p.mayGo(v, versions[:i], paired, now) {
			over = append(over, *v)
		}
	}
	return over
}

// incompatible tells whether a version is older than the oldest compatible one. after: it comes
// later in the sorted list.
func (p *pairState) incompatible(v *Version, after bool) bool {
	if p.OldestCompatible == nil {
		return false
	}
	o := lineage.Compare(&v.line, p.OldestCompatible)
	return o == lineage.Older || o == lineage.Unknown && after
}

// mayGo tells whether a version may be removed: it is no side of a conflict, and, if made here,
// both sides have had a newer one, which is still good here.
func (p *pairState) mayGo(v *Version, newer []Version, paired bool, now time.Time) bool {
	if c := p.Conflict; c != nil && (c.Ours.Node == v.line.Node || c.Theirs.Node == v.line.Node) {
		return false
	}
	if !paired || !v.line.Made {
		return true
	}
	if p.Common == nil {
		return false
	}
	same := v.line.Node == p.Common.Node
	if o := lineage.Compare(&v.line, p.Common); !same && o != lineage.Older && o != lineage.Same {
		return false
	}
	return slices.ContainsFunc(newer, func(n Version) bool {
		return n.Complete && !n.future(now) && (looksLike(&n) == p.Local || n.sameAs(p.Common))
	})
}

// prune is Prune for a caller that holds the LIM's lock.
func (s *Store) prune(lim, keep int, paired bool) (removed []Version, err error) {
	over, err := s.surplusOf(lim, keep, paired)
	if err != nil {
		return nil, err
	}
	for _, v := range over {
		if err := s.remove(v); err != nil {
			s.warn(fmt.Errorf("version %s stays: %w", v.Name, err))
			continue
		}
		removed = append(removed, v)
	}
	if len(removed) == 0 {
		return nil, nil
	}
	return removed, safepath.SyncDir(s.Dir)
}
