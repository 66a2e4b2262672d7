package xdata

import (
	"errors"
	"io"
	"sync/atomic"
)

// sharedFile is an open file that is closed by the last one who uses it.
type sharedFile struct {
	handle
	users  atomic.Int32
	opened *atomic.Int32 // counts those that are open
}

// share makes one of an open file, with one user.
func share(h handle, opened *atomic.Int32) *sharedFile {
	f := &sharedFile{handle: h, opened: opened}
	f.users.Store(1)
	opened.Add(1)
	return f
}

// Fd returns its file descriptor.
func (f *sharedFile) Fd() int { return f.fd }

// ReadAt reads all of p. A file that has become shorter has changed.
func (f *sharedFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.pread(p, off)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = changed(f.name)
	}
	return n, err
}

// Release lets go of it.
func (f *sharedFile) Release() {
	if f.users.Add(-1) == 0 {
		_ = f.close()
		f.opened.Add(-1)
	}
}
