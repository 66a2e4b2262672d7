package xdata

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

// trouble is something in a version that cannot be looked at or read.
type trouble struct {
	path   string // "." for the version's own folder
	folder bool   // its list of files cannot be had
	err    error
}

// String says what is wrong, without the path that the error has as well.
func (t trouble) String() string {
	why := t.err
	var path *fs.PathError
	if errors.As(why, &path) {
		why = path.Err
	}
	switch {
	case t.path == "." && t.folder:
		return fmt.Sprintf("its folder cannot be listed: %v", why)
	case t.path == ".":
		return fmt.Sprintf("its folder cannot be looked at: %v", why)
	case t.folder:
		return fmt.Sprintf("the folder %q cannot be listed: %v", t.path, why)
	}
	return fmt.Sprintf("%q cannot be looked at: %v", t.path, why)
}

// troubles collects them, from several goroutines.
type troubles struct {
	mu  sync.Mutex
	all []trouble
}

// pass takes an error in that says something of the version, and lets pass those that
// do not. A nil collector lets all pass.
func (t *troubles) pass(path string, folder bool, err error) error {
	if err == nil || t == nil || !ofTheFile(err) {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, trouble{path: path, folder: folder, err: err})
	return nil
}

// words says what is wrong, in the order of paths.
func (t *troubles) words() (words []string) {
	slices.SortFunc(t.all, func(a, b trouble) int { return strings.Compare(a.path, b.path) })
	for _, each := range t.all {
		words = append(words, each.String())
	}
	return words
}

// vanished tells whether all that is wrong is that something is not there any more.
func (t *troubles) vanished() bool {
	return !slices.ContainsFunc(t.all, func(x trouble) bool { return !errors.Is(x.err, fs.ErrNotExist) })
}

// ofTheFile tells whether an error says something of what was looked at: one for want of
// memory or file descriptors, an end from outside, and a file that changes meanwhile say
// nothing about what is on the disk.
func ofTheFile(err error) bool {
	for _, ours := range []error{unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EINTR, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, ours) {
			return false
		}
	}
	return fault.CodeOf(err) == fault.Failed || fault.CodeOf(err) == fault.NotPermitted
}

// folderOf is the path of a folder whose entries have a prefix.
func folderOf(prefix string) string {
	if prefix == "" {
		return "."
	}
	return strings.TrimSuffix(prefix, "/")
}
