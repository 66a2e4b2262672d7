package services

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// EndRehearsals kills all processes of this instance's rehearsals, and returns when they are gone.
// The first process of a rehearsal is that of a process namespace: all others end with it, whatever
// their environment, and it is gone only after them (pid_namespaces(7)).
func (o Options) EndRehearsals(limit time.Duration) error {
	end := time.Now().Add(limit)
	for {
		found := marked("/proc", o.RehearsalMark())
		if len(found) == 0 {
			return nil
		}
		for _, fd := range found {
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
		left := 0
		for _, fd := range found {
			if !gone(fd, end) {
				left++
			}
			_ = unix.Close(fd)
		}
		if left > 0 {
			return fmt.Errorf("%d processes of a rehearsal do not end within %s", left, limit)
		}
	}
}

// marked opens all processes with a variable in their environment, except this one.
func marked(proc, variable string) (fds []int) {
	dirs, err := filepath.Glob(filepath.Join(proc, "[0-9]*"))
	if err != nil {
		return nil
	}
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() || !slices.Contains(environOf(dir), variable) {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue // ended
		}
		if !slices.Contains(environOf(dir), variable) {
			_ = unix.Close(fd) // the ID was reused
			continue
		}
		fds = append(fds, fd)
	}
	return fds
}

// gone waits for the end of a process, until a time.
func gone(fd int, until time.Time) bool {
	for {
		wait := time.Until(until)
		if wait < 0 {
			return false
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(wait.Milliseconds())+1)
		if n > 0 {
			return true
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return false
		}
	}
}

// RehearsalsLeft reports whether processes of this instance's rehearsals exist.
func (o Options) RehearsalsLeft() bool {
	found := marked("/proc", o.RehearsalMark())
	for _, fd := range found {
		_ = unix.Close(fd)
	}
	return len(found) > 0
}
