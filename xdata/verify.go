package xdata

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

// Verdict is what reading a version from end to end came to.
type Verdict string

// The verdicts.
const (
	Intact   Verdict = "intact"   // as it was when it was made, received or first read
	Recorded Verdict = "recorded" // another program's, read for the first time: its hashes are kept from now on
	Damaged  Verdict = "damaged"
	Unready  Verdict = "incomplete" // still being written, or without any file: not read
)

// Finding is what [Store.Verify] found.
type Finding struct {
	LIM      int        `json:"lim"`
	Name     string     `json:"name"`
	Result   Verdict    `json:"result"`
	Files    int        `json:"files"`
	Bytes    int64      `json:"bytes"`
	Damage   []string   `json:"damage"`   // one entry for each file that is not what it was, in the order of paths
	Verified *time.Time `json:"verified"` // when it was last read and found good
}

// Failure is the error of a damaged version: fault.Conflict; else nil.
func (f *Finding) Failure() error {
	if f.Result != Damaged {
		return nil
	}
	return damaged(f.Name, inShort(f.Damage))
}

func damaged(name, what string) error {
	return fault.New(fault.Conflict, "check the disk and the memory of this server; 'mxcluster sync' brings a good version if the other side has one",
		"version %s is damaged: %s", name, what)
}

// inShort puts what is wrong with a version into few words.
func inShort(damage []string) string {
	if len(damage) == 1 {
		return damage[0]
	}
	return fmt.Sprintf("%s, and %d more", damage[0], len(damage)-1)
}

// Verify reads a version from end to end, holds it against the hashes kept of
// it, and notes the outcome beside it: a damaged one is from then on neither
// copied nor run on. What the disk gives back as an error is damage, too. It
// needs no lock. read, which may be nil, is told of bytes as they are read.
//
// A version that was removed meanwhile is fault.NotFound, a file that changed
// while it was read fault.Busy.
func (s *Store) Verify(ctx context.Context, v Version, read func(n int64)) (Finding, error) {
	f := Finding{LIM: v.LIM, Name: v.Name, Files: v.Files, Bytes: v.Bytes, Damage: []string{}, Verified: v.Verified}
	if !v.Complete && v.Damage == "" {
		f.Result = Unready
		return f, nil
	}
	root, err := os.OpenRoot(v.Path)
	if err == nil {
		defer root.Close()
		err = s.verify(ctx, root, &f, read)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fault.New(fault.NotFound, "", "it was removed meanwhile")
	}
	if err != nil {
		return f, fmt.Errorf("verify version %s: %w", v.Name, err)
	}
	return f, nil
}

// verify reads, compares and notes.
func (s *Store) verify(ctx context.Context, root *os.Root, f *Finding, read func(int64)) error {
	own, err := s.readMark(root, f.Name)
	if err != nil {
		return err
	}
	m := nextMark(own)
	kept, err := s.readIndex(root, f.Name)
	if err != nil {
		return err
	}
	now, broken, err := readAll(ctx, root, read)
	if err != nil {
		return err
	}
	f.Damage = append(broken, compareSums(kept, now, m.Foreign)...)
	switch {
	case len(f.Damage) > 0:
		f.Result, m.Verified, m.Damage = Damaged, f.Verified, inShort(f.Damage)
		return s.putMark(root, f.Name, m)
	case kept == nil:
		f.Result = Recorded
	default:
		f.Result = Intact
	}
	at := s.now().UTC()
	f.Damage, f.Verified, m.Verified = []string{}, &at, &at
	if kept == nil || m.Foreign {
		if err := s.writeIndex(root, f.Name, now); err != nil {
			return err
		}
	}
	return s.putMark(root, f.Name, m)
}

// nextMark is what a version's mark keeps when a new one replaces it.
func nextMark(was *mark) mark {
	if was == nil {
		return mark{Foreign: true}
	}
	return mark{Foreign: was.Foreign, Reason: was.Reason}
}

// readAll reads every file of a version. Those that the disk does not give back
// are named in broken.
func readAll(ctx context.Context, root *os.Root, read counting) (m *manifest, broken []string, err error) {
	seen, t, err := survey(root)
	if errors.Is(err, unix.EIO) {
		broken = append(broken, "a folder cannot be read: "+unix.EIO.Error())
	} else if err != nil {
		return nil, nil, err
	}
	scan, err := newScanner(t.bytes)
	if err != nil {
		return nil, nil, err
	}
	m = &manifest{Top: seen.Top}
	from := &folders{root: root}
	defer from.close()
	top := entry{Path: ".", Attr: seen.Top}
	if err := from.extras(&top); err != nil {
		return nil, nil, err
	}
	m.Top = top.Attr
	for _, e := range seen.Entries {
		if e.checkKind() != nil {
			broken = append(broken, fmt.Sprintf("%q is no file any more", e.Path))
			continue
		}
		if e.Dir {
			err = from.extras(&e)
		} else {
			err = m.readFile(ctx, scan, from, &e, read)
		}
		switch {
		case errors.Is(err, unix.EIO):
			broken = append(broken, fmt.Sprintf("%q cannot be read: %v", e.Path, unix.EIO))
			continue
		case err != nil:
			return nil, nil, err
		}
		m.Entries = append(m.Entries, e)
	}
	return m, broken, nil
}

// readFile opens and reads one file.
func (m *manifest) readFile(ctx context.Context, scan *scanner, from *folders, e *entry, read counting) error {
	in, err := from.openEntry(e)
	if err != nil {
		return err
	}
	defer in.close()
	return m.read(ctx, scan, in, e, func(p content) error {
		read.add(p.size)
		return nil
	})
}

// counting counts bytes; nil: nobody does.
type counting func(n int64)

func (c counting) add(n int64) {
	if c != nil {
		c(n)
	}
}

// compareSums names the files that are not what they were. Nothing kept is
// nothing to hold against.
func compareSums(kept, now *manifest, foreign bool) (damage []string) {
	if kept == nil {
		return nil
	}
	var is, was finder
	for i := range kept.Entries {
		k := &kept.Entries[i]
		if k.Dir {
			continue
		}
		n := is.find(now, k.Path)
		if n == nil || n.Dir {
			if !foreign {
				damage = append(damage, fmt.Sprintf("%q is missing", k.Path))
			}
			continue
		}
		if rotted(k, n, foreign) {
			damage = append(damage, doesNotMatch(k.Path))
		}
	}
	if foreign {
		return damage
	}
	for i := range now.Entries {
		if n := &now.Entries[i]; !n.Dir && was.find(kept, n.Path) == nil {
			damage = append(damage, fmt.Sprintf("%q does not belong to it", n.Path))
		}
	}
	return damage
}

// rotted tells whether a file is not what was kept of it. Another program may
// rewrite its own version, which shows in times and sizes: what rots shows in
// neither. A file that was not read since is taken for what it was.
func rotted(kept, now *entry, foreign bool) bool {
	if !now.known || now.Sum == kept.Sum {
		return false
	}
	return !foreign || now.Attr.Mtime == kept.Attr.Mtime && now.Size == kept.Size
}

func doesNotMatch(name string) string { return fmt.Sprintf("%q does not match its hash", name) }
