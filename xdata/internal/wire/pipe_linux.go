package wire

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// widenPipe raises the capacity of a pipe up to most bytes, and returns it; 0 for other files,
// which it leaves.
func widenPipe(f *os.File, most int) (holds int) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		for n := most; n > 64<<10; n /= 2 { // fs.pipe-max-size bounds it for users other than root
			if _, err := unix.FcntlInt(fd, unix.F_SETPIPE_SZ, n); !errors.Is(err, unix.EPERM) {
				break
			}
		}
		if n, err := unix.FcntlInt(fd, unix.F_GETPIPE_SZ, 0); err == nil {
			holds = n
		}
	})
	return holds
}

// sendFile sends a part of a file to a pipe or socket by sendfile(2), without a copy, and returns
// how many bytes.
func sendFile(to syscall.RawConn, from int, off int64, size int) (sent int) {
	_ = to.Write(func(fd uintptr) bool {
		for sent < size {
			n, err := unix.Sendfile(int(fd), from, &off, size-sent)
			switch {
			case errors.Is(err, unix.EINTR):
			case errors.Is(err, unix.EAGAIN):
				return false // called again when there is room
			case err != nil || n == 0:
				return true
			default:
				sent += n
			}
		}
		return true
	})
	return sent
}

// unreadBytes returns how many bytes can be read from a pipe or socket; false: unknown.
func unreadBytes(f *os.File) (n int, ok bool) {
	if f == nil {
		return 0, false
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, false
	}
	err = raw.Control(func(fd uintptr) {
		got, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ)
		n, ok = got, err == nil
	})
	return n, ok && err == nil
}
