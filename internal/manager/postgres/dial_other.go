//go:build !linux

package postgres

import (
	"context"
	"net"
)

// dialAs connects to a Unix socket, as whoever this is.
func dialAs(ctx context.Context, _, _ int, path string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", path)
}
