package tree

import (
	"errors"
	"reflect"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// LargeFile is a new file that is written in parts, in parallel, with direct I/O where the file
// system supports it: parts go to the disk at once, without a copy in the page cache.
type LargeFile struct {
	Handle
	size     int64
	reserved int64          // bytes of size that are allocated
	direct   atomic.Bool    // direct I/O is on
	Sparse   bool           // it has holes
	Parts    sync.WaitGroup // those being written
}

const (
	// DirectUnit is the alignment of direct writes: of addresses, offsets and lengths. A device
	// with larger blocks refuses these, and is written to without direct I/O.
	DirectUnit = 4 << 10
	// reserveBytes is how much is allocated at once. What an interrupted transfer leaves allocated
	// reads as zeros.
	reserveBytes = 64 << 20
)

// AlignedBytes returns n bytes, aligned for direct I/O.
func AlignedBytes(n int) []byte {
	b := make([]byte, n+DirectUnit)
	skip := -int(reflect.ValueOf(b).Pointer()) & (DirectUnit - 1) //nolint:gosec // an address, to count from
	return b[skip : skip+n : skip+n]
}

// NewLargeFile returns a LargeFile of size bytes for an open, empty file.
func NewLargeFile(h Handle, size int64) *LargeFile {
	f := &LargeFile{Handle: h, size: size}
	f.direct.Store(setDirect(h.Fd, true) == nil)
	return f
}

// Reserve allocates the file up to end: in allocated space several parts can be written in
// parallel, which a growing file does not allow. Where allocating fails, so will the write, with an
// error.
func (f *LargeFile) Reserve(end int64) {
	if end > f.reserved && !f.Sparse {
		more := min(max(end-f.reserved, reserveBytes), f.size-f.reserved)
		_ = allocate(f.Fd, f.reserved, more)
		f.reserved += more
	}
}

// Skip leaves a hole at off. Nothing is allocated from then on.
func (f *LargeFile) Skip(off int64) {
	if f.Sparse = true; off < f.reserved {
		release(f.Fd, off, f.reserved-off)
		f.reserved = off
	}
}

// Write writes a part. Only the last part may have a length that is no multiple of DirectUnit.
func (f *LargeFile) Write(p []byte, off int64) error {
	if f.direct.Load() {
		n := len(p) &^ (DirectUnit - 1)
		err := f.Pwrite(p[:n], off)
		if err == nil && n == len(p) {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EINVAL) {
			return err
		}
		if err == nil {
			p, off = p[n:], off+int64(n)
		}
		if err := f.wrap("write through the page cache", setDirect(f.Fd, false)); err != nil {
			return err
		}
		f.direct.Store(false)
	}
	if err := f.Pwrite(p, off); err != nil {
		return err
	}
	startWriting(f.Fd, off, int64(len(p)))
	return nil
}

// Close closes the file after all parts are written.
func (f *LargeFile) Close() error {
	f.Parts.Wait()
	return f.Handle.Close()
}
