package clusterconf

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mxcluster/internal/fault"
)

// lastName is the file in the history folder that has the document that the agent works
// by. It is none of the revisions that were replaced.
const lastName = "last.yaml"

// Found is what lies in the place of the document.
type Found struct {
	Document *Encoded // nil: it cannot be used
	Problem  error    // why; wraps a *ValidationError that names line and word where the text is wrong
	Mark     string   // tells one content from another
	Text     []byte   // what lies there, if it is a text that may be one
}

// Look returns what lies in the place of the document, whatever that is.
func (s *Store) Look() Found {
	data, err := s.raw()
	if err != nil {
		return Found{Problem: err, Mark: "no content: " + err.Error()}
	}
	f := Found{Mark: fmt.Sprintf("%x", sha256.Sum256(data))}
	if len(data) <= MaxSize {
		f.Text = data
	}
	f.Document, f.Problem = s.parse(data)
	return f
}

// Remember keeps a copy of the document that the agent works by, from which a broken one
// is healed.
func (s *Store) Remember(d *Encoded) error {
	if err := makeHistory(s.HistoryDir); err != nil {
		return err
	}
	name := filepath.Join(s.HistoryDir, lastName)
	if same, err := holds(name, d.bytes); err == nil && same {
		return nil
	}
	return keepFile(name, d.bytes)
}

// Remembered returns the copy that Remember made; nil where there is none that can be
// used.
func (s *Store) Remembered() *Encoded {
	name := filepath.Join(s.HistoryDir, lastName)
	data, err := readRegular(name)
	if err != nil {
		return nil
	}
	d, err := ParseEncoded(name, data)
	if err != nil {
		return nil
	}
	return d
}

// Usable returns the stored document; in the place of one that cannot be used that which
// the agent worked by last.
func (s *Store) Usable() (*Document, error) {
	d, err := s.Read()
	if err == nil {
		return d, nil
	}
	if last := s.Remembered(); last != nil && fault.CodeOf(err) != fault.NotPermitted {
		return last.Document, nil
	}
	return nil, err
}

// SetAside puts d in the place of what was found there, which it keeps beside it, and
// returns where; "" where nothing was. If something else lies there by now, the error has
// code fault.Busy and nothing is changed.
func (s *Store) SetAside(ctx context.Context, found Found, d *Encoded) (kept string, err error) {
	if err := storable(d); err != nil {
		return "", err
	}
	err = s.locked(ctx, func() error {
		if err := s.still(found); err != nil {
			return err
		}
		if kept, err = s.beside(); err != nil {
			return err
		}
		if err = s.write(d); err == nil {
			s.pruneAside()
		}
		return err
	})
	return kept, err
}

// asideMark stands in the names of what was set aside beside the document.
const asideMark = ".set-aside-"

// keptAside is how many of them stay: whatever writes a broken document again and again
// must not fill the disk.
const keptAside = 10

// pruneAside removes the oldest of what was set aside. What cannot be removed, a folder
// for one, stays.
func (s *Store) pruneAside() {
	files, err := filepath.Glob(globQuote(s.Path) + asideMark + "*")
	if err != nil || len(files) <= keptAside {
		return
	}
	slices.Sort(files) // their names end in the time
	for _, f := range files[:len(files)-keptAside] {
		_ = os.Remove(f)
	}
}

// globQuote has a path mean itself in a pattern.
func globQuote(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// TakeByHand stores what was found in the place of before, edited by hand, as the next
// revision, by the rules of [Store.Replace]. If something else lies there by now, the
// error has code fault.Busy.
func (s *Store) TakeByHand(ctx context.Context, found Found, before *Encoded, change Change) (Result, error) {
	read := func() (*Encoded, []byte, error) { return before, before.bytes, s.still(found) }
	return s.edit(ctx, change, read, func(d *Document) error { return d.ReplaceWith(found.Document.Document) })
}

// still makes sure that what was found lies there yet.
func (s *Store) still(found Found) error {
	if s.Look().Mark != found.Mark {
		return fault.New(fault.Busy, "try again", "%s was changed meanwhile", s.Path)
	}
	return nil
}

// beside keeps what lies in the place of the document beside it. A text is copied, so
// that there is a document at each instant; what is none, or longer than one may be, is
// moved.
func (s *Store) beside() (string, error) {
	name := fmt.Sprintf("%s"+asideMark+"%s", s.Path, s.Now().UTC().Format("20060102T150405.000Z"))
	data, err := readRegular(s.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err == nil && len(data) <= MaxSize:
		return name, keepFile(name, data)
	}
	return name, fileFault(os.Rename(s.Path, name), "move away", s.Path)
}
