package xdata

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mxcluster/internal/safepath"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/tree"
)

// mark is the store's note about a version: who made it, and what the last verification found. A
// version made by the store is complete at once. The mark lies outside of the version, whose
// content it must not change, and is tied to it by a fingerprint: it is valid in a copied or moved
// store, and invalid for another folder with the same name.
type mark struct {
	fingerprint
	Noted    time.Time  `json:"noted,omitzero"` // time of writing
	Verified *time.Time `json:"verified"`
	Foreign  bool       `json:"foreign,omitempty"` // made by another program, which may write to it again
	From     string     `json:"from,omitempty"`    // name of the other program's version on the other side that it is a copy of; "": none
	Damage   string     `json:"damage,omitempty"`  // what is wrong with it; "": nothing known
	Reason   string     `json:"reason,omitempty"`  // why it was made

	changed bool // the version changed after the mark was written
}

const markPrefix = ".mark-"

// marks are the marks of a store's versions.
type marks struct {
	dir   string // folder of the versions: a mark lies beside its version
	notes string // folder for marks where dir is read-only; "": none
	now   func() time.Time
	warn  warner
}

func (s *Store) marks() marks { return marks{dir: s.Dir, notes: s.Notes, now: s.now, warn: s.warn} }

func (ms marks) path(name string) string { return filepath.Join(ms.dir, markPrefix+name+".json") }

// notePath is the path of a mark in the folder for read-only stores; "": there is no such folder.
func (ms marks) notePath(name string) string {
	if ms.notes == "" {
		return ""
	}
	return filepath.Join(ms.notes, name+".json")
}

// put writes the mark of a version with the manifest now: beside the version, or else, with a
// warning, into the folder for read-only stores. An error means that it could not be written at
// all.
func (ms marks) put(root *os.Root, name string, m mark, now *manifest.Manifest) (err error) {
	if m.fingerprint, err = fingerprintOf(root, now); err != nil {
		return err
	}
	m.Noted = ms.now().UTC()
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	note := ms.notePath(name)
	err = safepath.ReplaceDurably(ms.path(name), data, 0o644)
	switch {
	case note == "":
		return err
	case err == nil:
		return ignoreAbsent(safepath.Remove(note))
	}
	bad := os.MkdirAll(ms.notes, 0o750)
	if bad == nil {
		bad = safepath.ReplaceDurably(note, data, 0o644)
	}
	if bad != nil {
		return errors.Join(err, bad)
	}
	ms.warn(fmt.Errorf("what was found is kept in %s, for nothing can be written beside the versions: %w", ms.notes, bare(err)))
	return nil
}

// keep is put for callers that go on after a failure, which becomes a warning.
func (ms marks) keep(root *os.Root, name string, m mark, now *manifest.Manifest) {
	if err := ms.put(root, name, m, now); err != nil {
		ms.warn(fmt.Errorf("what was found cannot be kept: %w", bare(err)))
	}
}

// read returns the mark of a version with the manifest now; nil: there is none for it. An
// unreadable mark counts as none: the version is then judged like any other.
func (ms marks) read(root *os.Root, name string, now *manifest.Manifest) (found *mark, err error) {
	var is *fingerprint
	for _, path := range []string{ms.path(name), ms.notePath(name)} {
		m, err := loadMark(path)
		if err != nil {
			return nil, err
		}
		if m == nil || found != nil && !m.Noted.After(found.Noted) {
			continue
		}
		if is == nil {
			l, err := fingerprintOf(root, now)
			if err != nil && tree.IsOfFile(err) {
				return nil, nil // so damaged that every inspection shows it
			}
			if err != nil {
				return nil, err
			}
			is = &l
		}
		speaks, changed := m.matches(*is, now)
		if speaks {
			m.changed, found = changed, m
		}
	}
	return found, nil
}

// loadMark reads a mark without checking which version it belongs to; nil: there is none that can
// be read.
func loadMark(path string) (*mark, error) {
	if path == "" {
		return nil, nil
	}
	data, err := safepath.ReadFile(path)
	if err != nil && !tree.IsOfFile(err) {
		return nil, err
	}
	var m mark
	if err != nil || json.Unmarshal(data, &m) != nil {
		return nil, nil
	}
	return &m, nil
}

// maybeDamaged tells whether a mark under a version's name records damage.
func (ms marks) maybeDamaged(name string) bool {
	for _, path := range []string{ms.path(name), ms.notePath(name)} {
		if m, err := loadMark(path); err != nil || m != nil && m.Damage != "" {
			return true
		}
	}
	return false
}

// remove removes the mark of a version that is gone.
func (ms marks) remove(name string) error {
	err := ignoreAbsent(safepath.Remove(ms.path(name)))
	if note := ms.notePath(name); note != "" {
		err = errors.Join(err, ignoreAbsent(safepath.Remove(note)))
	}
	return err
}

// cleanNotes removes marks of gone versions of a LIM from the folder for read-only stores.
func (ms marks) cleanNotes(lim int) error {
	if ms.notes == "" {
		return nil
	}
	entries, err := os.ReadDir(ms.notes)
	if err != nil {
		return ignoreAbsent(err)
	}
	for _, e := range entries {
		if name := strings.TrimSuffix(e.Name(), ".json"); isGone(ms.dir, lim, name) {
			ms.warn.left(safepath.Remove(filepath.Join(ms.notes, e.Name())))
		}
	}
	return nil
}

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// bare removes the path from an error, which may be that of a temporary file.
func bare(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
