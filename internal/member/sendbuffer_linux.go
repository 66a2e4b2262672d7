package member

import (
	"net"

	"golang.org/x/sys/unix"
)

// enlargeSends lets more datagrams wait in a socket than the kernel's own limit does,
// where this process may.
func enlargeSends(udp *net.UDPConn, size int) {
	_ = udp.SetWriteBuffer(size)
	if raw, err := udp.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, size) })
	}
}
