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

// Prune removes the oldest complete versions of a LIM until keep are left, those that do
// not fit the cluster document any more, and damaged ones that are no newer than a good
// one. Whatever keep says, the newest complete version stays, and so do the newest that
// was verified, those still being written, and both sides of a conflict. Of a LIM that has
// another side, what was made here stays until something newer is whole on both. What
// cannot be removed is told by Warn and stops nothing. The LIM's lock taken is fault.Busy.
func (s *Store) Prune(lim, keep int) (removed []Version, err error) {
	release, err := s.lock(lim, "xdata prune")
	if err != nil {
		return nil, err
	}
	defer release()
	return s.prune(lim, keep, s.paired(lim))
}

// Surplus returns what Prune would remove, and removes nothing.
func (s *Store) Surplus(lim, keep int) ([]Version, error) {
	return s.surplusOf(lim, keep, s.paired(lim))
}

func (s *Store) paired(lim int) bool { return s.Paired != nil && s.Paired(lim) }

func (s *Store) surplusOf(lim, keep int, paired bool) ([]Version, error) {
	p, err := s.files(lim).pair()
	if err != nil {
		return nil, err
	}
	if few, err := s.fewVersions(lim, keep); err != nil || few && (p.Fits == nil || !p.unfit(s, lim)) {
		return nil, err
	}
	versions, err := s.List(lim)
	if err != nil {
		return nil, err
	}
	return p.surplus(versions, keep, paired, s.now()), nil
}

// unfit tells whether there may be versions that do not fit any more: those that came
// since have names of their own.
func (p *pairState) unfit(s *Store, lim int) bool {
	entries, err := os.ReadDir(s.Dir)
	return err != nil || slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		of, _, ok := parseName(e.Name())
		return ok && of == lim && e.Name() < p.Fits.Node.Name
	})
}

// Waiting returns how many versions of a LIM Prune would remove, had something newer been
// whole on both sides.
func (s *Store) Waiting(lim, keep int) (int, error) {
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

// fewVersions tells whether there are no more versions of a LIM than are kept anyway, none
// of them damaged. That spares the look at every file of them.
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

// surplus says which versions of a LIM, newest first, are one too many. One with a file
// from the future counts as none, as a damaged one does: it cannot be copied, or nobody
// knows how old it is.
func (p *pairState) surplus(versions []Version, keep int, paired bool, now time.Time) (over []Version) {
	good, verified := 0, false
	fits := -1
	if p.Fits != nil {
		fits = slices.IndexFunc(versions, func(v Version) bool { return v.line.Node.Name == p.Fits.Node.Name })
	}
	for i := range versions {
		v := &versions[i]
		bad := v.Damage != "" || v.Complete && v.future(now) && (paired || !v.line.Made)
		if !bad && !v.Complete || v.noFolder { // somebody put that there, who may want it
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
		old := good > max(keep, 1) || good > 1 && p.unfitting(v, fits >= 0 && i > fits)
		if old && !first && p.mayGo(v, versions[:i], paired, now) {
			over = append(over, *v)
		}
	}
	return over
}

// unfitting tells whether a version is older than those that fit the cluster document;
// after tells that it comes after them.
func (p *pairState) unfitting(v *Version, after bool) bool {
	if p.Fits == nil {
		return false
	}
	o := lineage.Compare(&v.line, p.Fits)
	return o == lineage.Older || o == lineage.Unknown && after
}

// mayGo tells whether a version may be removed: neither side of a conflict, and nothing
// that was made before something newer, which is still good here, was whole on both sides.
func (p *pairState) mayGo(v *Version, newer []Version, paired bool, now time.Time) bool {
	if c := p.Conflict; c != nil && (c.Ours.Node == v.line.Node || c.Theirs.Node == v.line.Node) {
		return false
	}
	if !paired || !v.line.Made {
		return true
	}
	if p.Whole == nil {
		return false
	}
	same := v.line.Node == p.Whole.Node
	if o := lineage.Compare(&v.line, p.Whole); !same && o != lineage.Older && o != lineage.Same {
		return false
	}
	return slices.ContainsFunc(newer, func(n Version) bool {
		return n.Complete && !n.future(now) && (looksLike(&n) == p.Local || n.sameAs(p.Whole))
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
