package xdata

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"mxcluster/internal/fault"
	"mxcluster/internal/safepath"
	"mxcluster/xdata/internal/manifest"
	"mxcluster/xdata/internal/tree"
)

// Verdict is the result of reading a version in full.
type Verdict string

// The verdicts.
const (
	Intact   Verdict = "intact"   // as it was made, received or first read
	Recorded Verdict = "recorded" // another program's version, read for the first time: its hashes are kept from now on
	Readable Verdict = "readable" // the same, but its hashes could not be kept
	Damaged  Verdict = "damaged"
	Unready  Verdict = "incomplete" // still being written, or without files: not read
)

// Finding is the report of [Store.Verify].
type Finding struct {
	LIM      int        `json:"lim"`
	Name     string     `json:"name"`
	Result   Verdict    `json:"result"`
	Files    int        `json:"files"`
	Bytes    int64      `json:"bytes"`
	Damage   []string   `json:"damage"`   // one entry for each file with wrong content, in the order of paths
	Verified *time.Time `json:"verified"` // the last time that it was found intact
}

// Failure is the error for a damaged version, fault.Conflict; nil for others.
func (f *Finding) Failure() error {
	if f.Result != Damaged {
		return nil
	}
	return damaged(f.Name, manifest.InShort(f.Damage))
}

func damaged(name, what string) error {
	return fault.New(fault.Conflict, "check the disk and the memory of this server; 'mxcluster sync' brings a good version if the other side has one",
		"version %s is damaged: %s", name, what)
}

// Verify reads a version in full, compares it with the hashes kept of it, and records the result in
// its mark: a damaged version is not copied or run on until it is found intact. Read errors of the
// disk count as damage. It takes no lock. Where the mark cannot be written, Warn is told and the
// verification goes on. read receives the number of bytes read; may be nil.
//
// A version removed meanwhile is fault.NotFound, a file that changed while it was read fault.Busy.
func (s *Store) Verify(ctx context.Context, v Version, read func(n int64)) (Finding, error) {
	f := Finding{LIM: v.LIM, Name: v.Name, Files: v.Files, Bytes: v.Bytes, Damage: []string{}, Verified: v.Verified}
	if !v.Complete && v.Damage == "" {
		f.Result = Unready
		return f, nil
	}
	if v.noFolder {
		f.Result, f.Damage = Damaged, []string{v.Damage}
		return f, nil
	}
	root, err := safepath.Folder(v.Path)
	if err == nil {
		defer root.Close()
		err = s.verify(ctx, root, &f, read)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = whyGone(v)
	case err != nil && root == nil && tree.IsOfFile(err):
		f.Result, f.Damage, err = Damaged, []string{tree.Problem{Path: ".", Err: err}.String()}, nil
	}
	if err != nil {
		return f, fmt.Errorf("verify version %s: %w", v.Name, err)
	}
	return f, nil
}

// whyGone is the error for a version with a missing file: the version was removed, or another
// program changed it.
func whyGone(v Version) error {
	if _, err := os.Lstat(v.Path); err == nil {
		return fault.New(fault.Busy, "try again when nothing writes there", "it changed while it was read")
	}
	return fault.New(fault.NotFound, "", "it was removed meanwhile")
}

// verify reads, compares, and writes the mark.
func (s *Store) verify(ctx context.Context, root *os.Root, f *Finding, read func(int64)) error {
	r, err := readAll(ctx, root, read)
	if err != nil {
		return err
	}
	own, err := s.marks().read(root, f.Name, r.seen)
	if err != nil {
		return err
	}
	m := nextMark(own)
	kept, err := s.indexes().read(root, f.Name, r.seen, own)
	if err != nil {
		return err
	}
	if f.Damage = append(r.broken, manifest.CompareSums(r.unhidden(kept), r.read, m.Foreign)...); len(f.Damage) == 0 {
		f.Damage = tree.ContentMismatch(root, r.read.Digest())
	}
	switch {
	case len(f.Damage) > 0:
		f.Result, m.Verified, m.Damage = Damaged, f.Verified, manifest.InShort(f.Damage)
		s.marks().keep(root, f.Name, m, r.seen)
		return nil
	case kept == nil:
		f.Result = Recorded
	default:
		f.Result = Intact
	}
	at := s.now().UTC()
	f.Damage, f.Verified, m.Verified = []string{}, &at, &at
	if kept == nil || m.Foreign {
		if err := s.indexes().write(f.Name, r.read); err != nil {
			s.warn(fmt.Errorf("the hashes cannot be kept: %w", bare(err)))
			if kept == nil {
				f.Result = Readable
			}
		}
	}
	s.marks().keep(root, f.Name, m, r.seen)
	return nil
}

// nextMark is what a new mark takes over from the one that it replaces.
func nextMark(was *mark) mark {
	if was == nil {
		return mark{Foreign: true}
	}
	return mark{Foreign: was.Foreign, From: was.From, Reason: was.Reason}
}

// wholeRead is a version that was read in full.
type wholeRead struct {
	seen   *manifest.Manifest // as it was listed
	read   *manifest.Manifest // with the content of all files that could be read
	hidden []tree.Problem     // what could not be examined
	broken []string           // what is wrong
}

// readAll reads every file of a version.
func readAll(ctx context.Context, root *os.Root, read tree.Counter) (*wholeRead, error) {
	var bad tree.Problems
	seen, t, err := tree.SurveyTolerant(root, &bad)
	if err != nil {
		return nil, err
	}
	if len(bad.All) > 0 && bad.Vanished() {
		return nil, fs.ErrNotExist
	}
	scan, err := tree.NewScanner(t.Bytes)
	if err != nil {
		return nil, err
	}
	from := &tree.Opener{Root: root}
	defer from.Close()
	top := manifest.Entry{Path: ".", Attr: seen.Top}
	if err := bad.Pass(".", false, from.ReadXattrs(&top)); err != nil {
		return nil, err
	}
	r := &wholeRead{seen: seen, read: &manifest.Manifest{Top: top.Attr}, broken: bad.Words(), hidden: bad.All}
	for _, e := range seen.Entries {
		switch {
		case e.CheckKind() != nil:
			r.broken = append(r.broken, manifest.NoFile(e.Path))
		case e.Dir:
			err = from.ReadXattrs(&e)
		default:
			err = tree.ReadFile(ctx, r.read, scan, from, &e, read)
		}
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, fs.ErrNotExist) || !tree.IsOfFile(err) {
				return nil, err
			}
			r.broken, err = append(r.broken, fmt.Sprintf("%q cannot be read: %v", e.Path, bare(err))), nil
		}
		r.read.Entries = append(r.read.Entries, e)
	}
	return r, nil
}

// unhidden returns kept without the files that cannot be examined now: these are reported as such
// already.
func (r *wholeRead) unhidden(kept *manifest.Manifest) *manifest.Manifest {
	if kept == nil || len(r.hidden) == 0 {
		return kept
	}
	m := *kept
	m.Entries = slices.DeleteFunc(slices.Clone(kept.Entries), func(e manifest.Entry) bool {
		return slices.ContainsFunc(r.hidden, func(t tree.Problem) bool {
			return t.Path == "." || t.Path == e.Path || strings.HasPrefix(e.Path, t.Path+"/")
		})
	})
	return &m
}
