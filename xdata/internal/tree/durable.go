package tree

import (
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// MakeDurable has everything below root on the disk when it returns.
func MakeDurable(root *os.Root) error {
	f, err := NewFlusher(root)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Durable(root)
}

// Flusher has what is written put on the disk while more is on its way, so that
// little is left to wait for at the end.
type Flusher struct {
	dir     *os.File // of the file system
	pending atomic.Int64
	turn    sync.Mutex // held while the file system is told
	bad     atomic.Pointer[error]
}

const (
	flushBytes = 24 << 20
	// FileCost is what a file takes to write besides its content, in bytes.
	FileCost = 8 << 10
)

// NewFlusher returns one for the file system of a folder. The caller closes it.
func NewFlusher(root *os.Root) (*Flusher, error) {
	f, err := root.Open(".")
	return &Flusher{dir: f}, err
}

// Wrote counts what was written, and begins to flush when that is much.
func (f *Flusher) Wrote(bytes int64) {
	if f.pending.Add(bytes) < flushBytes || !f.turn.TryLock() {
		return
	}
	f.pending.Store(0)
	go func() {
		defer f.turn.Unlock()
		f.flush()
	}()
}

// flush flushes now. An error that was told once is not told again by the
// kernel, and so kept.
func (f *Flusher) flush() {
	if err := syncFileSystem(int(f.dir.Fd())); err != nil {
		err = &fs.PathError{Op: "syncfs", Path: f.dir.Name(), Err: err}
		f.bad.CompareAndSwap(nil, &err)
	}
}

// Durable has everything below root on the disk when it returns. One call for the
// file system is many times faster than one for each file, and costs others no
// more than that what they wrote is written a little earlier. Before Linux 5.8
// that call kept errors to itself; then each file is asked, too.
func (f *Flusher) Durable(root *os.Root) error {
	if err := f.finish(); err != nil || syncfsTells() {
		return err
	}
	return syncTree(root)
}

// finish flushes once more, and tells of every error so far.
func (f *Flusher) finish() error {
	f.turn.Lock()
	defer f.turn.Unlock()
	f.flush()
	if bad := f.bad.Load(); bad != nil {
		return *bad
	}
	return nil
}

// Close waits for a flush that is on its way.
func (f *Flusher) Close() {
	f.turn.Lock()
	defer f.turn.Unlock()
	f.dir.Close()
}

// syncfsTells tells whether syncfs reports errors on this kernel.
func syncfsTells() bool {
	var u unix.Utsname
	var major, minor int
	if unix.Uname(&u) != nil {
		return false
	}
	_, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor)
	return err == nil && (major > 5 || major == 5 && minor >= 8)
}

// syncTree asks for every file and folder below root.
func syncTree(root *os.Root) error {
	m, _, err := Survey(root)
	if err != nil {
		return err
	}
	for i := range m.Entries {
		if err := syncOne(root, m.Entries[i].Path); err != nil {
			return err
		}
	}
	return syncOne(root, ".")
}

func syncOne(root *os.Root, name string) error {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
