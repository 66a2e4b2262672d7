package services

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// signalOwned sends a signal to all processes that carry a mark and were not asked
// yet, and says which there are. A process file descriptor keeps the signal from
// another process that gets the number meanwhile.
func signalOwned(mark string, signal unix.Signal, asked map[int]bool) (alive []string) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() || !carries(dir, mark) {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue // it has ended
		}
		if carries(dir, mark) {
			name, _ := os.ReadFile(dir + "/comm")
			alive = append(alive, fmt.Sprintf("%s (%d)", bytes.TrimSpace(name), pid))
			if !asked[pid] {
				_ = unix.PidfdSendSignal(fd, signal, nil, 0)
				asked[pid] = true
			}
		}
		_ = unix.Close(fd)
	}
	return alive
}

// carries reports whether a process has a mark in its environment. One that has
// ended and is not reaped yet has none any more.
func carries(dir, mark string) bool {
	raw, err := os.ReadFile(dir + "/environ")
	return err == nil && slices.ContainsFunc(bytes.Split(raw, []byte{0}), func(v []byte) bool { return string(v) == mark })
}
