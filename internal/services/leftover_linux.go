package services

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// signalOwned sends a signal to all processes with a mark that are not in asked, and returns those
// that are alive. A pidfd protects against the reuse of process IDs.
func signalOwned(m mark, signal unix.Signal, asked map[int]bool) (alive []string) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() || !m.on(dir) {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue // ended
		}
		if m.on(dir) {
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

// on reports whether a process has a mark: in its environment, or by being in a unit of the
// service, since daemons may clear their environment. Zombies have none.
func (m mark) on(dir string) bool {
	if slices.Contains(environOf(dir), m.variable) {
		return true
	}
	if m.units == "" {
		return false
	}
	return strings.Contains(groupOf(dir), "/"+m.units) && !ended(dir)
}
