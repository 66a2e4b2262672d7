package netops

import (
	"context"
	"net"
	"net/netip"
)

// TryPort tries whether a TCP connection reaches a port, from one of this server's addresses.
func TryPort(ctx context.Context, from netip.Addr, to netip.AddrPort) error {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	conn, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return wrap(err, "connect to %s from %s", to, from)
	}
	return conn.Close()
}
