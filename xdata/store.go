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

// Store is a folder of data versions. Several processes may use one store: changes to a LIM's
// versions are made under that LIM's lock.
type Store struct {
	Dir   string           // folder of the versions; created with the first version
	Now   func() time.Time // clock; nil: time.Now
	Still time.Duration    // quiet period of other programs' versions; 0: DefaultStill
	Space SpaceFunc        // free space of a folder; nil: asks the kernel

	// Spare is how many versions of an incoming one's size there must be room for; 0 is 1. A
	// standby keeps room for two of each LIM (spec ch. 6).
	Spare int
	// Side decides which names versions made here get, so that the two sides never give the same
	// one; "": there is no other side.
	Side clusterconf.Side
	// Paired tells whether a LIM has another side. Where it has, a version made here is removed
	// only after both sides have a newer one. nil: none has.
	Paired func(lim int) bool
	// Reason says why something is changed. It is shown to others that find the lock taken, and
	// recorded in versions that are made.
	Reason string
	// Note receives one line about attributes that could not be kept of a version that was made,
	// received or restored; may be nil.
	Note func(text string)
	// Notes is a folder for marks where the store is read-only; "": none.
	Notes string
	// Progress receives the bytes that Backup copies; may be nil.
	Progress func(n int64)
	// Warn receives what does not stop the work but somebody should know, such as what cannot be
	// removed. It is called from several goroutines. May be nil.
	Warn func(err error)
}

// note reports attributes that could not be kept.
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

// List returns the versions of a LIM, or of all for 0, sorted by LIM, the newest first. Order:
// lineage, then whether a version is in line with the head, then the newest modification time, then
// the name. A version that cannot be examined is listed as damaged. A store that does not exist has
// none.
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

// list is List with all that was observed. guided: the version with the newest name is examined by
// its index, which a sync of that version needs.
func (s *Store) list(lim int, guided bool) ([]observed, error) {
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
	l := s.inspector()
	versions, err := l.inspectAll(names, guide)
	if err != nil {
		return nil, err
	}
	sorted := make([]observed, 0, len(versions))
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

// Newest returns the newest complete version of a LIM. ok is false when there is none.
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
