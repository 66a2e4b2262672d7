package xdata

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	kept, err := s.readSums(root, f.Name)
	if err != nil {
		return err
	}
	now, broken, err := readSumsOf(ctx, root, read)
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
		if err := s.writeSums(root, f.Name, now); err != nil {
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

// readSumsOf hashes every file of a version. Those that the disk does not give
// back are named in broken.
func readSumsOf(ctx context.Context, root *os.Root, read func(int64)) (files []fileSum, broken []string, err error) {
	buf := make([]byte, copyBytes)
	err = walk(root, func(name string, info fs.FileInfo) error {
		if info.IsDir() {
			return nil
		}
		if err := checkKind(name, info); err != nil {
			broken = append(broken, fmt.Sprintf("%q is no file any more", name))
			return nil
		}
		sum, err := readSum(ctx, root, name, info, counting(read), buf)
		if errors.Is(err, unix.EIO) {
			broken = append(broken, fmt.Sprintf("%q cannot be read: %v", name, unix.EIO))
			return nil
		}
		files = append(files, sum)
		return err
	})
	if errors.Is(err, unix.EIO) {
		return files, append(broken, "a folder cannot be read: "+unix.EIO.Error()), nil
	}
	return files, broken, err
}

// readSum hashes one file.
func readSum(ctx context.Context, root *os.Root, name string, info fs.FileInfo, w io.Writer, buf []byte) (fileSum, error) {
	f, err := openRegular(root, name, info)
	if err != nil {
		return fileSum{}, err
	}
	defer f.Close()
	sum, err := readThrough(ctx, f, w, buf)
	if err != nil {
		return fileSum{}, err
	}
	return sumOf(name, info, sum), unchanged(f, name, info)
}

// counting is a writer that only counts.
type counting func(n int64)

func (c counting) Write(p []byte) (int, error) {
	if c != nil {
		c(int64(len(p)))
	}
	return len(p), nil
}

// compareSums names the files that are not what they were. Nothing kept is
// nothing to hold against. Another program may rewrite its own version, which
// shows in times and sizes: what rots shows in neither.
func compareSums(kept, now []fileSum, foreign bool) (damage []string) {
	if kept == nil {
		return nil
	}
	found := make(map[string]*fileSum, len(now))
	for i := range now {
		found[string(now[i].Path)] = &now[i]
	}
	for i := range kept {
		k := &kept[i]
		n := found[string(k.Path)]
		delete(found, string(k.Path))
		switch {
		case n == nil && !foreign:
			damage = append(damage, fmt.Sprintf("%q is missing", k.Path))
		case n == nil || string(n.Sum) == string(k.Sum):
		case foreign && (n.Mtime != k.Mtime || n.Size != k.Size):
		default:
			damage = append(damage, fmt.Sprintf("%q does not match its hash", k.Path))
		}
	}
	for i := range now {
		if name := string(now[i].Path); found[name] != nil && !foreign {
			damage = append(damage, fmt.Sprintf("%q does not belong to it", name))
		}
	}
	return damage
}

// vouch holds what was read of a version that is to be copied against the
// hashes kept of it, so that damage does not spread. Of another program's
// version, read for the first time, they are kept from now on.
func (s *Store) vouch(snap *snapshot) error {
	name := snap.version.Name
	own, err := s.readMark(snap.root, name)
	if err != nil {
		return err
	}
	kept, err := s.readSums(snap.root, name)
	if err != nil {
		return err
	}
	m := nextMark(own)
	now := manifestSums(snap.manifest)
	if damage := compareSums(kept, now, m.Foreign); len(damage) > 0 {
		m.Verified, m.Damage = snap.version.Verified, inShort(damage)
		return errors.Join(damaged(name, m.Damage), s.putMark(snap.root, name, m))
	}
	if kept == nil {
		return s.writeSums(snap.root, name, now)
	}
	return nil
}
