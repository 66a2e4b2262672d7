package clusterconf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"mxcluster/internal/fault"
)

// Store keeps one system's document in a file. Any number of processes may
// use the same file: edits are made one after the other under a lock, and the
// file is replaced as a whole, so that readers need no lock and a crash at any
// instant leaves the old or the new document.
type Store struct {
	Path       string           // the document, e.g. /etc/mxcluster/cluster.yaml
	HistoryDir string           // where replaced documents go, e.g. /var/lib/mxcluster/history
	Now        func() time.Time // the clock that stamps changes

	last lastRead
}

// lastRead is what was read last. A command reads the same document to look at
// it, to plan and to edit; taking it apart anew each time would be a third of
// what the command takes on a large system.
type lastRead struct {
	mu   sync.Mutex
	data []byte
	doc  *Document
}

// parse returns the document of these bytes.
func (l *lastRead) parse(name string, data []byte) (*Document, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.doc == nil || !bytes.Equal(l.data, data) {
		doc, err := Parse(name, data)
		if err != nil {
			return nil, err
		}
		l.data, l.doc = data, doc
	}
	return l.doc.Clone(), nil
}

// Result is what an edit came to.
type Result struct {
	Before, After *Document
	Changed       bool // false: Before was already as wanted, nothing was written
}

// Read returns the document. A missing or broken one is an error with code
// fault.Invalid, one that may not be read has fault.NotPermitted.
func (s *Store) Read() (*Document, error) {
	doc, _, err := s.read()
	return doc, err
}

// read returns the document and the bytes it was read from.
func (s *Store) read() (*Document, []byte, error) {
	data, err := s.raw()
	if err != nil {
		return nil, nil, err
	}
	doc, err := s.parse(data)
	return doc, data, err
}

// parse returns the document of these bytes. One that ends in the midst of that which the
// agent worked by last is broken, though it may make sense as it is: without the last lines
// a cluster is gone, without the last digit a number is another.
func (s *Store) parse(data []byte) (*Document, error) {
	doc, err := s.last.parse(s.Path, data)
	if err != nil {
		return nil, err
	}
	whole, err := readRegular(filepath.Join(s.HistoryDir, lastName))
	whole, data = bytes.TrimRight(whole, "\n"), bytes.TrimRight(data, "\n")
	if err == nil && len(data) < len(whole) && bytes.HasPrefix(whole, data) {
		line := 1 + bytes.Count(data, []byte("\n"))
		return nil, invalid(s.Path, []Violation{{Line: line, Column: 1 + len(data) - (1 + bytes.LastIndexByte(data, '\n')), Rule: "whole",
			Message: fmt.Sprintf("the document is cut short: it ends here, %d lines before its end", bytes.Count(whole, []byte("\n"))+1-line),
			Hint:    "the agent puts it right after 30 s; without one: mxcluster config edit"}})
	}
	return doc, nil
}

// raw returns the bytes of the document.
func (s *Store) raw() ([]byte, error) {
	data, err := readRegular(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Wrap(err, fault.Invalid,
			"mxcluster init makes a new system, mxcluster join enters an existing one", "no cluster document")
	}
	return data, err
}

// Edit applies fn to the document and stores the result as the next revision,
// stamped with the change and the time. fn may be called with a document that
// others have just changed; its error is returned as it is and nothing is
// written, and neither is a document that fn leaves as it was. A result that
// breaks a rule is refused.
//
// Edit waits for other writers until ctx ends; then the error has code
// fault.Busy.
func (s *Store) Edit(ctx context.Context, change Change, fn func(*Document) error) (Result, error) {
	return s.edit(ctx, change, s.read, fn)
}

// readStored returns the document to edit and the bytes that stand for it in
// history.
type readStored func() (*Document, []byte, error)

func (s *Store) edit(ctx context.Context, change Change, read readStored, fn func(*Document) error) (Result, error) {
	if _, err := s.raw(); err != nil {
		return Result{}, err // without leaving a lock file where there is no document
	}
	var result Result
	err := s.locked(ctx, func() error {
		before, old, err := read()
		if err != nil {
			return err
		}
		next, data, err := s.plan(before, change, fn)
		if err != nil || !next.Changed {
			result = next
			return err
		}
		if err := s.replace(before.Revision, old, data); err != nil {
			return err
		}
		result = next
		return nil
	})
	return result, err
}

