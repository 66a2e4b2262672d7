package xdata

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"mxcluster/clusterconf"
	"mxcluster/internal/lineage"
	"mxcluster/internal/safepath"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/wire"
)

// afterSync is what a sync that went well leaves to do on one side.
type afterSync struct {
	wire.Bye
	lim    int
	side   clusterconf.Side
	own    *Version // the newest one that can be copied; nil: there is none
	active func() bool
}

// tidy remembers that both sides have a version now, sets aside what lost a conflict, and
// removes what is no longer needed. It returns where something was set aside.
func (s *Store) tidy(a afterSync) (aside string, err error) {
	p, err := s.files(a.lim).pair()
	if err != nil {
		return "", err
	}
	if err := s.settle(a, p); err != nil {
		return "", err
	}
	if aside, err = s.setAside(a.lim, p); err != nil {
		return "", err
	}
	_, err = s.prune(a.lim, KeptBy(a.side), true)
	return aside, err
}

// settle takes in what a goodbye says.
func (s *Store) settle(a afterSync, p *pairState) error {
	changed := false
	if a.Whole != nil && a.own != nil {
		if err := a.Whole.Valid(); err != nil {
			return manifest.Violation("%v", err)
		}
		if !a.own.sameAs(a.Whole) {
			return nil // the peer speaks of something else
		}
		own := a.own.line
		if p.Whole == nil || !sameVersion(p.Whole, &own) || p.Local != looksLike(a.own) || p.Conflict != nil {
			p.Whole, p.Local, p.Conflict, changed = &own, looksLike(a.own), nil, true
		}
		if err := s.follow(a); err != nil {
			return err
		}
	}
	if f := a.Fits; f != nil {
		if err := f.Valid(); err != nil {
			return manifest.Violation("%v", err)
		}
		if p.Fits == nil || lineage.Compare(f, p.Fits) == lineage.Newer {
			p.Fits, changed = f, true
		}
	}
	if !changed {
		return nil
	}
	return s.files(a.lim).setPair(p)
}

// sameAs tells whether a version is what the other side says that it has.
func (v *Version) sameAs(theirs *lineage.Version) bool {
	return v.line.Node == theirs.Node || lineage.Compare(&v.line, theirs) == lineage.Same
}

// follow has the LIM's data here follow the version that both sides have, where they do
// not because of a crash. Where the LIM runs, they come from what it was started on.
func (s *Store) follow(a afterSync) error {
	head, err := s.head(a.lim, nil)
	if err == nil && head != nil && head.Node == a.own.line.Node && head.Node != a.Whole.Node {
		// Two versions of one content: what is made here next follows both.
		joined := lineage.Join(head, a.Whole)
		return s.files(a.lim).setHead(&joined)
	}
	if err != nil || head != nil && lineage.Compare(head, &a.own.line) != lineage.Older || a.active != nil && a.active() {
		return err
	}
	return s.files(a.lim).setHead(&a.own.line)
}

// wouldTidy returns the names of the versions that tidy would remove or set aside.
func (s *Store) wouldTidy(a afterSync, here []seen) ([]string, error) {
	p, err := s.files(a.lim).pair()
	if err != nil {
		return nil, err
	}
	var versions []Version
	for i := range here {
		versions = append(versions, here[i].Version)
	}
	if a.Whole != nil {
		if err := a.Whole.Valid(); err != nil {
			return nil, manifest.Violation("%v", err)
		}
		p.Whole, p.Conflict = a.Whole, nil
		if a.own == nil || !a.own.sameAs(a.Whole) {
			versions = slices.Insert(versions, 0, Version{LIM: a.lim, Complete: true, Files: 1, known: known{line: *a.Whole}})
		}
	}
	if a.Fits != nil {
		p.Fits = a.Fits
	}
	var names []string
	for _, v := range p.surplus(versions, KeptBy(a.side), true, s.now()) {
		names = append(names, v.Name)
	}
	return names, nil
}

// asideName is the folder in the store where versions lie that lost a conflict.
const asideName = "set-aside"

// setAside moves the versions of a LIM that lost a conflict out of the way. They are never
// deleted, nor taken for versions again.
func (s *Store) setAside(lim int, p *pairState) (where string, err error) {
	if p.Whole == nil || len(p.Whole.Rejected) == 0 || !s.anyOf(lim, p.Whole.Rejected) {
		return "", nil
	}
	versions, err := s.list(lim, false)
	if err != nil {
		return "", err
	}
	for i := range versions {
		v := &versions[i]
		if !p.Whole.Rejects(v.line.Node) || v.line.Node == p.Whole.Node {
			continue
		}
		to, err := s.moveAside(v.Name)
		if err != nil { // the next sync tries again
			s.warn(fmt.Errorf("version %s is not set aside: %w", v.Name, err))
			continue
		}
		where = to
	}
	return where, nil
}

// anyOf tells whether one of the nodes may be a version here. It spares the look at all.
func (s *Store) anyOf(lim int, nodes []lineage.Node) bool {
	return slices.ContainsFunc(nodes, func(n lineage.Node) bool {
		if of, _, ok := parseName(n.Name); !ok || of != lim {
			return false
		}
		_, err := os.Lstat(filepath.Join(s.Dir, n.Name))
		return err == nil
	})
}

// moveAside moves one version, and returns where it lies then.
func (s *Store) moveAside(name string) (string, error) {
	dir := filepath.Join(s.Dir, asideName)
	if err := safepath.Mkdir(dir, 0o750); err != nil {
		return "", err
	}
	to := filepath.Join(dir, name)
	for i := 2; ; i++ {
		if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return "", err
		}
		to = filepath.Join(dir, fmt.Sprintf("%s-%d", name, i))
	}
	if err := safepath.Rename(filepath.Join(s.Dir, name), to); err != nil {
		return "", err
	}
	// What is noted of it is cleared away by the next holder of the lock.
	return to, cmp.Or(safepath.SyncDir(dir), safepath.SyncDir(s.Dir))
}
