package remoteshell

import "golang.org/x/sys/unix"

// widenSocket lets a socket hold so many bytes that were not read yet, or as many as
// net.core.wmem_max lets other users than root have.
func widenSocket(fd, bytes int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, bytes) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, bytes) // it works with less
	}
}
