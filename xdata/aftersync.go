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

// afterSync is what one side knows at the end of a successful sync.
type afterSync struct {
	wire.Bye
	lim    int
	side   clusterconf.Side
	own    *Version // the newest that can be copied; nil: none
	active func() bool
}

// tidy ends a successful sync on one side: it records that both sides have a version, sets aside
// the versions that lost a conflict, and prunes. It returns where something was set aside; "":
// nothing was.
func (s *Store) tidy(a afterSync) (aside string, err error) {
	p, err := s.files(a.lim).pair()
	if err != nil {
		return "", err
	}
	if err := s.noteCommon(a, p); err != nil {
		return "", err
	}
	if aside, err = s.setAside(a.lim, p); err != nil {
		return "", err
	}
	_, err = s.prune(a.lim, KeptBy(a.side), true)
	return aside, err
}

// noteCommon records what a goodbye says: the version that both sides have, and the oldest one that
// fits the cluster document. A goodbye about another version than the newest one here changes
// nothing.
func (s *Store) noteCommon(a afterSync, p *pairState) error {
	changed := false
	if a.Common != nil && a.own != nil {
		if err := a.Common.Valid(); err != nil {
			return manifest.Violation("%v", err)
		}
		if !a.own.sameAs(a.Common) {
			return nil // the goodbye is about another version
		}
		own := a.own.line
		if p.Common == nil || !sameVersion(p.Common, &own) || p.Local != looksLike(a.own) || p.Conflict != nil {
			p.Common, p.Local, p.Conflict, changed = &own, looksLike(a.own), nil, true
		}
		if err := s.advanceHead(a); err != nil {
			return err
		}
	}
	if f := a.OldestCompatible; f != nil {
		if err := f.Valid(); err != nil {
			return manifest.Violation("%v", err)
		}
		if p.OldestCompatible == nil || lineage.Compare(f, p.OldestCompatible) == lineage.Newer {
			p.OldestCompatible, changed = f, true
		}
	}
	if !changed {
		return nil
	}
	return s.files(a.lim).setPair(p)
}

// sameAs tells whether v is the version, or has the content, that the other side names.
func (v *Version) sameAs(theirs *lineage.Version) bool {
	return v.line.Node == theirs.Node || lineage.Compare(&v.line, theirs) == lineage.Same
}

// advanceHead makes the common version the head, where a crash left an older one. While the LIM
// runs here its head stays: its data come from the version that it was started on.
func (s *Store) advanceHead(a afterSync) error {
	head, err := s.head(a.lim, nil)
	if err == nil && head != nil && head.Node == a.own.line.Node && head.Node != a.Common.Node {
		// Two versions with the same content: the next one made here follows both.
		joined := lineage.Join(head, a.Common)
		return s.files(a.lim).setHead(&joined)
	}
	if err != nil || head != nil && lineage.Compare(head, &a.own.line) != lineage.Older || a.active != nil && a.active() {
		return err
	}
	return s.files(a.lim).setHead(&a.own.line)
}

// wouldTidy returns the names of the versions that tidy would remove or set aside, and changes
// nothing.
func (s *Store) wouldTidy(a afterSync, here []observed) ([]string, error) {
	p, err := s.files(a.lim).pair()
	if err != nil {
		return nil, err
	}
	var versions []Version
	for i := range here {
		versions = append(versions, here[i].Version)
	}
	if a.Common != nil {
		if err := a.Common.Valid(); err != nil {
			return nil, manifest.Violation("%v", err)
		}
		p.Common, p.Conflict = a.Common, nil
		if a.own == nil || !a.own.sameAs(a.Common) {
			versions = slices.Insert(versions, 0, Version{LIM: a.lim, Complete: true, Files: 1, known: known{line: *a.Common}})
		}
	}
	if a.OldestCompatible != nil {
		p.OldestCompatible = a.OldestCompatible
	}
	var names []string
	for _, v := range p.surplus(versions, KeptBy(a.side), true, s.now()) {
		names = append(names, v.Name)
	}
	return names, nil
}

// asideName is the folder in the store for versions that lost a conflict.
const asideName = "set-aside"

// setAside moves the versions of a LIM that lost a conflict into that folder. They are never
// deleted, and no longer count as versions.
func (s *Store) setAside(lim int, p *pairState) (where string, err error) {
	if p.Common == nil || len(p.Common.Rejected) == 0 || !s.anyOf(lim, p.Common.Rejected) {
		return "", nil
	}
	versions, err := s.list(lim, false)
	if err != nil {
		return "", err
	}
	for i := range versions {
		v := &versions[i]
		if !p.Common.Rejects(v.line.Node) || v.line.Node == p.Common.Node {
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

// anyOf tells, by names alone, whether one of the nodes may be a version here. It saves inspecting
// the versions.
func (s *Store) anyOf(lim int, nodes []lineage.Node) bool {
	return slices.ContainsFunc(nodes, func(n lineage.Node) bool {
		if of, _, ok := parseName(n.Name); !ok || of != lim {
			return false
		}
		_, err := os.Lstat(filepath.Join(s.Dir, n.Name))
		return err == nil
	})
}

// moveAside moves one version, and returns its new path.
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
	// The next holder of the lock removes its mark and index.
	return to, cmp.Or(safepath.SyncDir(dir), safepath.SyncDir(s.Dir))
}
