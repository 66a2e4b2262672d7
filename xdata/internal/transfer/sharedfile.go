package transfer

import (
	"errors"
	"io"
	"sync/atomic"

	"mxcluster/xdata/internal/tree"
)

// sharedFile is an open file with a reference count.
type sharedFile struct {
	tree.Handle
	users  atomic.Int32
	opened *atomic.Int32 // counts open files
}

// share returns a sharedFile with one user.
func share(h tree.Handle, opened *atomic.Int32) *sharedFile {
	f := &sharedFile{Handle: h, opened: opened}
	f.users.Store(1)
	opened.Add(1)
	return f
}

// Fd returns its file descriptor.
func (f *sharedFile) Fd() int { return f.Handle.Fd }

// ReadAt reads all of p. For a file that has become shorter it is the error of a changed file.
func (f *sharedFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.Pread(p, off)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = tree.Changed(f.Name)
	}
	return n, err
}

// Release drops one reference; the last one closes the file.
func (f *sharedFile) Release() {
	if f.users.Add(-1) == 0 {
		_ = f.Close()
		f.opened.Add(-1)
	}
}
