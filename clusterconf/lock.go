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

const (
	// firstRetry and lastRetry are the times from one attempt to get a lock to the
	// next, which grow with each. An edit takes a few milliseconds; two hundred
	// that wait for theirs must not take the processor from the one that works.
	firstRetry, lastRetry = 2 * time.Millisecond, 100 * time.Millisecond

	// patience is how long one holder may keep the others waiting. Whoever takes
	// so long is stopped, or its disk is.
	patience = 10 * time.Second
)

// lockFile locks the file at path for this process, or for this call among
// others of the process, until unlock is called. The kernel frees the lock of
// a process that dies. While others hold it, lockFile tries again until ctx
// ends or one and the same holder has had it for too long; then the error has
// code fault.Busy.
//
// Only the owner may open the file: whoever can open it can lock it.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fileFault(err, "lock", path)
	}
	if err := waitForLock(ctx, f); err != nil {
		f.Close()
		return nil, err
	}
	writeHolder(f, strconv.Itoa(os.Getpid()))
	return func() {
		writeHolder(f, "")
		f.Close()
	}, nil
}

// waitForLock returns once f is locked.
func waitForLock(ctx context.Context, f *os.File) error {
	holder, since := "", time.Now()
	for retry := firstRetry; ; retry = min(2*retry, lastRetry) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			return fileFault(err, "lock", f.Name())
		}
		if now := readHolder(f); now != holder {
			holder, since = now, time.Now()
		}
		if time.Since(since) > patience {
			return busy(f, fault.Busy)
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return busy(f, fault.Interrupted)
			}
			return busy(f, fault.Busy)
		case <-time.After(retry/2 + rand.N(retry)):
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

// readHolder returns what writeHolder noted, "" if that cannot be read.
func readHolder(f *os.File) string {
	pid, err := io.ReadAll(io.LimitReader(io.NewSectionReader(f, 0, 32), 32))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(pid))
}

// busy says who holds the lock.
func busy(f *os.File, code fault.Code) error {
	holder := "another process"
	if pid := readHolder(f); pid != "" {
		holder = "process " + pid
	}
	return fault.New(code, "try again; if that process is stopped or hangs, end it: the document stays whole",
		"the cluster document is being changed by %s (%s)", holder, f.Name())
}
