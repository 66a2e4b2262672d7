package tree

import (
	"errors"
	"reflect"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// LargeFile is a new file that is written in parts, several at once, past the page
// cache where the file system lets it: a part is on its way to the disk at once, and
// needs neither a copy nor memory of the kernel's.
type LargeFile struct {
	Handle
	size     int64
	reserved int64          // of size, on the disk
	direct   atomic.Bool    // past the page cache
	Sparse   bool           // it has holes
	Parts    sync.WaitGroup // that are not written yet
}

const (
	// DirectUnit is what places in memory and in the file, and lengths, are multiples of
	// in a direct write. A device with larger blocks refuses it, and gets others.
	DirectUnit = 4 << 10
	// reserveBytes is how much room is set aside at once. What an interrupted transfer
	// leaves of it is read as zeros by the next.
	reserveBytes = 64 << 20
)

// AlignedBytes returns n bytes at an address that a direct write can take.
func AlignedBytes(n int) []byte {
	b := make([]byte, n+DirectUnit)
	skip := -int(reflect.ValueOf(b).Pointer()) & (DirectUnit - 1) //nolint:gosec // an address, to count from
	return b[skip : skip+n : skip+n]
}

// NewLargeFile makes one of an open file that is empty.
func NewLargeFile(h Handle, size int64) *LargeFile {
	f := &LargeFile{Handle: h, size: size}
	f.direct.Store(setDirect(h.Fd, true) == nil)
	return f
}

// Reserve sets room aside for what follows up to end: several can write there at once,
// where a file that grows lets in one after the other. Without room the writing fails,
// and says so.
func (f *LargeFile) Reserve(end int64) {
	if end > f.reserved && !f.Sparse {
		more := min(max(end-f.reserved, reserveBytes), f.size-f.reserved)
		_ = allocate(f.Fd, f.reserved, more)
		f.reserved += more
	}
}

// Skip leaves a hole from off on. From then on no room is set aside.
func (f *LargeFile) Skip(off int64) {
	if f.Sparse = true; off < f.reserved {
		release(f.Fd, off, f.reserved-off)
		f.reserved = off
	}
}

// Write writes a part. Where its length is no multiple of DirectUnit, it is the last.
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

// Close closes it when no part is on its way any more.
func (f *LargeFile) Close() error {
	f.Parts.Wait()
	return f.Handle.Close()
}
