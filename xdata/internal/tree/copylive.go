package tree

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"time"

	"mxcluster/internal/fault"
	"mxcluster/xdata/internal/manifest"
)

// A folder that programs write to is copied in rounds: files that changed or vanished while they
// were copied are copied again.
const (
	liveRounds = 3
	livePause  = 50 * time.Millisecond // before the second round; it grows with each round
)

// CopyLive is Copy for a folder that programs may write to. Each file of the copy is consistent in
// itself. If files change or vanish in every round, the error is fault.Busy and names one.
func CopyLive(ctx context.Context, from, to *os.Root, copied Counter) (*manifest.Manifest, *Dropped, error) {
	return copyBy(from, to, copied, SurveyLive, func(c *copier, source *manifest.Manifest) error { return c.rounds(ctx, source) })
}

// rounds copies in rounds until one finds no change.
func (c *copier) rounds(ctx context.Context, source *manifest.Manifest) error {
	for round := 1; ; round++ {
		moved, err := c.round(ctx, source)
		if err != nil {
			return err
		}
		if moved == nil {
			break
		}
		if round == liveRounds {
			return busyError(moved)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(livePause << (2 * (round - 1))):
		}
		if source, _, err = SurveyLive(c.from.Root); err != nil {
			return err
		}
	}
	if !slices.ContainsFunc(c.made.Entries, func(e manifest.Entry) bool { return !e.Dir }) {
		return NoFiles()
	}
	return nil
}

// busyError is the error for a folder that keeps changing.
func busyError(moved error) error {
	return fault.Wrap(moved, fault.Busy, "try again when nothing writes there, or back up a copy or snapshot of the folder",
		"the data changed in each of %d tries", liveRounds)
}

// round updates the copy to the present state of the source. moved is why a file could not be
// copied; nil: everything was.
func (c *copier) round(ctx context.Context, source *manifest.Manifest) (moved, err error) {
	if err := source.CheckCopyable(); err != nil {
		return nil, err
	}
	again, err := c.keep(source)
	if err != nil {
		return nil, err
	}
	for _, e := range again {
		err := c.entry(ctx, e)
		switch {
		case err == nil:
			c.seen = append(c.seen, *e)
		case context.Cause(ctx) == nil && (fault.CodeOf(err) == fault.Busy || replaced(err)):
			moved = cmp.Or(moved, vanished(err, e))
			if err := c.to.Root.Remove(e.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
		default:
			return nil, err
		}
	}
	c.made.Sort()
	slices.SortFunc(c.seen, manifest.ByPath)
	return moved, c.top(source.Top)
}

// vanished is the error for a file that was removed meanwhile.
func vanished(err error, e *manifest.Entry) error {
	if replaced(err) {
		return fault.New(fault.Busy, "", "%q vanished before it was copied", e.Path)
	}
	return err
}

// keep removes from the copy what has changed in the source, and returns the entries to copy again.
func (c *copier) keep(source *manifest.Manifest) (again []*manifest.Entry, err error) {
	was, made := manifest.Manifest{Entries: c.seen}, c.made.Entries
	kept := make([]bool, len(was.Entries))
	for i := range source.Entries {
		e := &source.Entries[i]
		at, ok := was.Search(e.Path)
		if !ok || was.Entries[at].Dir != e.Dir || !e.Dir && !was.Entries[at].SameFile(e) {
			again = append(again, e)
			continue
		}
		kept[at] = true
		if e.Dir {
			made[at].Attr = e.Attr
			if err := c.from.ReadXattrs(&made[at]); err != nil && !replaced(err) { // removed meanwhile: the next round sees it
				return nil, err
			}
		}
	}
	c.seen, c.made.Entries = nil, nil
	for i := range kept {
		if kept[i] {
			c.seen, c.made.Entries = append(c.seen, was.Entries[i]), append(c.made.Entries, made[i])
		}
	}
	for i, stays := range slices.Backward(kept) { // content of a folder before the folder
		if !stays {
			err = cmp.Or(err, c.to.Root.Remove(was.Entries[i].Path))
		}
	}
	return again, err
}

// NoFiles is the error for a folder without files.
func NoFiles() error {
	return fault.New(fault.Refused, "name the folder that holds the data", "there are no files in it")
}
