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

// mark is what the store notes of a version: that it is complete, however young, if
// the store made it, and what was found when it was last read. It lies outside the
// version, whose content it must not change, and speaks of what it was written for
// alone (see likeness): also where the store was copied or moved to, and not of another
// folder that came to have the same name.
type mark struct {
	likeness
	Noted    time.Time  `json:"noted,omitzero"` // when it was written
	Verified *time.Time `json:"verified"`
	Foreign  bool       `json:"foreign,omitempty"` // made by another program, which may write to it again
	From     string     `json:"from,omitempty"`    // other program's version on the other side that it was copied from; "": none
	Damage   string     `json:"damage,omitempty"`  // what is wrong with it; "": nothing that is known
	Reason   string     `json:"reason,omitempty"`  // why it was made

	changed bool // the version is no longer as it was when the mark was written
}

const markPrefix = ".mark-"

// marks are the marks of a store's versions.
type marks struct {
	dir   string // of the versions: a mark lies beside its version
	notes string // where it is kept when nothing can be written there; "": nowhere
	now   func() time.Time
	warn  warner
}

func (s *Store) marks() marks { return marks{dir: s.Dir, notes: s.Notes, now: s.now, warn: s.warn} }

func (ms marks) path(name string) string { return filepath.Join(ms.dir, markPrefix+name+".json") }

// notePath is where the mark of a version is kept when the store cannot be written; ""
// for nowhere.
func (ms marks) notePath(name string) string {
	if ms.notes == "" {
		return ""
	}
	return filepath.Join(ms.notes, name+".json")
}

// put writes the mark of a version that looks like now: beside it, or, where that
// cannot be, into the folder for such notes, which is told. An error says that it is kept
// nowhere.
func (ms marks) put(root *os.Root, name string, m mark, now *manifest.Manifest) (err error) {
	if m.likeness, err = likenessOf(root, now); err != nil {
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

// keep is put for those who go on without: what could not be noted is told.
func (ms marks) keep(root *os.Root, name string, m mark, now *manifest.Manifest) {
	if err := ms.put(root, name, m, now); err != nil {
		ms.warn(fmt.Errorf("what was found cannot be kept: %w", bare(err)))
	}
}

// read returns the mark of a version that looks like now, or nil when it has none of
// its own. An unreadable mark counts as none: the version is then judged as any other.
func (ms marks) read(root *os.Root, name string, now *manifest.Manifest) (found *mark, err error) {
	var is *likeness
	for _, path := range []string{ms.path(name), ms.notePath(name)} {
		m, err := loadMark(path)
		if err != nil {
			return nil, err
		}
		if m == nil || found != nil && !m.Noted.After(found.Noted) {
			continue
		}
		if is == nil {
			l, err := likenessOf(root, now)
			if err != nil && tree.IsOfFile(err) {
				return nil, nil // so bad that it is seen at each look
			}
			if err != nil {
				return nil, err
			}
			is = &l
		}
		speaks, changed := m.of(*is, now)
		if speaks {
			m.changed, found = changed, m
		}
	}
	return found, nil
}

// loadMark reads a mark, whatever it speaks of; nil when there is none that can be read.
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

// maybeDamaged tells whether damage was noted under a version's name.
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

// cleanNotes removes what is kept elsewhere of versions of a LIM that are gone.
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

// bare leaves the path out of an error, which may be that of a file that was to be made.
func bare(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
