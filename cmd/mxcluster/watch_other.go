//go:build !linux

package main

import (
	"context"
	"runtime"

	"mxcluster/internal/fault"
)

// watch returns fault.Refused: no agent runs on this system, so there is none to wait for.
func watch(int) (wait func(context.Context) error, err error) {
	return nil, fault.New(fault.Refused, "run this on the Linux server itself", "processes cannot be waited for on %s", runtime.GOOS)
}
