package clusterconf

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"mxcluster/internal/fault"
)

// Entry is one document that the store has or had.
type Entry struct {
	Revision uint64
	Changed  Change // zero if the document cannot be read
	Hash     string // empty if the document cannot be read
	Current  bool   // it is the stored document
	File     string
	Problem  error // why the document cannot be used; nil: it can

	doc *Document
}

// historyName is how keep names its files.
var historyName = regexp.MustCompile(`^(\d{8,16})(-[0-9a-f]{12})?\.yaml$`)

// History lists the stored document and then those that were replaced or lost
// a conflict, the newest first. A document that cannot be read is listed with
// its problem.
func (s *Store) History() ([]Entry, error) {
	entries, err := s.kept(0)
	if err != nil {
		return nil, err
	}
	current, err := s.current()
	switch {
	case err != nil:
		return nil, err
	case current != nil:
		entries = append([]Entry{*current}, entries...)
	}
	for i := range entries {
		if e := &entries[i]; e.doc != nil {
			e.Hash = Hash(e.doc)
		}
	}
	return entries, nil
}

// ReadRevision returns the document of a revision: the stored one or, from
// history, the one that the servers agreed on. A revision that is not kept is
// an error with code fault.NotFound, a broken document has fault.Invalid.
func (s *Store) ReadRevision(revision uint64) (*Document, error) {
	current, err := s.current()
	switch {
	case err != nil:
		return nil, err
	case current != nil && current.doc != nil && current.Revision == revision:
		return current.doc, nil
	}
	if revision > 0 { // 0 would be all
		kept, err := s.kept(revision)
		if err != nil {
			return nil, err
		}
		if len(kept) > 0 {
			return kept[0].doc, kept[0].Problem
		}
	}
	return nil, fault.New(fault.NotFound, "mxcluster config history lists what is kept",
		"there is no document of revision %d in %s", revision, s.HistoryDir)
}

// current returns the entry of the stored document, nil if there is none.
func (s *Store) current() (*Entry, error) {
	data, err := readRegular(s.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	e := entry(s.Path, data, saidRevision(data))
	e.Current = true
	return &e, nil
}

// kept returns the entries of the history folder, the newest first: those of
// one revision, or all for 0. Of several of one revision the one that won
// comes first, the unreadable come last.
func (s *Store) kept(revision uint64) ([]Entry, error) {
	files, err := os.ReadDir(s.HistoryDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fileFault(err, "read", s.HistoryDir)
	}
	var all []Entry
	for _, f := range files {
		m := historyName.FindStringSubmatch(f.Name())
		if m == nil {
			continue
		}
		number, err := strconv.ParseUint(m[1], 10, 64)
		if err != nil || revision != 0 && number != revision {
			continue
		}
		file := filepath.Join(s.HistoryDir, f.Name())
		data, err := readRegular(file)
		if err != nil {
			all = append(all, Entry{Revision: number, File: file, Problem: err})
			continue
		}
		all = append(all, entry(file, data, number))
	}
	slices.SortStableFunc(all, newestFirst)
	return all, nil
}

// entry reads one document, which should have this revision.
func entry(file string, data []byte, revision uint64) Entry {
	e := Entry{Revision: revision, File: file}
	doc, err := Parse(file, data)
	switch {
	case err != nil:
		e.Problem = err
	case doc.Revision != revision:
		e.Problem = fault.New(fault.Invalid, "remove the file: it is no copy of this store's",
			"%s has revision %d", file, doc.Revision)
	default:
		e.Changed, e.doc = doc.Changed, doc
	}
	return e
}

func newestFirst(a, b Entry) int {
	switch {
	case a.Revision != b.Revision:
		return cmp.Compare(b.Revision, a.Revision)
	case a.doc == nil || b.doc == nil:
		return unreadableLast(a, b)
	}
	return precedence(b.doc, a.doc)
}

func unreadableLast(a, b Entry) int {
	switch {
	case a.doc != nil:
		return -1
	case b.doc != nil:
		return 1
	}
	return 0
}

var revisionLine = regexp.MustCompile(`(?m)^revision:[ ]+(\d{1,16})[ ]*\r?$`)

// saidRevision returns the revision of a document that may be broken, or 0.
func saidRevision(data []byte) uint64 {
	m := revisionLine.FindSubmatch(data)
	if m == nil {
		return 0
	}
	revision, _ := strconv.ParseUint(string(m[1]), 10, 64) // 16 digits fit
	if revision > maxRevision {
		return 0
	}
	return revision
}

// keep stores a document that is replaced, or that lost against another of its
// revision, and returns where. The name is the revision's; a second document
// of one revision gets a part of its content's hash beside it. A copy that is
// there already is enough.
func (s *Store) keep(revision uint64, data []byte) (string, error) {
	if err := makeDir(s.HistoryDir); err != nil {
		return "", err
	}
	name := filepath.Join(s.HistoryDir, fmt.Sprintf("%08d.yaml", revision))
	same, err := holds(name, data)
	if err == nil && !same {
		sum := sha256.Sum256(data)
		name = filepath.Join(s.HistoryDir, fmt.Sprintf("%08d-%x.yaml", revision, sum[:6]))
		same, err = holds(name, data)
	}
	switch {
	case err == nil && same:
		return name, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	return name, replaceFile(name, data)
}

// holds tells whether the file has this content.
func holds(name string, data []byte) (bool, error) {
	have, err := readRegular(name)
	return bytes.Equal(have, data), err
}
