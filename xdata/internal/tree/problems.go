package tree

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

// Problem is something in a version that cannot be examined or read.
type Problem struct {
	Path   string // "." for the version's own folder
	folder bool   // its content cannot be listed
	Err    error
}

// String returns what is wrong, without the path in the error.
func (t Problem) String() string {
	why := t.Err
	var path *fs.PathError
	if errors.As(why, &path) {
		why = path.Err
	}
	switch {
	case t.Path == "." && t.folder:
		return fmt.Sprintf("its folder cannot be listed: %v", why)
	case t.Path == ".":
		return fmt.Sprintf("its folder cannot be looked at: %v", why)
	case t.folder:
		return fmt.Sprintf("the folder %q cannot be listed: %v", t.Path, why)
	}
	return fmt.Sprintf("%q cannot be looked at: %v", t.Path, why)
}

// Problems collects them; safe for concurrent use.
type Problems struct {
	mu  sync.Mutex
	All []Problem
}

// Pass collects an error that says something about the version (see IsOfFile), and returns others.
// A nil collector returns all.
func (t *Problems) Pass(path string, folder bool, err error) error {
	if err == nil || t == nil || !IsOfFile(err) {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.All = append(t.All, Problem{Path: path, folder: folder, Err: err})
	return nil
}

// Words describes the problems, in the order of paths.
func (t *Problems) Words() (words []string) {
	slices.SortFunc(t.All, func(a, b Problem) int { return strings.Compare(a.Path, b.Path) })
	for _, each := range t.All {
		words = append(words, each.String())
	}
	return words
}

// Vanished tells whether every problem is that something was removed.
func (t *Problems) Vanished() bool {
	return !slices.ContainsFunc(t.All, func(x Problem) bool { return !errors.Is(x.Err, fs.ErrNotExist) })
}

// IsOfFile tells whether an error says something about a file. A lack of memory or file
// descriptors, a cancelled context, and a file that changes meanwhile do not.
func IsOfFile(err error) bool {
	for _, ours := range []error{unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EINTR, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, ours) {
			return false
		}
	}
	return fault.CodeOf(err) == fault.Failed || fault.CodeOf(err) == fault.NotPermitted
}

// folderOf returns the path of the folder with a prefix.
func folderOf(prefix string) string {
	if prefix == "" {
		return "."
	}
	return strings.TrimSuffix(prefix, "/")
}