// Preview says what Edit would do, by the same planning, and writes nothing at
// all, not even the lock file.
func (s *Store) Preview(change Change, fn func(*Document) error) (Result, error) {
	return s.preview(change, s.read, fn)
}

func (s *Store) preview(change Change, read readStored, fn func(*Document) error) (Result, error) {
	before, _, err := read()
	if err != nil {
		return Result{}, err
	}
	result, _, err := s.plan(before, change, fn)
	return result, err
}

// plan returns the outcome of an edit and the bytes to store.
func (s *Store) plan(before *Document, change Change, fn func(*Document) error) (Result, []byte, error) {
	after := before.Clone()
	if err := fn(after); err != nil {
		return Result{}, nil, err
	}
	if sameContent(after, before) {
		return Result{Before: before, After: before}, nil, nil
	}
	after.Revision, after.Changed = max(before.Revision, s.highest())+1, s.stamp(change)
	after.Ancestors = descend(before)
	data, after, err := encodeValid(after)
	if err != nil {
		return Result{}, nil, err
	}
	return Result{Before: before, After: after, Changed: true}, data, nil
}

// stamp sets the time of a change: UTC, in milliseconds.
func (s *Store) stamp(c Change) Change {
	c.At = s.Now().UTC().Truncate(time.Millisecond)
	return c
}

// encodeValid returns the canonical form of a document that keeps all rules,
// and the document as it will be read from there. A document that does not is
// refused.
func encodeValid(d *Document) ([]byte, *Document, error) {
	if found := Validate(d); len(found) > 0 {
		return nil, nil, refused(found)
	}
	data := Encode(d)
	back, err := Parse("the document to be written", data)
	if err != nil {
		// Rules hold but the text does not: more than a file may have.
		return nil, nil, fault.Wrap(err, fault.Refused, "", "the change is refused")
	}
	return data, back, nil
}

// refused turns broken rules into an error with code Refused.
func refused(found []Violation) error {
	message := found[0].Message
	if more := len(found) - 1; more > 0 {
		message += fmt.Sprintf(" (and %d more)", more)
	}
	return fault.New(fault.Refused, found[0].Hint, "the change would break a rule: %s", message)
}

// Create stores the first document of a server: a new system's, or that of a
// system it joins. Where there is a document already it is refused. A change
// without a time is stamped with the present one.
func (s *Store) Create(ctx context.Context, d *Document) error {
	d = d.Clone()
	if d.Changed.At.IsZero() {
		d.Changed = s.stamp(d.Changed)
	}
	data, _, err := encodeValid(d)
	if err != nil {
		return err
	}
	if err := makeDir(filepath.Dir(s.Path)); err != nil {
		return err
	}
	return s.locked(ctx, func() error {
		missing, err := isMissing(s.Path)
		if err != nil {
			return err
		}
		if !missing {
			return fault.New(fault.Refused, "this server belongs to a system already; mxcluster server list shows it",
				"cannot create the cluster document: %s exists", s.Path)
		}
		return s.first(d, data)
	})
}

// first stores a document where there is none. What the agent worked by before in another
// system, which this server has left, stands for nothing from then on.
func (s *Store) first(d *Document, data []byte) error {
	if last := s.Remembered(); last != nil && last.System != d.System {
		if err := s.Remember(d); err != nil {
			return err
		}
	}
	return replaceFile(s.Path, data)
}

// replace keeps the old document in history and puts the new one in its place.
// History comes first: a crash in between leaves a copy too many, not one too
// few.
func (s *Store) replace(revision uint64, old, data []byte) error {
	if _, err := s.keep(revision, old); err != nil {
		return err
	}
	return replaceFile(s.Path, data)
}

// locked runs fn while no other writer of this document works.
func (s *Store) locked(ctx context.Context, fn func() error) error {
	unlock, err := lockFile(ctx, s.lockPath())
	if err != nil {
		return err
	}
	defer unlock()
	return fn()
}

// lockPath is beside the document: the document itself is replaced, so a lock
// on it would be a lock on a file that is gone.
func (s *Store) lockPath() string {
	return strings.TrimSuffix(s.Path, filepath.Ext(s.Path)) + ".lock"
}
