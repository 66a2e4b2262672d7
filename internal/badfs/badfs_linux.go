// Package badfs puts files and folders into a folder that the disk does not give back: a
// look at one, or the reading of it, fails with an error of the caller's choice, as bad
// sectors, broken inodes and file servers that went away do. For tests, as root, on Linux.
package badfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Bad is a file or folder that is to be had only in part.
type Bad struct {
	Look error // of a look at it; nil: it can be looked at
	Read error // of its content, or of the list of what is in it

	Folder bool
	Size   int64 // of a file
	Mtime  time.Time
}

// The kernel's requests (FUSE protocol 7.31) that are answered.
const (
	opForget      = 2
	opGetattr     = 3
	opOpen        = 14
	opRead        = 15
	opRelease     = 18
	opFlush       = 25
	opInit        = 26
	opOpendir     = 27
	opReaddir     = 28
	opReleasedir  = 29
	opInterrupt   = 36
	opBatchForget = 42

	headBytes = 40
)

// Mount puts it where a file or folder is, which has to be of the same kind. The returned
// function takes it away again.
func (b *Bad) Mount(path string) (remove func() error, err error) {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/fuse: %w", err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=%o,user_id=0,group_id=0", fd, b.mode())
	if err := unix.Mount("badfs", path, "fuse", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return nil, errors.Join(fmt.Errorf("mount at %s: %w", path, err), unix.Close(fd))
	}
	f := os.NewFile(uintptr(fd), "/dev/fuse")
	go b.serve(fd)
	return func() error { return errors.Join(unix.Unmount(path, unix.MNT_DETACH), f.Close()) }, nil
}

func (b *Bad) mode() uint32 {
	if b.Folder {
		return unix.S_IFDIR | 0o755
	}
	return unix.S_IFREG | 0o644
}

// serve answers the kernel until the file system is gone.
func (b *Bad) serve(fd int) {
	buf := make([]byte, 1<<20)
	for {
		n, err := unix.Read(fd, buf)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ENOENT): // a request that was called off
			continue
		case err != nil || n < headBytes:
			return
		}
		op := binary.NativeEndian.Uint32(buf[4:])
		if op == opForget || op == opInterrupt || op == opBatchForget {
			continue
		}
		answer, bad := b.answer(op)
		head := make([]byte, 16, 16+len(answer))
		binary.NativeEndian.PutUint32(head, uint32(16+len(answer))) //nolint:gosec // small
		var errno unix.Errno
		if errors.As(bad, &errno) {
			binary.NativeEndian.PutUint32(head[4:], uint32(-int32(errno))) //nolint:gosec // as the kernel wants it
		}
		copy(head[8:16], buf[8:16]) // which request it is about
		_, _ = unix.Write(fd, append(head, answer...))
	}
}

// answer returns what a request is answered with, or its error.
func (b *Bad) answer(op uint32) ([]byte, error) {
	switch op {
	case opInit:
		a := make([]byte, 64)
		binary.NativeEndian.PutUint32(a, 7)
		binary.NativeEndian.PutUint32(a[4:], 31)
		binary.NativeEndian.PutUint32(a[20:], 4096) // the longest write
		binary.NativeEndian.PutUint32(a[24:], 1)    // times are of nanoseconds
		return a, nil
	case opGetattr:
		return b.attributes(), b.Look
	case opOpen, opOpendir:
		return make([]byte, 16), nil
	case opRead, opReaddir:
		return nil, b.Read
	case opFlush, opRelease, opReleasedir:
		return nil, nil
	}
	return nil, unix.ENOSYS
}

// attributes are what stat shows.
func (b *Bad) attributes() []byte {
	if b.Look != nil {
		return nil
	}
	a := make([]byte, 104)
	attr := a[16:]
	binary.NativeEndian.PutUint64(attr, 1)
	binary.NativeEndian.PutUint64(attr[8:], uint64(b.Size)) //nolint:gosec // not negative
	for i := range 3 {
		binary.NativeEndian.PutUint64(attr[24+8*i:], uint64(b.Mtime.Unix()))       //nolint:gosec // bits
		binary.NativeEndian.PutUint32(attr[48+4*i:], uint32(b.Mtime.Nanosecond())) //nolint:gosec // as above
	}
	binary.NativeEndian.PutUint32(attr[60:], b.mode())
	binary.NativeEndian.PutUint32(attr[64:], 1)
	binary.NativeEndian.PutUint32(attr[80:], 4096)
	return a
}
