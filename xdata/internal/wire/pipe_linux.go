package wire

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// widenPipe lets a pipe hold as many bytes as it may, up to most, and returns how many
// those are. What is no pipe stays as it is, and holds 0.
func widenPipe(f *os.File, most int) (holds int) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		for n := most; n > 64<<10; n /= 2 { // fs.pipe-max-size bounds it for other users than root
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

// sendFile sends a part of a file to a pipe or socket, and returns how much of it. The pages
// that hold it are handed over as they are.
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

// unreadBytes is how many bytes wait to be read from a pipe or socket; false where that
// cannot be seen.
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
