//go:build !linux

package control

import (
	"net"
	"runtime"

	"mxcluster/internal/fault"
)

// peerOf returns fault.Refused: no agent runs on this system, so nobody calls it.
func peerOf(*net.UnixConn) (peer, error) {
	return peer{}, fault.New(fault.Refused, "run the agent on a Linux server", "callers cannot be told apart on %s", runtime.GOOS)
}
