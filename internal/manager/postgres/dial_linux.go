package postgres

import (
	"context"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// dialAs connects to a Unix socket as a user: the kernel tells the other end who the thread was
// that connected. Only root may be another user than it is.
func dialAs(ctx context.Context, uid, gid int, path string) (net.Conn, error) {
	if os.Geteuid() == uid || os.Geteuid() != 0 {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	type dialled struct {
		fd  int
		err error
	}
	done := make(chan dialled, 1)
	go func() {
		// A thread that could not be put back ends with this goroutine.
		runtime.LockOSThread()
		var d dialled
		back, err := become(uid, gid)
		if err == nil {
			d.fd, d.err = connectUnix(path)
		} else {
			d.err = err
		}
		if back() {
			runtime.UnlockOSThread()
		}
		done <- d
	}()
	d := <-done
	if d.err != nil {
		return nil, &net.OpError{Op: "dial", Net: "unix", Addr: &net.UnixAddr{Name: path, Net: "unix"}, Err: d.err}
	}
	f := os.NewFile(uintptr(d.fd), path)
	defer f.Close() // FileConn has one of its own
	return net.FileConn(f)
}

// become gives this thread alone another effective user and group, and returns what puts it
// back. The functions of package syscall would change all threads.
func become(uid, gid int) (back func() bool, err error) {
	back = func() bool {
		return setEffective(unix.SYS_SETRESUID, 0) == nil && setEffective(unix.SYS_SETRESGID, os.Getgid()) == nil
	}
	if err := setEffective(unix.SYS_SETRESGID, gid); err != nil { // while it still may
		return back, os.NewSyscallError("setresgid", err)
	}
	if err := setEffective(unix.SYS_SETRESUID, uid); err != nil {
		return back, os.NewSyscallError("setresuid", err)
	}
	return back, nil
}

// setEffective sets the effective id; real and saved ones stay.
func setEffective(call uintptr, id int) error {
	const keep = ^uintptr(0)
	if _, _, errno := unix.RawSyscall(call, keep, uintptr(id), keep); errno != 0 {
		return errno
	}
	return nil
}

// connectUnix connects to a socket. That waits for nobody but where the queue of the socket is
// full, and then for as long as it takes PostgreSQL to take one out of it.
func connectUnix(path string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		_ = unix.Close(fd) // the first error is told
		return 0, os.NewSyscallError("connect", err)
	}
	return fd, nil
}
