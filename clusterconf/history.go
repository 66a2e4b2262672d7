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
	"slices"
	"strconv"
	"strings"

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

	doc *Encoded
}

// keptRevision reads the name of a file as keep gives it: the revision and, of
// those that came second with it, a part of their hash.
func keptRevision(name string) (revision uint64, second, ok bool) {
	stem, ok := strings.CutSuffix(name, ".yaml")
	if !ok {
		return 0, false, false
	}
	number, hash, second := strings.Cut(stem, "-")
	if len(number) < 8 || second && (len(hash) != hashPart || !madeOf(hash, "0123456789abcdef")) {
		return 0, false, false
	}
	revision, ok = parseRevision(number)
	return revision, second, ok
}

// hashPart is how many digits of a document's hash a file's name has.
const hashPart = 12

// parseRevision reads a number of at most 16 digits, of which there are more than
// revisions.
func parseRevision(text string) (uint64, bool) {
	if len(text) > 16 || !madeOf(text, digits) {
		return 0, false
	}
	revision, err := strconv.ParseUint(text, 10, 64)
	return revision, err == nil
}

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
		return current.doc.Document, nil
	}
	if revision > 0 { // 0 would be all
		kept, err := s.kept(revision)
		if err != nil {
			return nil, err
		}
		if len(kept) > 0 {
			return kept[0].document(), kept[0].Problem
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
		number, _, ok := keptRevision(f.Name())
		if !ok || revision != 0 && number != revision {
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

// highest returns the highest revision in history, by the names of the files; 0: there
// is none. One that is above the stored document's lost a conflict. Where the folder
// cannot be read nothing can be kept in it either, and that is what is told.
func (s *Store) highest() uint64 {
	files, err := os.ReadDir(s.HistoryDir)
	if err != nil {
		return 0
	}
	best := uint64(0)
	for _, f := range files {
		if number, _, ok := keptRevision(f.Name()); ok && number <= maxRevision-1 {
			best = max(best, number)
		}
	}
	return best
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
		e.doc = Freeze(doc)
		e.Changed, e.Hash = doc.Changed, e.doc.hash
	}
	return e
}

// document returns the entry's document, or nil.
func (e *Entry) document() *Document {
	if e.doc == nil {
		return nil
	}
	return e.doc.Document
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

// saidRevision returns the revision of a document that may be broken, or 0.
func saidRevision(data []byte) uint64 {
	for line := range bytes.Lines(data) {
		value, ok := bytes.CutPrefix(line, []byte("revision: "))
		if !ok {
			continue
		}
		revision, ok := parseRevision(string(bytes.Trim(value, " \r\n")))
		if ok && revision <= maxRevision {
			return revision
		}
	}
	return 0
}

// keep stores a document that is replaced, or that lost against another of its
// revision, and returns where. The name is the revision's; a second document
// of one revision gets a part of its content's hash beside it. A copy that is
// there already is enough.
func (s *Store) keep(revision uint64, data []byte) (string, error) {
	if err := makeHistory(s.HistoryDir); err != nil {
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
	return name, keepFile(name, data)
}

// holds tells whether the file has this content.
func holds(name string, data []byte) (bool, error) {
	have, err := readRegular(name)
	return bytes.Equal(have, data), err
}
