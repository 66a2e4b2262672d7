package clusterconf

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"path/filepath"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

// Adoption says what became of a document that another server sent.
type Adoption struct {
	Adopted  bool   // it is the stored document now
	Conflict bool   // it had the stored one's revision but another content
	Kept     string // history file of the document that lost a conflict

	Unkept error // why the document that was replaced is not in history here; nil: it is
}

// Adopt takes over a document from another server of the system if it is newer
// than the stored one, or if there is none. Of two different documents with
// one revision the one that was changed later wins, or with equal times that
// with the greater hash, so that all servers choose the same; the loser is
// kept in history. A document of another system is refused. Where there is no room
// for history a newer one is taken over all the same: the replaced one is in the history
// of others, and a server that stayed behind could not take over.
func (s *Store) Adopt(ctx context.Context, d *Document) (Adoption, error) {
	data, d, err := encodeValid(d)
	if err != nil {
		return Adoption{}, err
	}
	if err := makeDir(filepath.Dir(s.Path)); err != nil {
		return Adoption{}, err
	}
	var result Adoption
	err = s.locked(ctx, func() (err error) {
		result, err = s.adopt(d, data)
		return err
	})
	if err != nil {
		return Adoption{}, err
	}
	return result, nil
}

// adopt does what Adopt says, under the lock.
func (s *Store) adopt(d *Document, data []byte) (Adoption, error) {
	switch missing, err := isMissing(s.Path); {
	case err != nil:
		return Adoption{}, err
	case missing:
		return Adoption{Adopted: true}, replaceFile(s.Path, data)
	}
	stored, old, err := s.read()
	switch {
	case err != nil:
		return Adoption{}, err
	case stored.System != d.System:
		return Adoption{}, fault.New(fault.Refused, "two systems share a network and a gossip key: give each its own",
			"the document is of system %s, this server belongs to %s", d.System, stored.System)
	case d.Revision > stored.Revision:
		_, err := s.keep(stored.Revision, old)
		if err != nil && !noRoom(err) {
			return Adoption{}, err
		}
		return Adoption{Adopted: true, Unkept: err}, replaceFile(s.Path, data)
	case d.Revision < stored.Revision || bytes.Equal(data, Encode(stored)):
		return Adoption{}, nil
	case precedence(d, stored) > 0:
		kept, err := s.keep(stored.Revision, old)
		if err != nil {
			return Adoption{}, err
		}
		return Adoption{Adopted: true, Conflict: true, Kept: kept}, replaceFile(s.Path, data)
	}
	kept, err := s.keep(d.Revision, data)
	return Adoption{Conflict: true, Kept: kept}, err
}

// noRoom tells whether a disk is full, or takes nothing at all.
func noRoom(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EROFS) || errors.Is(err, unix.EIO)
}

// precedence compares two documents of one revision: it is positive if a wins
// over b, and the same on every server.
func precedence(a, b *Document) int {
	return cmp.Or(a.Changed.At.Compare(b.Changed.At), cmp.Compare(Hash(a), Hash(b)))
}
