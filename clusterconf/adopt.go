package clusterconf

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

// Adoption says what became of a document that another server sent.
type Adoption struct {
	Adopted  bool   // it is the stored document now
	Conflict bool   // neither of it and the stored one was edited from the other
	TooFar   bool   // it was adopted, and more lies between the two than can be seen: it may be a conflict
	Kept     string // history file of the document that lost a conflict

	Unkept error // why the document that was replaced is not in history here; nil: it is
}

// Adopt takes over a document from another server of the system if it was edited from
// the stored one, or if there is none. Of two of which neither was edited from the
// other the one of the higher epoch, revision, time and hash wins, so that all servers
// choose the same; a time in the future loses, and the loser is kept in history. One whose
// revision or epoch is beyond [Reach] is refused. A document of another system is refused. Where there is no room
// for history a newer one is taken over all the same: the replaced one is in the history
// of others, and a server that stayed behind could not take over.
func (s *Store) Adopt(ctx context.Context, d *Encoded) (Adoption, error) {
	if err := storable(d); err != nil {
		return Adoption{}, err
	}
	if err := makeDir(filepath.Dir(s.Path)); err != nil {
		return Adoption{}, err
	}
	var result Adoption
	err := s.locked(ctx, func() (err error) {
		result, err = s.adopt(d)
		return err
	})
	if err != nil {
		return Adoption{}, err
	}
	return result, nil
}

// adopt does what Adopt says, under the lock.
func (s *Store) adopt(d *Encoded) (Adoption, error) {
	switch missing, err := isMissing(s.Path); {
	case err != nil:
		return Adoption{}, err
	case missing:
		return Adoption{Adopted: true}, s.first(d)
	}
	stored, old, err := s.read()
	switch {
	case err != nil:
		return Adoption{}, err
	case stored.System != d.System:
		return Adoption{}, fault.New(fault.Refused, "two systems share a network and a gossip key: give each its own",
			"the document is of system %s, this server belongs to %s", d.System, stored.System)
	}
	if err := withinReach(d.Document, stored.Document); err != nil {
		return Adoption{}, err
	}
	switch relation := Relate(d, stored); {
	case relation == Follows, relation == TooFar && d.Age().Compare(stored.Age()) > 0:
		_, err := s.keep(stored.Revision, old)
		if err != nil && !noRoom(err) {
			return Adoption{}, err
		}
		return Adoption{Adopted: true, TooFar: relation == TooFar, Unkept: err}, s.write(d)
	case relation != Apart:
		return Adoption{}, nil
	case s.precedence(d, stored) > 0:
		kept, err := s.keep(stored.Revision, old)
		if err != nil {
			return Adoption{}, err
		}
		return Adoption{Adopted: true, Conflict: true, Kept: kept}, s.write(d)
	}
	kept, err := s.keep(d.Revision, d.bytes)
	return Adoption{Conflict: true, Kept: kept}, err
}

// noRoom tells whether a disk is full, or takes nothing at all.
func noRoom(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EROFS) || errors.Is(err, unix.EIO)
}

// precedence compares two documents: it is positive if a wins over b, and the same on
// every server.
func precedence(a, b *Encoded) int {
	return cmp.Or(a.Age().Compare(b.Age()), a.Changed.At.Compare(b.Changed.At), cmp.Compare(a.hash, b.hash))
}

// precedence is the same, but of two of one age one that was made in the future by this
// server's clock loses: a clock that is wrong wins over none that is right.
func (s *Store) precedence(a, b *Encoded) int {
	now := time.Now()
	if s.Now != nil {
		now = s.Now()
	}
	return cmp.Or(a.Age().Compare(b.Age()), cmp.Compare(ahead(b.Document, now), ahead(a.Document, now)), precedence(a, b))
}
