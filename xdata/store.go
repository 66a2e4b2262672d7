package xdata

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"mxcluster/clusterconf"
	"mxcluster/xdata/internal/tree"
)

// Store is a folder of data versions. Several processes may use one store:
// what changes the versions of a LIM holds that LIM's lock.
type Store struct {
	Dir   string           // folder of the versions; made when the first one is
	Now   func() time.Time // clock; nil: time.Now
	Still time.Duration    // see DefaultStill, which 0 means
	Space SpaceFunc        // free space of a folder; nil: asks the kernel

	// Spare is how many versions of an incoming one's size there must be room
	// for; 0 is 1. A standby keeps room for two of each LIM (spec ch. 6).
	Spare int
	// Side has the names of versions that are made here tell themselves apart from those
	// that the other side makes, in whatever second; "": there is no other side.
	Side clusterconf.Side
	// Paired tells whether a LIM has another side, which has to have something newer
	// before a version that was made here is removed; nil: none has.
	Paired func(lim int) bool
	// Reason says why something is changed: whoever finds the lock taken reads
	// it, and a version that is made keeps it.
	Reason string
	// Note is told, in a line, what could not be kept of a version that was made, received
	// or restored; may be nil.
	Note func(text string)
	// Notes is a folder for what is found of versions where nothing can be written beside
	// them; "": there is none.
	Notes string
	// Progress is told of bytes that Backup has copied; may be nil.
	Progress func(n int64)
	// Warn is told of what does not stop the work and somebody should know, such as what
	// cannot be removed; from several goroutines. May be nil.
	Warn func(err error)
}

// note tells of what could not be kept.
func (s *Store) note(u *tree.Dropped) {
	if text := u.String(); text != "" && s.Note != nil {
		s.Note(text)
	}
}

func (s *Store) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

// List returns the versions of a LIM, or of all LIMs for 0, by LIM, the newest first:
// one that another follows comes after it, what is of the line of the LIM's data here comes
// before what does not, else newest modification times tell, then names. One that cannot
// be looked at is damaged and hides no other. A store that does not exist yet has none.
func (s *Store) List(lim int) ([]Version, error) {
	seen, err := s.list(lim, false)
	if err != nil {
		return nil, err
	}
	versions := make([]Version, len(seen))
	for i := range seen {
		versions[i] = seen[i].Version
	}
	return versions, nil
}

// list is List with what was seen on the way. Guided has the version whose name is the
// newest looked at by its index: for a sync, which needs the index of the newest version,
// and mostly that is the one.
func (s *Store) list(lim int, guided bool) ([]seen, error) {
	entries, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list data versions: %w", err)
	}
	var names []string
	for _, e := range entries {
		if of, _, ok := parseName(e.Name()); ok && (lim == 0 || of == lim) {
			names = append(names, e.Name())
		}
	}
	guide := ""
	if guided && len(names) > 0 {
		guide = slices.Max(names)
	}
	l := s.looker()
	versions, err := l.seeAll(names, guide)
	if err != nil {
		return nil, err
	}
	sorted := make([]seen, 0, len(versions))
	for _, of := range byLIM(versions) {
		l.judgeAll(of)
		head, err := s.files(of[0].LIM).head()
		if err != nil {
			return nil, err
		}
		sorted = append(sorted, sortNewest(of, head)...)
	}
	return sorted, nil
}

// Newest returns the newest complete version of a LIM, the first one of List. ok is
// false when there is none.
func (s *Store) Newest(lim int) (v Version, ok bool, err error) {
	versions, err := s.List(lim)
	if err != nil {
		return Version{}, false, err
	}
	i := slices.IndexFunc(versions, func(v Version) bool { return v.Complete })
	if i < 0 {
		return Version{}, false, nil
	}
	return versions[i], true, nil
}
