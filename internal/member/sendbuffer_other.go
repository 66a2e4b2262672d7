//go:build !linux

package member

import "net"

// enlargeSends lets more datagrams wait in a socket, up to the system's limit.
func enlargeSends(udp *net.UDPConn, size int) { _ = udp.SetWriteBuffer(size) }
