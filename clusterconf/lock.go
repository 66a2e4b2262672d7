package clusterconf

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

// lockRetry is the mean time between two attempts to get a lock. An edit takes
// a few milliseconds, most of it in fsync.
const lockRetry = 5 * time.Millisecond

// lockFile locks the file at path for this process, or for this call among
// others of the process, until unlock is called. The kernel frees the lock of
// a process that dies. While another holds it, lockFile tries again until ctx
// ends.
//
// Only the owner may open the file: whoever can open it can lock it.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fileFault(err, "lock", path)
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			writeHolder(f, strconv.Itoa(os.Getpid()))
			return func() {
				writeHolder(f, "")
				f.Close()
			}, nil
		case errors.Is(err, unix.EWOULDBLOCK), errors.Is(err, unix.EINTR):
		default:
			f.Close()
			return nil, fileFault(err, "lock", path)
		}
		select {
		case <-ctx.Done():
			defer f.Close()
			return nil, busy(ctx, f)
		case <-time.After(lockRetry/2 + rand.N(lockRetry)):
		}
	}
}

// writeHolder notes who has the lock, for those who wait in vain. It is of no
// use after a crash and so not synced, and its failure is no reason to fail.
func writeHolder(f *os.File, pid string) {
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(pid), 0)
	}
}

// busy says who holds the lock.
func busy(ctx context.Context, f *os.File) error {
	code := fault.Busy
	if errors.Is(ctx.Err(), context.Canceled) {
		code = fault.Interrupted
	}
	holder := "another process"
	if pid, err := io.ReadAll(io.LimitReader(io.NewSectionReader(f, 0, 32), 32)); err == nil && len(pid) > 0 {
		holder = "process " + strings.TrimSpace(string(pid))
	}
	return fault.New(code, "try again, or give it more time with --timeout", "the cluster document is being changed by %s (%s)", holder, f.Name())
}
