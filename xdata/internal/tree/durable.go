package tree

import (
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// MakeDurable syncs everything below root to the disk.
func MakeDurable(root *os.Root) error {
	f, err := NewFlusher(root)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Durable(root)
}

// Flusher syncs written content in the background while more is written, so that little is left for
// the end.
type Flusher struct {
	dir     *os.File // any folder of the file system
	pending atomic.Int64
	turn    sync.Mutex // held during a sync
	bad     atomic.Pointer[error]
}

const (
	flushBytes = 24 << 20
	// FileCost is the cost of writing a file besides its content, in bytes.
	FileCost = 8 << 10
)

// NewFlusher returns a Flusher for the file system of a folder. The caller closes it.
func NewFlusher(root *os.Root) (*Flusher, error) {
	f, err := root.Open(".")
	return &Flusher{dir: f}, err
}

// Wrote counts written bytes, and starts a sync when there are many.
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

// flush syncs now. The kernel reports an error only once, so it is kept.
func (f *Flusher) flush() {
	if err := syncFileSystem(int(f.dir.Fd())); err != nil {
		err = &fs.PathError{Op: "syncfs", Path: f.dir.Name(), Err: err}
		f.bad.CompareAndSwap(nil, &err)
	}
}

// Durable syncs everything below root to the disk. One syncfs for the file system is many times
// faster than fsync for each file; it writes the data of other programs a little earlier as well.
// Before Linux 5.8 syncfs did not report errors; there each file is synced, too.
func (f *Flusher) Durable(root *os.Root) error {
	if err := f.finish(); err != nil || syncfsTells() {
		return err
	}
	return syncTree(root)
}

// finish syncs once more, and returns every error so far.
func (f *Flusher) finish() error {
	f.turn.Lock()
	defer f.turn.Unlock()
	f.flush()
	if bad := f.bad.Load(); bad != nil {
		return *bad
	}
	return nil
}

// Close waits for a sync in progress.
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

// syncTree syncs every file and folder below root.
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
