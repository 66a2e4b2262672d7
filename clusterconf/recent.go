package clusterconf

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// headSize covers what a document says before its servers, in bytes.
const headSize = 4 << 10

// Recent lists at most limit revisions that were replaced, the newest first.
// Unlike History it reads the head of each file alone and checks nothing, so
// that it may be asked at every key pressed: of an entry only Revision, File
// and, if the head can be read, Changed are set.
func (s *Store) Recent(limit int) ([]Entry, error) {
	files, err := os.ReadDir(s.HistoryDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fileFault(err, "read", s.HistoryDir)
	}
	slices.Reverse(files) // names of equal length sort as their revisions do
	var entries []Entry
	for _, f := range files {
		revision, second, ok := keptRevision(f.Name())
		if !ok || second || !f.Type().IsRegular() { // of two of one revision ReadRevision returns the other
			continue
		}
		if len(entries) == limit {
			break
		}
		file := filepath.Join(s.HistoryDir, f.Name())
		entries = append(entries, Entry{Revision: revision, File: file, Changed: changeOf(file)})
	}
	return entries, nil
}

// hadLimit is how many of the documents that were replaced Had looks at.
const hadLimit = 50

// Had reports whether a server was in one of the documents that were replaced lately.
func (s *Store) Had(server string) bool {
	entries, err := s.Recent(hadLimit)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(entries, func(e Entry) bool {
		data, err := readRegular(e.File)
		if err != nil {
			return false
		}
		d, err := Parse(e.File, data)
		return err == nil && d.Server(server) != nil
	})
}

// changeOf returns how a stored document came about, zero if its head is not as
// Encode writes it.
func changeOf(file string) Change {
	f, err := os.Open(file)
	if err != nil {
		return Change{}
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, headSize))
	if err != nil {
		return Change{}
	}
	head, _, _ = bytes.Cut(head, []byte("\nservers:"))
	root := scan(head)
	if root == nil {
		return Change{}
	}
	n := valueOf(root, "changed")
	if n == nil {
		return Change{}
	}
	var c Change
	r := &reader{}
	r.change(&c)("changed", n)
	if len(r.violations) > 0 {
		return Change{}
	}
	return c
}
