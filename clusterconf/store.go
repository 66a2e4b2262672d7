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

// lastRead is what was read or written last. A command reads the same document to
// look at it, to plan and to edit, and an agent reads what it has just stored; taking
// it apart anew each time would be a third of what a command takes on a large system.
type lastRead struct {
	mu   sync.Mutex
	data []byte
	doc  *Encoded
}

// parse returns the document of these bytes.
func (l *lastRead) parse(name string, data []byte) (*Encoded, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.doc == nil || !bytes.Equal(l.data, data) {
		doc, err := Parse(name, data)
		if err != nil {
			return nil, err
		}
		l.data, l.doc = data, Freeze(doc)
	}
	return l.doc, nil
}

// note has parse know a document that was written.
func (l *lastRead) note(d *Encoded) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.data, l.doc = d.bytes, d
}

// Result is what an edit came to.
type Result struct {
	Before, After *Encoded
	Changed       bool // false: Before was already as wanted, nothing was written
}

// Read returns the document. A missing or broken one is an error with code
// fault.Invalid, one that may not be read has fault.NotPermitted.
func (s *Store) Read() (*Document, error) {
	doc, _, err := s.read()
	if err != nil {
		return nil, err
	}
	return doc.Clone(), nil
}

// read returns the document and the bytes it was read from.
func (s *Store) read() (*Encoded, []byte, error) {
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
func (s *Store) parse(data []byte) (*Encoded, error) {
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

// EditFrom is Edit of the document with this hash. If it is another one by now, the
// error has code fault.Busy.
func (s *Store) EditFrom(ctx context.Context, hash string, change Change, fn func(*Document) error) (Result, error) {
	read := func() (*Encoded, []byte, error) {
		doc, data, err := s.read()
		if err == nil && doc.hash != hash {
			err = fault.New(fault.Busy, "try again", "the cluster document was changed meanwhile")
		}
		return doc, data, err
	}
	return s.edit(ctx, change, read, fn)
}

// readStored returns the document to edit and the bytes that stand for it in
// history.
type readStored func() (*Encoded, []byte, error)

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
		next, err := s.plan(before, change, fn)
		if err != nil || !next.Changed {
			result = next
			return err
		}
		if err := s.replace(before.Revision, old, next.After); err != nil {
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
	return s.plan(before, change, fn)
}

// plan returns the outcome of an edit.
func (s *Store) plan(before *Encoded, change Change, fn func(*Document) error) (Result, error) {
	after := before.Clone()
	if err := fn(after); err != nil {
		return Result{}, err
	}
	after.Revision, after.Changed = max(before.Revision, s.highest())+1, s.stamp(change)
	after.Ancestors = descend(before)
	after.raise()
	next := Freeze(after)
	if next.sameContent(before) {
		return Result{Before: before, After: before}, nil
	}
	if err := storable(next); err != nil {
		return Result{}, err
	}
	return Result{Before: before, After: next, Changed: true}, nil
}

// stamp sets the time of a change: UTC, in milliseconds.
func (s *Store) stamp(c Change) Change {
	c.At = s.Now().UTC().Truncate(time.Millisecond)
	return c
}

// storable refuses a document that may not be stored. All texts that rules let pass are
// read back as they were written.
func storable(d *Encoded) error {
	if found := Validate(d.Document); len(found) > 0 {
		return refused(found)
	}
	if v := tooLong(d.bytes); v != nil {
		return fault.New(fault.Refused, "", "the change is refused: %s", v.Message)
	}
	return nil
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
	first := Freeze(d)
	if err := storable(first); err != nil {
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
		return s.first(first)
	})
}

// first stores a document where there is none. What the agent worked by before in another
// system, which this server has left, stands for nothing from then on.
func (s *Store) first(d *Encoded) error {
	if last := s.Remembered(); last != nil && last.System != d.System {
		if err := s.Remember(d); err != nil {
			return err
		}
	}
	return s.write(d)
}

// replace keeps the old document in history and puts the new one in its place.
// History comes first: a crash in between leaves a copy too many, not one too
// few.
func (s *Store) replace(revision uint64, old []byte, next *Encoded) error {
	if _, err := s.keep(revision, old); err != nil {
		return err
	}
	return s.write(next)
}

// write puts a document in the place of whatever is there.
func (s *Store) write(d *Encoded) error {
	if err := replaceFile(s.Path, d.bytes); err != nil {
		return err
	}
	s.last.note(d)
	return nil
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
